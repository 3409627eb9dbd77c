"""Somebody has taken hold of the agent.

Who traces the agent reads what it knows and makes it see what he likes. Nobody debugs a security agent on a node that
works; a container that does has left already.

*Fires on:* the agent finds itself traced (``TracerPid`` of its own process), or the process connector tells that
somebody attached to it. Critical when the tracer belongs to a container or is not known, medium when it is a process
of the host (an administrator with a debugger). Also when the agent finds itself in another cgroup than it was started
in, another directory or socket in the place of its own, or these or its configuration with another owner or mode:
high, since the kernel does not say who did it. And when a process of a container, other than the agent's own, connects
to the control socket; and, in the ebpf tier, when one sends the agent a signal that ends or stops, takes hold of its
process or opens its memory (high where it was refused), or changes a file of it, its state, its configuration or its
programs, by whatever path: critical.
"""

from __future__ import annotations

from collectors.events import AgentTrouble, Event, FileTouched, ProcessReached, Touch, TroubleKind, WatchKind
from collectors.facts import Executable, Process, Unknown
from detectors.base import (
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    Member,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
    may_reach,
)

PROCESS = "agent"  # the part of the agent that is traced
CONTROL_SOCKET = "control socket"
_CHANGES = frozenset({Touch.WRITTEN, Touch.ENTRY, Touch.CHANGED})
_REACHED = {
    "signal": "sent a signal that ends or stops to",
    "memory": "opened the memory of",
    "ptrace": "took hold of",
    "process_vm_writev": "wrote into the memory of",
    "pidfd_getfd": "took a descriptor from",
}
_TRIED = {
    "ptrace": "tried to take hold of",
    "process_vm_writev": "tried to write into the memory of",
    "pidfd_getfd": "tried to take a descriptor from",
}


def check(event: Event, view: NodeView) -> Found:
    """Ask who it is."""
    match event:
        case FileTouched():
            yield from _touched(event, view)
        case ProcessReached() if event.is_agent and event.call in _REACHED:
            yield from _reached(event, view)
        case AgentTrouble(kind=TroubleKind.ATTACKED) if event.part == PROCESS:
            yield from _traced(event, view)
        case AgentTrouble(kind=TroubleKind.ATTACKED) if event.part == CONTROL_SOCKET and event.pid is not None:
            yield from _asked(event.pid, event, view)
        case AgentTrouble(kind=TroubleKind.ATTACKED):
            message = f"the agent's own {event.part} was changed while it ran"
            yield Finding(message, None, None, evidence=(("how", event.why),), severity=Severity.HIGH)
        case _:
            return


def _traced(event: AgentTrouble, view: NodeView) -> Found:
    """Somebody traces the agent's process, whoever it is."""
    tracer = view.process_by_pid(event.pid) if event.pid is not None else None
    if tracer is None:
        yield Blind("gone: the tracer of the agent")
    member = view.member(tracer) if tracer is not None else None
    is_hosts = tracer is not None and member is None
    yield Finding(
        "has taken hold of the agent itself"
        if tracer is not None
        else "the agent itself is traced, by whom is not known",
        member.container.id if isinstance(member, Member) else None,
        tracer.key if tracer is not None else None,
        evidence=(("how", event.why), ("executable", _program(tracer))),
        severity=Severity.MEDIUM if is_hosts else Severity.CRITICAL,
    )


def _asked(pid: int, event: AgentTrouble, view: NodeView) -> Found:
    """A process of a container has connected to the control socket."""
    client = view.process_by_pid(pid)
    if client is None:
        yield Blind("gone: who connected to the agent's control socket")
        return
    member = yield from actor(client, view)
    if member is not None:
        yield Finding(
            "connected to the agent's own control socket",
            member.container.id,
            client.key,
            evidence=(("how", event.why), ("executable", _program(client))),
        )


def _touched(event: FileTouched, view: NodeView) -> Found:
    """A container process has changed a file of the agent."""
    own = tuple(sorted({each.path for each in event.watched if each.kind is WatchKind.AGENT}))
    member = (yield from actor(event.process, view)) if own and event.touch in _CHANGES else None
    if member is not None:
        yield Finding(
            f"changed the agent's own {own[0]}",
            member.container.id,
            event.process.key,
            evidence=(("how", event.touch.value), ("own_path", own), ("path", event.path)),
            inherited=True,
        )


def _reached(event: ProcessReached, view: NodeView) -> Found:
    """A container process has acted on the agent's process, or tried to."""
    member = yield from actor(event.process, view)
    ourselves = view.process_by_pid(event.target_pid)
    ours = view.member(ourselves) if ourselves is not None else None
    if member is None or isinstance(ours, Unknown) or (ours is not None and may_reach(member, ours, view)):
        return
    yield Finding(
        f"{(_TRIED if event.error else _REACHED).get(event.call, _REACHED[event.call])} the agent itself",
        member.container.id,
        event.process.key,
        evidence=(("how", event.call), ("signal", event.signal), ("executable", _program(event.process))),
        severity=Severity.HIGH if event.error else Severity.CRITICAL,
        inherited=True,
    )


def _program(process: Process | None) -> bytes:
    if process is None:
        return b""
    return process.executable.path if isinstance(process.executable, Executable) else process.name


DETECTOR = Detector(
    id="HW-903",
    name="agent_attacked",
    family=Family.AGENT,
    severity=Severity.CRITICAL,
    techniques=(Technique("T1562.001", "Disable or Modify Tools", "TA0005", "Defense Evasion"),),
    wants=(AgentTrouble, FileTouched, ProcessReached),
    check=check,
    weakest=Tier.POLL,
    summary="Somebody traces, stops or rewrites the agent, asks its socket from a container, or moves it elsewhere.",
    benign=(
        "Somebody who debugs the agent (strace, py-spy, gdb) from the host: medium.",
        "An administrator who moves the agent to another cgroup, or changes the mode of its state directory: high.",
        "An administrator, or the kubelet, who edits the configuration: silent.",
        "hullwatch's own commands, on the host and by kubectl exec in the agent's pod: silent.",
        "py-spy and process_vm_readv attach for a moment only, and are seen by luck.",
    ),
    misses=(
        "Below the ebpf tier: signals, and what is written into its files.",
        "KILL to the agent: nobody is left to tell (HW-904 tells of the gap).",
        "A change of its cgroup's limits.",
        "Files of the agent's image that are changed below its overlay, in the runtime's directory on the host.",
        "Before Linux 6.13: a file that is renamed over one that is watched alone, like the configuration.",
        "A tracer that attaches and detaches between two sweeps, in the poll tier.",
        "Who connected to the control socket and ended before it could be looked at (counted as blind).",
        "An attacker who ends or freezes the agent at once: HW-904 tells when it is back.",
    ),
    advice=(
        "Nobody of yours: do not trust what this agent says from then on; isolate the node.",
        "Look at what the tracer's container has shared with the host: its pid namespace, CAP_SYS_PTRACE.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/ptrace.2.html",
        "https://man7.org/linux/man-pages/man5/proc_pid_status.5.html",
        "https://attack.mitre.org/techniques/T1562/001/",
    ),
)
