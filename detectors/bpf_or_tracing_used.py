"""A container process holds programs, maps or events of the kernel's tracing open.

bpf programs and perf events are not bounded by a container: they see every process, every packet and every keystroke of
the node, may write into other processes' memory, and hide what a rootkit wants hidden.

*Fires on:* an open descriptor of a container process is, by the name that the kernel gives its inode, a bpf program,
map, link, iterator or token, or (with CAP_PERFMON or CAP_SYS_ADMIN in the host's user namespace) a perf event. High;
medium when the bundle grants CAP_BPF, CAP_PERFMON or CAP_SYS_ADMIN: the exposure was told (HW-303), this is its use.
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Capabilities, Declared, Process
from collectors.notable import anonymous_name
from detectors.base import (
    Detector,
    Family,
    Finding,
    Found,
    Holder,
    NodeView,
    Severity,
    Technique,
    Tier,
    judge_holder,
)

BPF = frozenset({b"bpf-map", b"bpf-prog", b"bpf-token", b"bpf_iter", b"bpf_link", b"btf"})
PERF = b"[perf_event]"
GRANTING = mask(("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"))
TRACING = mask(("CAP_PERFMON", "CAP_SYS_ADMIN"))


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Look for the kernel's names among what the process holds."""
    return judge_holder(event.process, view, _judge)


def _judge(held: Holder, view: NodeView) -> Found:
    names = {anonymous_name(each) for each in held.descriptors}
    wanted = BPF | {PERF} if _may_trace_others(held.member.process, view) else BPF
    found = tuple(sorted(names & wanted))
    if not found:
        return
    declared = held.member.container.declared
    is_granted = isinstance(declared, Declared) and bool(declared.capabilities.bounding & GRANTING)
    yield Finding(
        "holds bpf or tracing of the kernel open: " + ", ".join(name.decode("ascii").strip("[]") for name in found),
        held.member.container.id,
        held.member.process.key,
        evidence=(("held", found), ("granted", is_granted)),
        severity=Severity.MEDIUM if is_granted else Severity.HIGH,
        inherited=True,
    )


def _may_trace_others(process: Process, view: NodeView) -> bool:
    """A perf event of somebody without these capabilities is of his own process only (perf_event_paranoid)."""
    held = process.confinement.capabilities
    is_hosts = process.confinement.namespaces.user == view.host.namespaces.user
    return isinstance(held, Capabilities) and is_hosts and bool(held.effective & TRACING)


DETECTOR = Detector(
    id="HW-216",
    name="bpf_or_tracing_used",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        Technique("T1014", "Rootkit", "TA0005", "Defense Evasion"),
        Technique("T1040", "Network Sniffing", "TA0006", "Credential Access"),
    ),
    wants=(Seen, Exec),
    check=check,
    weakest=Tier.POLL,
    summary="A container process holds bpf programs, maps or links, or perf events of others open.",
    benign=(
        (
            "Agents of the node that run as pods (Cilium, Falco, Tetragon, Parca, this one) hold bpf because they "
            "were granted it: medium; make an exception for their images."
        ),
        "systemd and runc load device programs on the host: no container process.",
        "A profiler that counts events of its own process (async-profiler, perf stat of a child): HW-225, low.",
    ),
    misses=(
        "Programs that stay loaded without a descriptor: pinned, or attached to a cgroup or an interface (ebpf).",
        "A descriptor that is closed between two looks; enumeration of other programs (ebpf).",
        "Events of tracefs, which are files on a mount: HW-112 tells of the mount.",
    ),
    advice=(
        "List the programs (bpftool prog) and what they are attached to; ask which of them this workload loaded.",
        "Programs of kind kprobe, tracing or lsm of a workload that is no agent: isolate the node.",
        "Take CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN from it; set kernel.unprivileged_bpf_disabled.",
    ),
    references=(
        "https://docs.kernel.org/bpf/",
        "https://man7.org/linux/man-pages/man2/bpf.2.html",
        "https://man7.org/linux/man-pages/man2/perf_event_open.2.html",
        "https://attack.mitre.org/techniques/T1014/",
    ),
)
