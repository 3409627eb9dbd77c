"""A container process gets at an executable of the host's container runtime.

The runtime runs as root on the host, again and again. CVE-2019-5736 opened it through ``/proc/PID/exe`` of the
runtime's own process in the container, waited for it to end, and wrote it: the next container start ran the attacker's
code on the host. Whoever can hold runc, the shim or containerd open is one step from that.

*Fires on:* an open descriptor of a container process is the file (device and inode) of one of the node's container
runtimes. Critical when it stands on no mount of the process' table, which is how a container comes to it through /proc;
medium when it comes with a mount that the container was given (a scanner with the host's ``/usr``). Or it opened (below
the eBPF tier: was found to have open) one of the watched executables of runtimes, kubelet and CNI for writing, or
changed it: critical; medium for CNI plug-ins that a pod puts into the directory that it was given.
"""

from __future__ import annotations

from collectors.events import Exec, FileTouched, ProcessEvent, Seen, Touch, WatchKind
from collectors.facts import Container, Descriptor, DescriptorKind, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Detector,
    Family,
    Finding,
    Found,
    Holder,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
    judge_holder,
)

_CHANGES = frozenset({Touch.WRITTEN, Touch.CHANGED})
PLUGINS = "/opt/cni/bin"


def check(event: ProcessEvent, view: NodeView) -> Found:
    """What it wrote, or the runtimes' files among what it holds."""
    if isinstance(event, FileTouched):
        yield from _written(event, view)
        return
    yield from judge_holder(event.process, view, _judge)


def _judge(held: Holder, view: NodeView) -> Found:
    found = [
        each
        for each in held.descriptors
        if each.kind is DescriptorKind.FILE and each.place.file in view.host.runtime_binaries
    ]
    if found:
        is_given = all(_is_given(each, held) for each in found)
        yield Finding(
            "holds an executable of the host's container runtime open"
            + (", through a mount that it was given" if is_given else ""),
            held.member.container.id,
            held.member.process.key,
            evidence=(("files", tuple(dict.fromkeys(each.target for each in found))), ("given", is_given)),
            severity=Severity.MEDIUM if is_given else Severity.CRITICAL,
            inherited=True,
        )


def _written(event: FileTouched, view: NodeView) -> Found:
    """A watched executable that was opened for writing, or changed."""
    names = tuple(sorted(each.path for each in event.watched if each.kind is WatchKind.RUNTIME))
    member = (yield from actor(event.process, view)) if names and event.touch in _CHANGES else None
    if member is None:
        return
    is_given = names[0].startswith(f"{PLUGINS}/") and _installs_plugins(member.container)
    yield Finding(
        f"{'opened for writing' if event.touch is Touch.WRITTEN else 'changed'} the host's {names[0]}",
        member.container.id,
        event.process.key,
        evidence=(("files", names), ("path", event.path), ("given", is_given)),
        severity=Severity.MEDIUM if is_given else Severity.CRITICAL,
        identity=(member.container.id, *names),
        inherited=True,
    )


def _installs_plugins(container: Container) -> bool:
    """The bundle mounts the directory of CNI plug-ins, and nothing above it."""
    sources = container.sources
    return any(each.path == PLUGINS for each in (() if isinstance(sources, Unknown) else sources))


def _is_given(descriptor: Descriptor, held: Holder) -> bool:
    given = held.member.frame.given_mounts
    return not isinstance(given, Unknown) and descriptor.place.mnt_id in given


DETECTOR = Detector(
    id="HW-221",
    name="runtime_binary_touched",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1554", "Compromise Host Software Binary", "TA0003", "Persistence"),
    ),
    wants=(Seen, Exec, FileTouched),
    check=check,
    holds=True,
    weakest=Tier.POLL,
    summary="A container process holds or writes the host's runc, shim, containerd, kubelet or a CNI plug-in.",
    benign=(
        "The runtime's own process on its way into a container is becoming it, and not judged.",
        "Scanners and backup pods that read the host's /usr through a mount they were given: medium while they do.",
        "A container with a runtime of its own in its image (Docker in Docker): another file.",
    ),
    misses=(
        "Below the ebpf tier: a descriptor that is opened, used and closed before it is looked for.",
        "A runtime that runs as a memfd copy of itself, as runc 1.1 and later do: its copy is another file.",
        "Executables that were not recognised at start: outside the directories where distributions put runtimes.",
    ),
    advice=(
        "Compare the runtime's executable with its package (rpm -V, dpkg -V) before the next container starts.",
        "Update runc (1.0-rc7 and later clone themselves), and run the workload without root or in a user namespace.",
        "A scanner of yours: make an exception for its image.",
    ),
    references=(
        "https://nvd.nist.gov/vuln/detail/CVE-2019-5736",
        "https://github.com/opencontainers/runc/security/advisories/GHSA-gxmr-w5mj-v8hh",
        "https://attack.mitre.org/techniques/T1554/",
    ),
)
