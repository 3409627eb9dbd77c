"""A container process talks to somebody through what a terminal should be.

A reverse shell is a program whose input and output are one network connection. Which program does not matter: whoever
is handed a connection in place of a terminal does what comes out of it. And a descriptor of a terminal of the host lets
a container process type there (TIOCSTI) as if somebody sat at it.

*Fires on:* descriptor 0 and another standard stream of a container process are the same TCP or UDP connection: medium
when the container connected outwards, low when it was connected to (inetd and its like work so). Or a descriptor is a
pseudo-terminal of a devpts that is on no mount of the process' table, or a console of the machine: medium, low when
the runtime handed it in.
"""

from __future__ import annotations

from collectors.device_numbers import is_console, is_pseudo_terminal
from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Descriptor, DescriptorKind, FileId, Process, Unknown
from detectors.base import (
    Confidence,
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


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Look at the standard streams, then for terminals."""
    return judge_holder(event.process, view, _judge)


def _judge(held: Holder, _view: NodeView) -> Found:
    yield from _connected(held, held.member.process)
    terminals = [each for each in held.descriptors if _is_terminal(each)]
    if terminals:
        given = _given(held)
        is_given = all(each.place.file in given for each in terminals)
        yield Finding(
            "holds a terminal of the host open" + (", which it was started with" if is_given else ""),
            held.member.container.id,
            held.member.process.key,
            evidence=(("terminals", tuple(dict.fromkeys(each.target for each in terminals))), ("given", is_given)),
            severity=Severity.LOW if is_given else Severity.MEDIUM,
            inherited=True,
        )


def _connected(held: Holder, process: Process) -> Found:
    """The observer keeps sockets of standard streams only where input and output are one connection."""
    connection = next((each.connection for each in held.descriptors if each.connection is not None), None)
    if connection is None:
        return
    how = "that came in" if connection.is_incoming else "that it made"
    yield Finding(
        f"has a network connection {how} for its input and output",
        held.member.container.id,
        process.key,
        evidence=(
            ("protocol", connection.protocol),
            ("local", f"{connection.local} {connection.local_port}"),
            ("remote", f"{connection.remote} {connection.remote_port}"),
            ("incoming", connection.is_incoming),
        ),
        severity=Severity.LOW if connection.is_incoming else Severity.MEDIUM,
        confidence=Confidence.LIKELY,
        inherited=True,
    )


def _is_terminal(descriptor: Descriptor) -> bool:
    """The observer keeps pseudo-terminals only where they stand on no mount of the process."""
    is_character = descriptor.kind is DescriptorKind.CHARACTER_DEVICE
    return is_character and (is_pseudo_terminal(descriptor.rdev) or is_console(descriptor.rdev))


def _given(held: Holder) -> frozenset[FileId]:
    """What the process through which this one came in had when it entered."""
    entry = held.member.entry
    if isinstance(entry, Unknown) or isinstance(entry.descriptors, Unknown):
        return frozenset()
    return frozenset(each.place.file for each in entry.descriptors)


DETECTOR = Detector(
    id="HW-226",
    name="shell_on_socket",
    family=Family.TECHNIQUE,
    severity=Severity.MEDIUM,
    techniques=(
        Technique("T1059", "Command and Scripting Interpreter", "TA0002", "Execution"),
        Technique("T1071", "Application Layer Protocol", "TA0011", "Command and Control"),
    ),
    wants=(Seen, Exec),
    check=check,
    holds=True,
    weakest=Tier.POLL,
    summary="Input and output of a container process are one network connection, or it holds a terminal of the host.",
    benign=(
        "inetd, xinetd, socat and sshd -i hand a connection that came in to a program: low.",
        "A daemon that closed its standard streams and got a socket as descriptor 0 has it once, not twice: silent.",
        "docker exec -t, kubectl exec -t: the terminal is the container's own.",
        "runc run without a terminal of its own, from a shell: the terminal was handed in, low.",
    ),
    misses=(
        "A shell behind a pipe or a pseudo-terminal that another program ties to the network (socat with pty).",
        "A connection over a unix socket, or through another process' descriptors.",
        "A shell that ends before it is looked at closely: within sweep.full_every sweeps.",
        "A bind shell whose listener was closed counts as a connection that it made.",
    ),
    advice=(
        "Look who is at the other end (remote), and what the process has started since (its children).",
        "Somebody has a shell in the container: find the hole in the workload, and rotate what the container knows.",
        "A terminal of the host: end the container's process, and start containers with a terminal of their own.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/dup.2.html",
        "https://man7.org/linux/man-pages/man2/TIOCSTI.2const.html",
        "https://attack.mitre.org/techniques/T1059/",
    ),
)
