"""The containers of this node: which there are, what was declared for them, and whose a process is.

Concurrency: one lock around all tables. Any thread may call any method: the sensors (``notice``, ``owner``), the
owner of the node's state (``discover``, ``retry_due``, ``expire``), the threads of metadata sources (``merge``).
``owner`` answers what it has answered before without the lock. Files are read under the lock; every read is bounded
and of a local file. Nothing here raises: what cannot be read is ``Unknown`` in the container, a line in ``problems``
and a count.

Bounded: containers (a new one is refused), containers without a bundle (refused earlier, so that a thousand cgroups
with made-up ids displace no real container), look-ups for ids never seen (a token bucket), cached paths (emptied),
metadata that came before its container and problems (the oldest goes). Each has a counter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from collectors.containers.annotations import parse_annotations, parse_labels
from collectors.containers.counters import RegistryCounters
from collectors.containers.entry import Entry, made_of, placeholder, user_of
from collectors.containers.ids import UNKNOWN_RUNTIME
from collectors.containers.locator import Found, Locator, Stamp
from collectors.containers.metadata import Metadata, apply_metadata, bound_metadata
from collectors.containers.owners import CgroupOwners, Reference, Unanswered
from collectors.containers.pods import PodTable
from collectors.containers.problems import Problems
from collectors.containers.sharing import SharedParts
from collectors.containers.sources import GoverningFile, SourceFinder, with_sockets
from collectors.containers.tokens import Tokens
from collectors.facts import CgroupMembership, Container, Declared, Pod, Unknown
from collectors.host import Roots
from collectors.pod_facts import KubeletPods, PodSeen

MAX_CONTAINERS = 4096
MAX_WITHOUT_BUNDLE = 512
MAX_PENDING = 1024

_LOOKUPS_PER_SECOND = 100
_LOOKUPS_AT_ONCE = 200
_RETRIES_AT_ONCE = 32


class ContainerRegistry:
    """Knows every container of the node; see the module for who may call what."""

    def __init__(
        self,
        roots: Roots,
        *,
        extra_state_directories: Iterable[str] = (),
        clock_ns: Callable[[], int],
        max_containers: int = MAX_CONTAINERS,
        max_without_bundle: int = MAX_WITHOUT_BUNDLE,
    ) -> None:
        self._lock = threading.Lock()
        self._locator = Locator(roots, tuple(extra_state_directories), clock_ns)
        self._sources = SourceFinder(roots, clock_ns)
        self._clock_ns = clock_ns
        self._max_containers = max_containers
        self._max_without_bundle = max_without_bundle
        self._entries: dict[str, Entry] = {}
        self._without_bundle: dict[str, None] = {}
        self._owners = CgroupOwners()
        self._pending: dict[str, Metadata] = {}
        self._pods = PodTable(clock_ns)
        self._problems = Problems()
        self._counters = RegistryCounters()
        self._sockets: tuple[GoverningFile, ...] = ()
        self._shared = SharedParts()
        self._plain_stamps: tuple[Stamp | None, ...] | None = None
        self._plain_unread: dict[str, None] = {}
        self._tokens = Tokens(_LOOKUPS_PER_SECOND, _LOOKUPS_AT_ONCE, clock_ns())

    def discover(self) -> tuple[Container, ...]:
        """Every container whose bundle or state is there and whose first process, where it is known, still lives."""
        with self._lock:
            self._plain_stamps = self._locator.plain_stamps()
            for container_id in self._locator.list_ids():
                if container_id not in self._entries:
                    reference = Reference(container_id, UNKNOWN_RUNTIME)
                    self._look_up(reference, self._clock_ns(), only_alive=True)
            found = [entry for entry in self._entries.values() if entry.found is not None]
            for entry in found:
                entry.is_told = True
            return tuple(entry.container for entry in found)

    def notice(self, cgroups: tuple[CgroupMembership, ...], pid: int) -> Container | None:  # noqa: ARG002 (contract)
        """The container of a new process when it is new or changed, else ``None``; cheap when nothing changed.

        To be called also for new processes that ``owner`` does not know: a plain runc container may have any name.
        """
        with self._lock:
            reference = self._owners.refer(cgroups)
            if reference is None:
                self._look_for_plain()
                reference = self._owners.refer(cgroups)
                if reference is None:
                    return None
            now = self._clock_ns()
            entry = self._entries.get(reference.id)
            if entry is None:
                return self._first_notice(reference, now)
            if entry.found is None:
                return self._retry(entry, now) if entry.is_due(now) else entry.tell()
            before = entry.container if entry.is_told else None
            self._refresh(entry, entry.found)
            if not entry.has_shown_cgroups:  # discovered on disk, before any process of it was
                self._show(entry, reference)
            entry.extend(reference.prefixes)
            entry.is_told = True
            return entry.container if entry.container != before else None

    def retry_due(self) -> tuple[Container, ...]:
        """Looks again for bundles that were not there, a few at a time; those found (or never told) are returned.

        To be called once in a sweep: a container with a single process is noticed only once.
        """
        with self._lock:
            now = self._clock_ns()
            due = [each for each in self._without_bundle if self._entries[each].is_due(now)]
            found = [self._retry(self._entries[each], now) for each in due[:_RETRIES_AT_ONCE]]
            if self._plain_unread:
                self._look_for_plain()
            return tuple(each for each in found if each is not None)

    def owner(self, cgroups: tuple[CgroupMembership, ...]) -> str | None:
        """The id of the container that owns these cgroups, ``None`` for the host's own; whether it is known or not."""
        cached = self._owners.cached(cgroups)
        if not isinstance(cached, Unanswered):
            return cached
        with self._lock:
            reference = self._owners.refer(cgroups)
            return None if reference is None else reference.id

    def expire(self, live_ids: Collection[str]) -> tuple[str, ...]:
        """Forgets containers without a live process whose bundle or first process is gone; gives their ids."""
        with self._lock:
            gone = tuple(
                each for each, entry in self._entries.items() if each not in live_ids and not self._is_there(entry)
            )
            for container_id in gone:
                self._forget(container_id)
            return gone

    def merge(
        self,
        container_id: str,
        *,
        name: str | None = None,
        image: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Container | None:
        """Adds what an API says (``None``: nothing); the container when that changed it, ``None`` when not.

        What comes before its container is kept for it.
        """
        metadata = bound_metadata(name, image, labels)
        with self._lock:
            entry = self._entries.get(container_id)
            if entry is None:
                self._pending.pop(container_id, None)
                self._pending[container_id] = metadata
                if len(self._pending) > MAX_PENDING:
                    self._pending.pop(next(iter(self._pending)))
                    self._counters.forgotten_metadata += 1
                return None
            entry.metadata = metadata
            before = entry.container
            entry.container = self._in_pod(entry, apply_metadata(before, metadata))
            return entry.container if entry.container != before else None

    def merge_pods(self, present: Iterable[PodSeen], deleted: Iterable[str] = (), *, is_whole: bool) -> list[Container]:
        """Adds what the API server says of pods (``is_whole``: of all); the containers that this changed."""
        with self._lock:
            changed = self._pods.put(present, is_whole=is_whole)
            for uid in deleted:
                self._pods.delete(uid)
            return self._lay_over(entry for entry in self._entries.values() if entry.container.pod_uid in changed)

    def learn_kubelet(self, kubelet: KubeletPods) -> list[Container]:
        """Adds what the kubelet keeps on disk; the containers that this changed."""
        with self._lock:
            entries = [entry for entry in self._entries.values() if entry.container.pod_uid is not None]
            self._pods.learn(kubelet, (uid for entry in entries if (uid := entry.container.pod_uid) is not None))
            return self._lay_over(entries)

    def learn_sockets(self, sockets: tuple[GoverningFile, ...]) -> list[Container]:
        """Takes who listens on the host's governing sockets now; the containers that come to other ones by this."""
        with self._lock:
            self._sockets = sockets
            return self._changed(self._entries.values(), self._with_sockets)

    def wants_kubelet(self) -> bool:
        """There is a pod of which another look at the kubelet's directory would tell more."""
        with self._lock:
            return self._pods.is_unsure or any(
                isinstance(entry.container.kubelet_has_pod, Unknown) and entry.container.pod_uid is not None
                for entry in self._entries.values()
            )

    def get(self, container_id: str) -> Container | None:
        """The container of that id, ``None`` when it is not remembered."""
        with self._lock:
            entry = self._entries.get(container_id)
            return None if entry is None else entry.container

    def containers(self) -> tuple[Container, ...]:
        """All containers that are remembered."""
        with self._lock:
            return tuple(entry.container for entry in self._entries.values())

    def problems(self) -> tuple[tuple[str, str], ...]:
        """(source, why) of every bundle or state file that is unreadable or odd, each once, the latest last."""
        with self._lock:
            return self._problems.known()

    def take_problems(self) -> tuple[tuple[str, str], ...]:
        """Those of ``problems`` that were not taken before: for the log, once each."""
        with self._lock:
            return self._problems.take()

    def counters(self) -> RegistryCounters:
        """A copy of the counters."""
        with self._lock:
            return replace(
                self._counters,
                problems=self._problems.count,
                forgotten_problems=self._problems.forgotten,
                forgotten_pods=self._pods.evicted,
                emptied_path_caches=self._owners.emptied,
            )

    # What follows runs under the lock.

    def _lay_over(self, entries: Iterable[Entry]) -> list[Container]:
        """Lays what is known of pods over containers; those that changed and that somebody was told of."""
        return self._changed(entries, self._in_pod)

    def _changed(self, entries: Iterable[Entry], change: Callable[[Entry, Container], Container]) -> list[Container]:
        changed = []
        for entry in entries:
            before, entry.container = entry.container, change(entry, entry.container)
            if entry.is_told and entry.container != before:
                changed.append(entry.container)
        return changed

    def _with_sockets(self, _: Entry, container: Container) -> Container:
        """The container with the governing sockets that its declared mounts give it."""
        before = container.sources
        if isinstance(before, Unknown):
            return container
        after = with_sockets(before, self._sockets)
        return container if after == before else replace(container, sources=after)

    def _in_pod(self, entry: Entry, container: Container) -> Container:
        """The container with what is known of its pod, which its runtime may have named already."""
        own: Pod | None = None
        if isinstance(container.declared, Declared):
            own = parse_annotations(dict(container.declared.annotations), container.runtime).pod
        if own is None and entry.metadata is not None:
            own = parse_labels(dict(entry.metadata.labels))
        return self._pods.apply(container, own)

    def _first_notice(self, reference: Reference, now: int) -> Container | None:
        if self._tokens.take(now):
            entry = self._look_up(reference, now)
        else:
            self._counters.deferred_lookups += 1
            entry = self._add(reference, Unknown("not_read"), now)
        return None if entry is None else entry.tell()

    def _look_up(self, reference: Reference, now: int, *, only_alive: bool = False) -> Entry | None:
        found = self._locator.find(reference.id, user_of(reference.prefixes))
        if isinstance(found, Unknown):
            if only_alive:
                return None
            entry = self._add(reference, found, now)
            if entry is not None:
                entry.schedule(now)
            return entry
        if only_alive and found.first_pid is not None and not self._locator.is_alive(found.first_pid):
            return None
        if len(self._entries) - len(self._without_bundle) >= self._max_containers:
            self._counters.refused_containers += 1
            return None
        entry = self._entries.get(reference.id)
        if entry is None:
            entry = Entry(reference, placeholder(reference, Unknown("not_read")))
            entry.metadata = self._pending.pop(reference.id, None)
            self._entries[reference.id] = entry
        self._without_bundle.pop(reference.id, None)
        self._take(entry, found)
        return entry

    def _add(self, reference: Reference, why: Unknown, now: int) -> Entry | None:
        """Remembers a container of which nothing was found yet, if there is room."""
        if len(self._without_bundle) >= self._max_without_bundle:
            self._counters.refused_without_bundle += 1
            return None
        entry = Entry(reference, placeholder(reference, why), next_try_ns=now)
        entry.metadata = self._pending.pop(reference.id, None)
        if entry.metadata is not None:
            entry.container = apply_metadata(entry.container, entry.metadata)
        entry.container = self._in_pod(entry, entry.container)
        self._entries[reference.id] = entry
        self._without_bundle[reference.id] = None
        return entry

    def _retry(self, entry: Entry, now: int) -> Container | None:
        found = self._locator.find(entry.reference.id, user_of(entry.reference.prefixes))
        if isinstance(found, Unknown):
            entry.schedule(now)
            before = entry.container
            entry.container = replace(before, declared=found)
            if entry.is_told and entry.container != before:
                return entry.container
            return entry.tell()
        if len(self._entries) - len(self._without_bundle) >= self._max_containers:
            self._counters.refused_containers += 1
            entry.schedule(now)
            return None
        self._without_bundle.pop(entry.reference.id, None)
        self._take(entry, found)
        entry.is_told = True
        return entry.container

    def _take(self, entry: Entry, found: Found) -> None:
        """Makes the container anew from what was found."""
        entry.found = found
        entry.watched = self._locator.stamp(found.watch)
        entry.config = None if found.config is None else self._locator.stamp(found.config)
        reference = entry.reference
        declared = found.declared if isinstance(found.declared, Unknown) else self._shared.of(found.declared)
        container = made_of(reference, found, declared, self._sources)
        if entry.metadata is not None:
            container = apply_metadata(container, entry.metadata)
        entry.container = self._in_pod(entry, self._with_sockets(entry, container))
        self._owners.learn(entry.container)
        if reference.prefixes:
            self._show(entry, reference)
        for problem in found.problems:
            self._problems.note(problem)

    def _refresh(self, entry: Entry, found: Found) -> None:
        """Looks again when the directory changed: a restart makes a new one, the first pid is written a bit later."""
        watched = self._locator.stamp(found.watch)
        if watched is None or watched == entry.watched:
            return  # gone is what expire is for: the bundle goes before the last process does
        is_same = entry.watched is not None and watched[:2] == entry.watched[:2] and found.first_pid is not None
        if is_same and found.config is not None and self._locator.stamp(found.config) == entry.config:
            entry.watched = watched  # the shim wrote something else there, as it does for each exec
            return
        again = self._locator.find(entry.reference.id, user_of(entry.reference.prefixes))
        if isinstance(again, Unknown):
            return
        if isinstance(again.declared, Unknown) and again.declared.why.startswith("gone"):
            return  # between the directory and its config.json
        self._take(entry, again)

    def _show(self, entry: Entry, reference: Reference) -> None:
        """Takes what the cgroup of a container's process says, by which its pod may become known."""
        had_uid = entry.container.pod_uid is not None
        entry.show(reference)
        if not had_uid:
            entry.container = self._in_pod(entry, entry.container)
        entry.extend(reference.prefixes)

    def _look_for_plain(self) -> None:
        """Learns of containers that were started without a higher runtime, when a state directory changed."""
        stamps = self._locator.plain_stamps()
        if stamps == self._plain_stamps and not self._plain_unread:
            return
        if stamps != self._plain_stamps:
            self._plain_stamps = stamps
            self._plain_unread = dict.fromkeys(name for name in self._locator.list_plain() if name not in self._entries)
        now = self._clock_ns()
        for name in tuple(self._plain_unread)[:_RETRIES_AT_ONCE]:
            if not self._tokens.take(now):
                return
            entry = self._look_up(Reference(name, UNKNOWN_RUNTIME), now, only_alive=True)
            if entry is not None:
                del self._plain_unread[name]

    def _is_there(self, entry: Entry) -> bool:
        if entry.found is None or self._locator.stamp(entry.found.watch) is None:
            return False
        pid = entry.container.first_pid
        return pid is None or self._locator.is_alive(pid)

    def _forget(self, container_id: str) -> None:
        del self._entries[container_id]
        self._without_bundle.pop(container_id, None)
        self._owners.forget(container_id)
