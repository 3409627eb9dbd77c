"""Somebody has taken hold of the agent.

Who traces the agent reads what it knows and makes it see what he likes. Nobody debugs a security agent on a node that
works; a container that does has left already.

*Fires on:* the agent finds itself traced (``TracerPid`` of its own process), or the process connector tells that
somebody attached to it. Critical when the tracer belongs to a container or is not known, medium when it is a process
of the host (an administrator with a debugger). Also when the agent finds itself in another cgroup than it was started
in, or another directory in the place of its state: high, since the kernel does not say who did it.
"""

from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from collectors.facts import Executable, Process
from detectors.base import Blind, Detector, Family, Finding, Found, Member, NodeView, Severity, Technique, Tier

PROCESS = "agent"  # the part of the agent that is traced


def check(event: AgentTrouble, view: NodeView) -> Found:
    """Ask who it is."""
    if event.kind is not TroubleKind.ATTACKED:
        return
    if event.part != PROCESS:
        message = f"the agent's own {event.part} was changed while it ran"
        yield Finding(message, None, None, evidence=(("how", event.why),), severity=Severity.HIGH)
        return
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
    wants=(AgentTrouble,),
    check=check,
    weakest=Tier.POLL,
    summary="Somebody traces the agent's own process, moves it to another cgroup, or replaces its state directory.",
    benign=(
        "Somebody who debugs the agent (strace, py-spy, gdb) from the host: medium.",
        "An administrator who moves the agent to another cgroup, or changes the mode of its state directory: high.",
        "py-spy and process_vm_readv attach for a moment only, and are seen by luck.",
    ),
    misses=(
        "Signals to the agent, and its files or its socket opened by a container (ebpf).",
        "A change of its cgroup's limits, and a file within its state directory that is replaced.",
        "A tracer that attaches and detaches between two sweeps, in the poll tier.",
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
