"""The configuration as values: every key, its type, its bounds, its default and what it means.

The page ``docs/reference/config.md`` is made of this module (``agent.config_reference``). Sizes and durations are plain
numbers; the unit is in the key's name. ``agent.config`` reads a file into these.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta, field

from agent.config_section import FORMAT, AbsolutePath, FormatName, Glob, Section, SeverityName
from agent.control_schema import ControlConfig
from agent.kubernetes_schema import KubernetesApiConfig
from agent.metrics_schema import MetricsConfig
from agent.output_schema import AnySinkConfig
from agent.rules_schema import RuleConfig
from agent.state_schema import FileConfig, JournaldConfig, RateLimitConfig, RedactionConfig, StateConfig


class SweepConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often all processes are looked at, and how closely."""

    interval_seconds: Annotated[
        float,
        Meta(ge=0.05, le=3600, description="Time from the start of one sweep to the start of the next."),
    ] = 1.0
    full_every: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="Every task is read anew, whole, within this many sweeps, even if it seems unchanged.",
        ),
    ] = 5
    cpu_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="How much of one CPU sweeps may take. Where a sweep costs more than that share of its "
            "interval, the next one comes later, and health says so.",
        ),
    ] = 0.5
    descriptors: Annotated[
        int,
        Meta(
            ge=0,
            le=65_536,
            description="How many open descriptors of a process are looked at; those beyond are counted.",
        ),
    ] = 256


class NetlinkConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The kernel's process connector."""

    receive_buffer_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=268_435_456,
            description="Receive buffer of the socket. Too small a buffer loses events in a burst; losses are counted.",
        ),
    ] = 8_388_608


class EbpfConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The eBPF sensor."""

    ring_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=268_435_456,
            description="Size of the ring in which the kernel hands over what is notable; a power of two. When it is "
            "full, what does not fit is counted, and a sweep follows.",
        ),
    ] = 4_194_304


class DockerConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Names, images and labels from the Docker API; what is declared comes from the OCI bundles in any case."""

    enabled: Annotated[
        bool | Literal["auto"],
        Meta(description="`auto` asks where the socket exists; `true` says in health when it does not."),
    ] = "auto"
    socket: Annotated[AbsolutePath, Meta(description="The Docker API's socket, as the agent sees it.")] = (
        "/var/run/docker.sock"
    )


class ContainersConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where containers are found."""

    state_directories: Annotated[
        tuple[AbsolutePath, ...],
        Meta(max_length=64, description="State directories of container runtimes, next to those that are known."),
    ] = ()
    docker: DockerConfig = DockerConfig()


class DetectorsConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which detectors run."""

    disabled: Annotated[
        tuple[str, ...],
        Meta(max_length=1024, description="Ids of detectors that are off. An exception is narrower: prefer it."),
    ] = ()


class ExceptionConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Findings that are expected: counted, not told. All conditions that are given must hold.

    Patterns are those of a shell, whole and in the right case; `*` matches `/` too. At least one condition is needed.
    """

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=1024, pattern=r"\S", description="Why these findings are no trouble."),
    ]
    rules: Annotated[
        tuple[Glob, ...],
        Meta(max_length=256, description="Ids of detectors, or patterns of them; empty means all."),
    ] = ()
    container: Annotated[
        Glob | None,
        Meta(description="Pattern of the container's name: the runtime's, or the one in its pod."),
    ] = None
    image: Annotated[Glob | None, Meta(description="Pattern of the image's name, as the runtime knows it.")] = None
    namespace: Annotated[Glob | None, Meta(description="Pattern of the pod's Kubernetes namespace.")] = None
    labels: Annotated[
        dict[str, Glob],
        Meta(max_length=64, description="Patterns of the values of labels; the container must have them all."),
    ] = field(default_factory=dict)
    executable: Annotated[
        Glob | None,
        Meta(
            description="Pattern of the path of the acting process' executable. A container names files as it likes: "
            "give another condition as well.",
        ),
    ] = None
    expires: Annotated[
        dt.date | None,
        Meta(description="The last day (UTC) on which the exception holds, `YYYY-MM-DD`."),
    ] = None


class WatchedObjectConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file or directory of the host that no container has any business with, next to those that are known."""

    path: Annotated[
        AbsolutePath,
        Meta(description="Where the host has it. `*` stands for a part of one name; links of the host are followed."),
    ]
    kind: Annotated[
        Literal["persistence", "secret", "runtime"],
        Meta(
            description="`persistence`: who writes it runs on the host (HW-219); `secret`: who reads it is somebody "
            "else (HW-220; files, not directories); `runtime`: an executable that starts containers (HW-221)."
        ),
    ]
    below: Annotated[
        bool,
        Meta(description="Of a directory of `persistence`: also what is made or written below, not only in it."),
    ] = False


class LogConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The agent's own log, on stderr. Alerts are not in it."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least level that is written."),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="`auto` is `console` on a terminal, else `json`."),
    ] = "auto"


class StdoutConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Alerts on standard output, one line each."""

    enabled: Annotated[bool, Meta(description="Whether alerts are written there.")] = True
    format: Annotated[FormatName, Meta(description=FORMAT)] = "ecs"
    min_severity: Annotated[SeverityName, Meta(description="Alerts below this severity are not written.")] = "info"


class OutputConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where alerts go."""

    redaction: RedactionConfig = RedactionConfig()
    rate_limit: RateLimitConfig = RateLimitConfig()
    stdout: StdoutConfig = StdoutConfig()
    file: FileConfig = FileConfig()
    journald: JournaldConfig = JournaldConfig()
    sinks: Annotated[
        tuple[AnySinkConfig, ...],
        Meta(max_length=16, description="Receivers of alerts; each gets all alerts, at its own pace."),
    ] = ()


class RootsConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the agent finds the node's file systems: in a container they are mounted elsewhere."""

    proc: Annotated[AbsolutePath | None, Meta(description="The node's procfs; by default it is looked for.")] = None
    sys: Annotated[AbsolutePath | None, Meta(description="The node's sysfs; by default it is looked for.")] = None
    host: Annotated[AbsolutePath | None, Meta(description="The node's root directory; by default looked for.")] = None


class LimitsConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How large queue and tables may grow; what is dropped beyond is counted and shown in health."""

    queue_events: Annotated[
        int,
        Meta(ge=1024, le=1_048_576, description="Events that wait between the sensors and the state."),
    ] = 16_384
    processes: Annotated[int, Meta(ge=1024, le=4_194_304, description="Processes in the state.")] = 65_536
    containers: Annotated[int, Meta(ge=16, le=65_536, description="Containers in the state.")] = 4096
    findings: Annotated[
        int,
        Meta(ge=1024, le=1_048_576, description="Findings that are remembered, so that repetitions are only counted."),
    ] = 16_384
    memory_bytes: Annotated[
        Annotated[int, Meta(ge=16_777_216)] | None,
        Meta(
            description="Resident memory beyond which the agent saves, a step after the other until it is enough: it "
            "drops caches; shortens the stories of incidents and keeps no alert in memory that is on disk; looks ten "
            "times more rarely for what alerts are enriched with; at last takes no new processes of the host into the "
            "state, which are counted. Each step is taken back when memory falls. No alert is given up. `null`: four "
            "fifths of the limit of its cgroup, or of the variable MEMORY_LIMIT, where there is one.",
        ),
    ] = None


class HardeningConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the agent takes from itself as soon as its sensor stands."""

    drop_capabilities: Annotated[
        bool,
        Meta(
            description="Whether it keeps only the capabilities that the sensor needs. Files that it writes then have "
            "to be in directories of its own user."
        ),
    ] = True
    syscall_filter: Annotated[
        bool,
        Meta(description="Whether system calls that it never makes are refused to it: programs, ptrace, mounts, ..."),
    ] = True


class Config(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. Every key may be left out."""

    sensor: Annotated[
        Literal["auto", "ebpf", "netlink", "poll"],
        Meta(
            description="The sensor tier; `auto` is the best that the node allows: `ebpf`, else `netlink`, else `poll`."
        ),
    ] = "auto"
    sweep: SweepConfig = SweepConfig()
    ebpf: EbpfConfig = EbpfConfig()
    netlink: NetlinkConfig = NetlinkConfig()
    containers: ContainersConfig = ContainersConfig()
    kubernetes: KubernetesApiConfig = KubernetesApiConfig()
    detectors: DetectorsConfig = DetectorsConfig()
    exceptions: Annotated[
        tuple[ExceptionConfig, ...],
        Meta(max_length=1024, description="Findings that are expected; the first exception that matches counts it."),
    ] = ()
    watched_objects: Annotated[
        tuple[WatchedObjectConfig, ...],
        Meta(max_length=512, description="Files and directories of the host to watch besides those known."),
    ] = ()
    rules: Annotated[
        tuple[RuleConfig, ...],
        Meta(max_length=256, description="Rules of your own, beside the detectors. See the page about rules."),
    ] = ()
    log: LogConfig = LogConfig()
    state: StateConfig = StateConfig()
    output: OutputConfig = OutputConfig()
    metrics: MetricsConfig = MetricsConfig()
    control: ControlConfig = ControlConfig()
    roots: RootsConfig = RootsConfig()
    limits: LimitsConfig = LimitsConfig()
    hardening: HardeningConfig = HardeningConfig()
