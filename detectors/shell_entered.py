"""Somebody entered a container, and sits at a terminal there.

``docker exec -it``, ``kubectl exec -it`` and a debug container are how people work, and how whoever has stolen a
kubeconfig or the engine's socket works as well. Who came in, when, by which way and as whom belongs into the record of
every node.

*Fires on:* a process that the runtime sent into a running container (the entry of a session, not the container's first
process) has a controlling terminal; or the first process of an ephemeral container (``kubectl debug``): one that the
API server calls so, or that joins the process namespace of another container of its pod. ``entered_by`` in the evidence
tells ``kubectl exec``, ephemeral containers, the engine's exec and a runtime called by hand apart.
"""

from __future__ import annotations

from collectors.entries import Way, is_ephemeral, way_in
from collectors.events import ContainerSeen, Exec, ProcessEvent, Seen
from collectors.facts import Container, Executable, Ids, Process, Unknown
from detectors.base import Blind, Detector, Family, Finding, Found, Member, NodeView, Severity, Technique, Tier

ARGUMENTS = 8
SENDERS = 4


def check(event: ProcessEvent | ContainerSeen, view: NodeView) -> Found:
    """Judge the entry of a session only; what runs in it is the same story."""
    if isinstance(event, ContainerSeen):  # that a container is ephemeral may become known after its first process
        first = view.first_process(event.container.id)
        if not isinstance(first, Unknown):
            yield from _debug_container(event.container, first, view)
        return
    process = event.process
    member = view.member(process) if process.thread_of is None else None
    if isinstance(member, Member) and member.is_first:
        yield from _debug_container(member.container, process, view)
    elif isinstance(member, Unknown) and process.tty:
        yield Blind(member.why, process.key)
    elif isinstance(member, Member) and process.tty:
        yield from _session(member, process, view)


def _session(member: Member, process: Process, view: NodeView) -> Found:
    if isinstance(member.entry, Unknown) or isinstance(member.first, Unknown):
        why = member.entry if isinstance(member.entry, Unknown) else member.first
        yield Blind(f"entry: {why.why}" if isinstance(why, Unknown) else "not_read", process.key)
        return
    if member.entry.key != process.key:
        return
    senders = view.ancestors(process)[:SENDERS]
    first_now = view.process(member.first.key)
    shim = view.process_by_pid(first_now.parent_pid) if first_now is not None else None
    way = way_in(member.container, member.entry, senders=senders, shim=shim)
    yield _finding("somebody entered the container at a terminal", member.container, member.entry, senders, way)


def _debug_container(container: Container, first: Process, view: NodeView) -> Found:
    if is_ephemeral(container, view.containers()):
        senders = view.ancestors(first)[:SENDERS]
        message = "is the first process of a container that was added to a running pod"
        yield _finding(message, container, first, senders, Way.EPHEMERAL_CONTAINER)


def _finding(message: str, container: Container, entry: Process, senders: tuple[Process, ...], way: Way) -> Finding:
    uids = entry.confinement.uids
    return Finding(
        message,
        container.id,
        entry.key,
        evidence=(
            ("entered_by", way.value),
            ("program", _path(entry)),
            ("arguments", tuple(entry.arguments.rstrip(b"\0").split(b"\0")[:ARGUMENTS])),
            ("uid", str(uids.real) if isinstance(uids, Ids) else uids.why),
            ("sent_by", tuple(_path(each) for each in senders)),
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
    wants=(Exec, Seen, ContainerSeen),
    check=check,
    weakest=Tier.NETLINK,
    summary="Somebody entered a running container interactively, with a terminal.",
    benign=(
        "Everybody who debugs a workload: it is a record, and no suspicion; info.",
        "The terminal of a container that was started with one (docker run -it) is its first process': silent.",
        "Probes, hooks and exec without a terminal: silent.",
        "kubectl debug: an ephemeral container is told as such, once, with or without a terminal.",
    ),
    misses=(
        "A session without a terminal (kubectl exec without -t), which can run a shell as well.",
        "Who it was: the engine's or the API server's audit log has the user, the kernel does not.",
        "A session that ended before a sweep, in the poll tier.",
        (
            "kubectl exec -t and crictl exec -t on the node are the same to the node: both come from the runtime's "
            "service by the container's shim."
        ),
        (
            "An ephemeral container without a target looks like any other container of its pod where the API server "
            "is not asked."
        ),
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
