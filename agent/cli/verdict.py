"""Whether a container is contained now: which of its live processes are wider than it is. Pure.

Where it is (namespaces, root, cgroup) is measured by the container's first process: no runtime sends a session
elsewhere, and one that was first seen when it had left already must not pass for one that came in like that. What it
may do (privileges, filters) is measured by the process through which it came in, so that what somebody was given with
``docker exec --privileged`` is not held against the container. Guarded by tests/live/test_told_story.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent import describe
from agent.cli import documents
from agent.cli.output import BAD, DOUBTFUL
from agent.state import NodeState
from collectors.confinement import Dimension, Widening, wider
from collectors.facts import Process, ProcessKey, Unknown
from detectors.base import Member

STYLES = {"out": BAD, "widened": DOUBTFUL, "unknown": DOUBTFUL}
"""The colours of the words."""

_OUTSIDE = frozenset({Dimension.NAMESPACES, Dimension.ROOT, Dimension.CGROUP})
"""The dimensions in which wider means elsewhere; in the others it means more powerful where it is."""


@dataclass(frozen=True, slots=True)
class Wide:
    """A live process that is wider than its container."""

    process: Process
    widened: tuple[Widening, ...]

    @property
    def is_out(self) -> bool:
        """It is outside, not only more powerful."""
        return any(each.dimension in _OUTSIDE for each in self.widened)

    @property
    def aspects(self) -> str:
        """In what it is wider."""
        return ", ".join(each.aspect for each in self.widened)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``live`` are the container's processes; ``unknown`` counts those that could not be compared."""

    container_id: str
    live: frozenset[ProcessKey]
    wide: tuple[Wide, ...]
    unknown: int

    @property
    def word(self) -> str:
        """``out``, ``widened``, ``unknown``, ``contained``, ``ended``."""
        if any(each.is_out for each in self.wide):
            return "out"
        if self.wide:
            return "widened"
        if self.unknown:
            return "unknown"
        return "contained" if self.live else "ended"

    def sentence(self) -> str:
        """For a person; it claims no more than what was compared."""
        doubt = f"; {_processes(self.unknown)} could not be compared" if self.unknown else ""
        match self.word:
            case "out":
                out = [each for each in self.wide if each.is_out]
                return f"OUT: {_processes(len(out))} of this container {_are(len(out))} outside it{doubt}"
            case "widened":
                return f"WIDENED: {_processes(len(self.wide))} of this container can do more than it may{doubt}"
            case "unknown":
                return (
                    f"UNKNOWN: {self.unknown} of {_processes(len(self.live))} could not be compared; no other is wider"
                )
            case "contained":
                count = len(self.live)
                return (
                    f"CONTAINED: no live process of this container ({_processes(count)}) is wider than it; what "
                    "was done to files, mounts or the kernel may last: see the story"
                )
            case _:
                return "ENDED: no process of this container lives; what was done to the host may last: see the story"


def verdict(state: NodeState, container_id: str) -> Verdict:
    """The verdict on a container, by what the state holds now."""
    return verdicts(state, container_id).get(container_id) or Verdict(container_id, frozenset(), (), 0)


def verdicts(state: NodeState, only: str | None = None) -> dict[str, Verdict]:
    """The verdicts on all containers that have live processes, or on one."""
    found: dict[str, list[tuple[Process, tuple[Widening, ...] | None]]] = {}
    for process in state.processes():
        member = state.member(process)
        if isinstance(member, Member) and only in {None, member.container.id}:
            found.setdefault(member.container.id, []).append((process, _widened(process, member)))
    return {container_id: _verdict(container_id, compared) for container_id, compared in found.items()}


def _verdict(container_id: str, compared: list[tuple[Process, tuple[Widening, ...] | None]]) -> Verdict:
    wide = [Wide(process, widened) for process, widened in compared if widened]
    return Verdict(
        container_id,
        frozenset(process.key for process, _ in compared),
        tuple(sorted(wide, key=lambda each: each.process.key)),
        sum(widened is None for _, widened in compared),
    )


def _widened(process: Process, member: Member) -> tuple[Widening, ...] | None:
    """In what a process is wider; ``None`` where it can't be compared."""
    if isinstance(member.first, Unknown) or isinstance(member.entry, Unknown):
        return None
    there = wider(process.confinement, member.first.confinement, member.frame)
    gained = wider(process.confinement, member.entry.confinement, member.frame)
    return (
        *(each for each in there if each.dimension in _OUTSIDE),
        *(each for each in gained if each.dimension not in _OUTSIDE),
    )


def document(found: Verdict) -> documents.Document:
    """The verdict as plain values."""
    return {
        "verdict": found.word,
        "live_processes": len(found.live),
        "not_compared": found.unknown,
        "wider": [
            {
                "pid": each.process.key.pid,
                "command_line": documents.command(each.process),
                "is_outside": each.is_out,
                "widened": [
                    {"aspect": one.aspect, "was": describe.value(one.was), "now": describe.value(one.now)}
                    for one in each.widened
                ],
            }
            for each in found.wide
        ],
    }


def lines(found: Verdict) -> list[str]:
    """The verdict for a terminal: the sentence, and each process that is wider."""
    return [
        found.sentence(),
        *(f"  pid {each.process.key.pid} {documents.command(each.process)}: {each.aspects}" for each in found.wide),
    ]


def _processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
