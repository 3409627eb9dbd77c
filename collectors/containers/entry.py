"""What the registry remembers of one container, and how it is made of what was found."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from collectors.containers.annotations import parse_annotations
from collectors.containers.ids import UNKNOWN_RUNTIME, parse_declared_path
from collectors.containers.locator import Found, Stamp
from collectors.containers.metadata import Metadata
from collectors.containers.owners import Reference
from collectors.containers.sources import SourceFinder
from collectors.facts import Container, Declared, Unknown

_FIRST_RETRY_NS = 50_000_000
_LAST_RETRY_NS = 60_000_000_000
_USER_SLICE = re.compile(rb"/user-(\d{1,10})\.slice/")


@dataclass(slots=True)
class Entry:
    """What is remembered of one container; without ``found`` it is looked for again at ``next_try_ns``."""

    reference: Reference
    container: Container
    found: Found | None = None
    watched: Stamp | None = None
    config: Stamp | None = None
    metadata: Metadata | None = None
    attempts: int = 0
    next_try_ns: int = 0
    is_told: bool = False
    has_shown_cgroups: bool = False

    def tell(self) -> Container | None:
        """The container, if nobody was told of it before and it was looked for."""
        if self.is_told or (self.found is None and self.attempts == 0):
            return None
        self.is_told = True
        return self.container

    def schedule(self, now: int) -> None:
        """It was not found: look again, but later each time."""
        self.next_try_ns = now + min(_LAST_RETRY_NS, _FIRST_RETRY_NS << min(self.attempts, 12))
        self.attempts += 1

    def show(self, reference: Reference) -> None:
        """Takes what the cgroup of a container's process says; its path only where the runtime wrote none.

        ``linux.cgroupsPath`` alone does not do: a rootless runtime's is relative to the user's own slice.
        """
        if not self.reference.prefixes:
            self.reference = reference
        self.has_shown_cgroups = True
        container = self.container
        is_written = self.found is not None and self.found.state is not None and self.found.state.cgroup_paths
        self.container = replace(
            container,
            runtime=reference.runtime if container.runtime == UNKNOWN_RUNTIME else container.runtime,
            pod_uid=container.pod_uid or reference.pod_uid,
            cgroup_paths=container.cgroup_paths if is_written else container.cgroup_paths | reference.prefixes,
        )

    def is_due(self, now: int) -> bool:
        """It is time to look again; also when the clock was set back."""
        return not 0 < self.next_try_ns - now <= _LAST_RETRY_NS

    def extend(self, prefixes: frozenset[bytes]) -> None:
        """Adds cgroups as a reader in a private cgroup namespace sees them: tails of the container's own.

        No others: a container may make a cgroup wherever it can write, and give it its own id
        (``test_does_not_take_a_cgroup_that_the_container_made``).
        """
        container = self.container
        new = frozenset(
            prefix
            for prefix in prefixes - container.cgroup_paths
            if prefix.startswith(b"/../") and any(is_tail(prefix, path) for path in container.cgroup_paths)
        )
        if new:
            self.container = replace(container, cgroup_paths=container.cgroup_paths | new)


def made_of(reference: Reference, found: Found, declared: Declared | Unknown, sources: SourceFinder) -> Container:
    """The container as its bundle and its runtime's state tell it; what others say of it is laid over later."""
    runtime = reference.runtime if found.runtime == UNKNOWN_RUNTIME else found.runtime
    trusted = found.state.cgroup_paths if found.state is not None else frozenset[bytes]()
    name = image = pod = None
    if isinstance(declared, Declared):
        identity = parse_annotations(dict(declared.annotations), runtime)
        name, image, pod = identity.name, identity.image, identity.pod
        path = parse_declared_path(declared.cgroups_path)
        if not trusted and path is not None:
            trusted = frozenset((path,))
    return Container(
        id=reference.id,
        runtime=runtime,
        declared=declared,
        cgroup_paths=trusted,
        first_pid=found.first_pid,
        first_start_ticks=found.state.start_ticks if found.state is not None and found.state.pid else None,
        created_ns=found.state.created_ns if found.state is not None else None,
        bundle_path=found.bundle_path,
        name=name,
        image=image,
        pod=pod,
        pod_uid=reference.pod_uid or (pod.uid or None if pod is not None else None),
        sources=declared if isinstance(declared, Unknown) else sources.find(declared),
        has_linked_dev=declared if isinstance(declared, Unknown) else sources.has_linked_dev(declared),
    )


def placeholder(reference: Reference, why: Unknown) -> Container:
    """A container of which nothing is known but its cgroup."""
    return Container(
        id=reference.id,
        runtime=reference.runtime,
        declared=why,
        cgroup_paths=reference.prefixes,
        pod_uid=reference.pod_uid,
    )


def is_tail(shown: bytes, path: bytes) -> bool:
    """``/../../b/c`` is what a private cgroup namespace shows of ``/a/b/c``."""
    tail = re.sub(rb"^(?:/\.\.)+", b"", shown)
    return bool(tail) and path.endswith(tail)


def user_of(prefixes: frozenset[bytes]) -> str | None:
    """The user id in whose slice the cgroups lie."""
    for prefix in prefixes:
        match = _USER_SLICE.search(prefix)
        if match is not None:
            return match[1].decode()
    return None
