"""A container process uses programs, maps or events of the kernel's tracing.

bpf programs and perf events are not bounded by a container: they see every process, every packet and every keystroke of
the node, may write into other processes' memory, and hide what a rootkit wants hidden.

*Fires on:* an open descriptor of a container process is, by the name that the kernel gives its inode, a bpf program,
map, link, iterator or token, or (with CAP_PERFMON or CAP_SYS_ADMIN in the host's user namespace) a perf event; or it
called bpf(2) to load, attach, open or list such things, or perf_event_open(2) for others than itself. High; medium when
the bundle grants CAP_BPF, CAP_PERFMON or CAP_SYS_ADMIN: the exposure was told (HW-303), this is its use.
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import CallMade, Exec, ProcessEvent, Seen
from collectors.facts import Capabilities, Container, Declared, Process
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
    actor,
    judge_holder,
)

BPF = frozenset({b"bpf-map", b"bpf-prog", b"bpf-token", b"bpf_iter", b"bpf_link", b"btf"})
PERF = b"[perf_event]"
GRANTING = mask(("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"))
TRACING = mask(("CAP_PERFMON", "CAP_SYS_ADMIN"))

# enum bpf_cmd, include/uapi/linux/bpf.h; what else there is works on descriptors that one of these gave
COMMANDS = {
    0: "create a map",
    5: "load a program",
    7: "open a pinned object",
    8: "attach a program",
    11: "list programs",
    12: "list maps",
    13: "open a program by its number",
    14: "open a map by its number",
    17: "attach to a tracepoint",
    19: "open a BTF object by its number",
    23: "list BTF objects",
    28: "make a link",
    30: "open a link by its number",
    31: "list links",
    33: "make an iterator",
    36: "make a token",
}
_ITSELF = 0  # the pid that perf_event_open(2) takes for the caller


def check(event: ProcessEvent, view: NodeView) -> Found:
    """What the process called for, or the kernel's names among what it holds."""
    if isinstance(event, CallMade):
        yield from _called(event, view)
        return
    yield from judge_holder(event.process, view, _judge)


def _judge(held: Holder, view: NodeView) -> Found:
    names = {anonymous_name(each) for each in held.descriptors}
    wanted = BPF | {PERF} if _may_trace_others(held.member.process, view) else BPF
    found = tuple(sorted(names & wanted))
    if not found:
        return
    is_granted = _is_granted(held.member.container)
    yield Finding(
        "holds bpf or tracing of the kernel open: " + ", ".join(name.decode("ascii").strip("[]") for name in found),
        held.member.container.id,
        held.member.process.key,
        evidence=(("held", found), ("granted", is_granted)),
        severity=Severity.MEDIUM if is_granted else Severity.HIGH,
        inherited=True,
    )


def _called(event: CallMade, view: NodeView) -> Found:
    """A call that succeeded."""
    if event.error or event.is_foreign:
        return
    if event.call == "bpf" and event.arguments[0] in COMMANDS:
        what = f"called bpf to {COMMANDS[event.arguments[0]]}"
    elif event.call == "perf_event_open" and event.arguments[1] != _ITSELF and _may_trace_others(event.process, view):
        what = "opened a perf event of others"
    else:
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    is_granted = _is_granted(member.container)
    yield Finding(
        what,
        member.container.id,
        event.process.key,
        evidence=(("call", event.call), ("granted", is_granted)),
        severity=Severity.MEDIUM if is_granted else Severity.HIGH,
        inherited=True,
    )


def _is_granted(container: Container) -> bool:
    """The bundle gives it the capabilities that this takes."""
    declared = container.declared
    return isinstance(declared, Declared) and bool(declared.capabilities.bounding & GRANTING)


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
    wants=(Seen, Exec, CallMade),
    check=check,
    holds=True,
    weakest=Tier.POLL,
    summary="A container process loads, opens or lists bpf programs, maps or links, or traces others.",
    benign=(
        (
            "Agents of the node that run as pods (Cilium, Falco, Tetragon, Parca, this one) hold bpf because they "
            "were granted it: medium; make an exception for their images."
        ),
        "systemd and runc load device programs on the host: no container process.",
        "A profiler that counts events of its own process (async-profiler, perf stat of a child): HW-225, low.",
    ),
    misses=(
        "Below the ebpf tier: programs that stay without a descriptor, pinned or attached to a cgroup or an interface.",
        "Below the ebpf tier: a descriptor that is closed between two looks; enumeration of other programs.",
        "The same bpf command a second time by one process: it is told once.",
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
