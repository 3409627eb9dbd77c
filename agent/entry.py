"""When a runtime's process has become the container, and what it was like at that moment.

The runtime clones, joins namespaces, moves into the container's cgroup, drops privileges, one after the other, and only
then executes the container's program. Until then its own process is half host, half container, and judging it would
alarm on every start. It is told by what it runs: a runtime's file, by identity, or the very file of its parent on the
host. Nothing here knows a runtime's name. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from collectors.facts import (
    Capabilities,
    Container,
    Declared,
    FileId,
    HostBaseline,
    Layer,
    Process,
    Seccomp,
    SeccompMode,
    Unknown,
)

BECOMING_LIMIT_SECONDS = 10
_OF_THE_CONTAINER = frozenset({Layer.IMAGE, Layer.UPPER, Layer.CHANGED, Layer.TMPFS, Layer.VOLUME})


def is_stage(process: Process, parent: Process | None, runtimes: Collection[FileId], *, in_hook: bool) -> bool:
    """It is the runtime's own process: it runs a runtime's file, its parent's, or a sealed copy of one (a memfd).

    ``parent`` is a process of the host. ``runtimes`` are the host's runtimes, and what was seen to be one. ``in_hook``
    says that the parent is becoming itself: then this is one of the runtime's hooks.
    """
    executable = process.executable
    if isinstance(executable, Unknown) or isinstance(executable.place, Unknown):
        return True
    if executable.place.file in runtimes or runs_parents_file(process, parent):
        return True
    return executable.layer is Layer.MEMFD or (in_hook and executable.layer not in _OF_THE_CONTAINER)


def runs_parents_file(process: Process, parent: Process | None) -> bool:
    """A runtime executes itself to go in; nobody else who is sent in runs the file of who sends."""
    if parent is None or isinstance(process.executable, Unknown) or isinstance(parent.executable, Unknown):
        return False
    place, parents = process.executable.place, parent.executable.place
    return not isinstance(place, Unknown) and not isinstance(parents, Unknown) and place.file == parents.file


def is_overdue(process: Process, at_ns: int, host: HostBaseline) -> bool:
    """It has had longer than any runtime takes from its start to the container's program."""
    started_ns = host.boot_time_ns + process.key.start_ticks * 1_000_000_000 // host.ticks_per_second
    return at_ns - started_ns > BECOMING_LIMIT_SECONDS * 1_000_000_000


def as_entered(process: Process, container: Container | None, *, is_exact: bool) -> Process:
    """The process as it was when it entered: as observed if that was its exec, else as wide as it can have been.

    A first process may tighten itself later (no_new_privs, a filter of its own, dropped capabilities) while its
    children, born before, stay as the runtime made them. They must not look wide for that, so where the agent came
    later than the container, what the bundle declared stands for what was.
    """
    declared = container.declared if container is not None else Unknown("no_bundle")
    if is_exact or isinstance(declared, Unknown):
        return process
    return replace(
        process,
        confinement=replace(
            process.confinement,
            capabilities=_wider_capabilities(process.confinement.capabilities, declared),
            no_new_privs=declared.no_new_privs,
            seccomp=_declared_seccomp(process.confinement.seccomp, declared),
        ),
    )


def _wider_capabilities(observed: Capabilities | Unknown, declared: Declared) -> Capabilities:
    if isinstance(observed, Unknown):
        return declared.capabilities
    asked = declared.capabilities
    return Capabilities(
        inheritable=observed.inheritable | asked.inheritable,
        permitted=observed.permitted | asked.permitted,
        effective=observed.effective | asked.effective,
        bounding=observed.bounding | asked.bounding,
        ambient=observed.ambient | asked.ambient,
    )


def _declared_seccomp(observed: Seccomp | Unknown, declared: Declared) -> Seccomp | Unknown:
    """The runtime installs one filter when the bundle asks for any; more were added later."""
    if not declared.seccomp:
        return Seccomp(SeccompMode.DISABLED, 0)
    if isinstance(observed, Unknown) or observed.mode is not SeccompMode.FILTER:
        return observed
    filters = observed.filters if isinstance(observed.filters, Unknown) else min(observed.filters, 1)
    return Seccomp(SeccompMode.FILTER, filters)
