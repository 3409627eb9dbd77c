"""How container processes stood that every comparing detector was silent about: who stands so again need not be asked.

Most execs of a container change nothing of what confines the process. The detectors that compare confinements
(``Detector.compares``) would find so again, each by itself, at half of what an event costs. So the engine remembers,
for each way in, the last standing that all of them were silent about (docs/adr/0019).

Owned by the pipeline's thread. Bounded: ``MAX_ENTRIES`` ways in; when they are as many, all are forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.confinement import Frame
from collectors.facts import Confinement, Container, Process, ProcessKey, Unknown
from detectors.base import Member

MAX_ENTRIES = 4096


class _Standing(NamedTuple):
    """What a member is compared by and with; its parts are held, so that none can be another at the same address."""

    confinement: Confinement
    first: Process
    entry: Process
    container: Container
    frame: Frame


class Settled:
    """See the module."""

    def __init__(self) -> None:
        self._known: dict[ProcessKey, _Standing] = {}

    def covers(self, member: Member) -> bool:
        """It stands as one did that nobody had anything to say about."""
        entry = member.entry
        if isinstance(entry, Unknown):
            return False
        known = self._known.get(entry.key)
        if (
            known is None
            or known.entry is not entry
            or known.first is not member.first
            or known.container is not member.container
            or not _is_same_frame(known.frame, member.frame)
        ):
            return False
        now, previous = member.process.confinement, member.previous
        return _is_as_confined(now, known.confinement) and (
            previous is None or previous is member.process or _is_as_confined(now, previous.confinement)
        )

    def note(self, member: Member) -> None:
        """Everybody was silent about it. Kept where no other container's namespaces can come to matter."""
        first, entry, confinement = member.first, member.entry, member.process.confinement
        if isinstance(first, Unknown) or isinstance(entry, Unknown):
            return
        if confinement.namespaces != first.confinement.namespaces:
            return
        if len(self._known) >= MAX_ENTRIES and entry.key not in self._known:
            self._known.clear()
        self._known[entry.key] = _Standing(confinement, first, entry, member.container, member.frame)


def _is_same_frame(a: Frame, b: Frame) -> bool:
    """Made of the same parts; a frame is made anew for each question, its parts are not."""
    return (
        a.given_mounts is b.given_mounts
        and a.namespaces is b.namespaces
        and a.root is b.root
        and a.cgroup_paths is b.cgroup_paths
    )


def _is_as_confined(a: Confinement, b: Confinement) -> bool:
    """Nothing differs but the working directory, which goes where the process likes."""
    return a is b or (
        a.namespaces == b.namespaces
        and a.root == b.root
        and a.uids == b.uids
        and a.gids == b.gids
        and a.capabilities == b.capabilities
        and a.no_new_privs == b.no_new_privs
        and a.seccomp == b.seccomp
        and a.lsm_label == b.lsm_label
        and a.cgroups == b.cgroups
    )
