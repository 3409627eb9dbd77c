"""Somebody entered a container, and sits at a terminal there.

``docker exec -it``, ``kubectl exec -it`` and a debug container are how people work, and how whoever has stolen a
kubeconfig or the engine's socket works as well. Who came in, when and as whom belongs into the record of every node.

*Fires on:* a process that the runtime sent into a running container (the entry of a session, not the container's first
process) has a controlling terminal.
"""

from __future__ import annotations

from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Executable, Ids, Process, Unknown
from detectors.base import Blind, Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier

ARGUMENTS = 8


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Judge the entry of a session only; what runs in it is the same story."""
    process = event.process
    if not process.tty or process.thread_of is not None:
        return
    member = view.member(process)
    if member is None:
        return
    if isinstance(member, Unknown):
        yield Blind(member.why, process.key)
        return
    if isinstance(member.entry, Unknown) or isinstance(member.first, Unknown):
        why = member.entry if isinstance(member.entry, Unknown) else member.first
        yield Blind(f"entry: {why.why}" if isinstance(why, Unknown) else "not_read", process.key)
        return
    if member.entry.key != process.key or member.is_first:
        return
    uids = member.entry.confinement.uids
    yield Finding(
        "somebody entered the container at a terminal",
        member.container.id,
        process.key,
        evidence=(
            ("program", _path(member.entry)),
            ("arguments", tuple(member.entry.arguments.rstrip(b"\0").split(b"\0")[:ARGUMENTS])),
            ("uid", str(uids.real) if isinstance(uids, Ids) else uids.why),
            ("sent_by", tuple(_path(each) for each in view.ancestors(process)[:4])),
        ),
    )


def _path(process: Process) -> bytes:
    return process.executable.path if isinstance(process.executable, Executable) else process.name


DETECTOR = Detector(
    id="HW-229",
    name="shell_entered",
    family=Family.TECHNIQUE,
    severity=Severity.INFO,
    techniques=(Technique("T1609", "Container Administration Command", "TA0002", "Execution"),),
    wants=(Exec, Seen),
    check=check,
    weakest=Tier.NETLINK,
    summary="Somebody entered a running container interactively, with a terminal.",
    benign=(
        "Everybody who debugs a workload: it is a record, and no suspicion; info.",
        "The terminal of a container that was started with one (docker run -it) is its first process': silent.",
        "Probes, hooks and exec without a terminal: silent.",
    ),
    misses=(
        "A session without a terminal (kubectl exec without -t), which can run a shell as well.",
        "Who it was: the engine's or the API server's audit log has the user, the kernel does not.",
        "A session that ended before a sweep, in the poll tier.",
    ),
    advice=(
        "Match the time with the audit log of the API server (pods/exec) or with who was on the node.",
        "Nobody of yours: revoke the credentials that reach the engine or the API server, and look at what ran there.",
    ),
    references=(
        "https://kubernetes.io/docs/tasks/debug/debug-application/get-shell-running-container/",
        "https://man7.org/linux/man-pages/man7/pty.7.html",
        "https://attack.mitre.org/techniques/T1609/",
    ),
)
