"""When a runtime's process has become the container, and what it was like at that moment.

The runtime clones, joins namespaces, moves into the container's cgroup, drops privileges, one after the other, and only
then executes the container's program. Until then its own process is half host, half container, and judging it would
alarm on every start. It is told by what it runs: the runtime's own binary, which is not on any mount of the container.
Nothing here knows a runtime's name. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from collectors.facts import (
    Capabilities,
    Container,
    Declared,
    Executable,
    HostBaseline,
    Layer,
    Process,
    Seccomp,
    SeccompMode,
    Unknown,
)

BECOMING_LIMIT_SECONDS = 10
_OF_THE_CONTAINER = frozenset({Layer.IMAGE, Layer.UPPER, Layer.CHANGED, Layer.TMPFS, Layer.VOLUME})


def has_entered(process: Process, at_ns: int, parent: Process | None, host: HostBaseline) -> bool:
    """The process runs a program of the container, or has had longer than any runtime takes to get there.

    Its parent is no (full) member: it came from the host. A runtime's stage runs the same file as its parent, a known
    runtime's, or a sealed copy of it (memfd, or a detached mount of it). ``at_ns`` is now.
    """
    executable = process.executable
    if isinstance(executable, Executable) and executable.layer in _OF_THE_CONTAINER:
        return not _runs_the_runtime(executable, parent, host)
    started_ns = host.boot_time_ns + process.key.start_ticks * 1_000_000_000 // host.ticks_per_second
    return at_ns - started_ns > BECOMING_LIMIT_SECONDS * 1_000_000_000


def _runs_the_runtime(executable: Executable, parent: Process | None, host: HostBaseline) -> bool:
    """A container without a mount namespace of its own shows the runtime's binary as one of its files."""
    if isinstance(executable.place, Unknown):
        return False
    if executable.place.file in host.runtime_binaries:
        return True
    return (
        parent is not None
        and isinstance(parent.executable, Executable)
        and not isinstance(parent.executable.place, Unknown)
        and parent.executable.place.file == executable.place.file
    )


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
