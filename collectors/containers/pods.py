"""What is known of the node's pods, by uid, and how it is laid over the containers that are in them.

A container is joined with its pod by the uid in its cgroup's path: the API server knows a pod by it half a second
before its first process runs, and the id of a container half a second after. What the bundle says comes first; a pod
that its bundle calls otherwise is not taken for the same.

Not thread-safe: the registry has the lock. Bounded: pods (those that are deleted go first, then the oldest; counted),
and a pod's last known state is kept for ``keep_deleted_ns`` after its deletion, since what ran in it is told of later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from collectors.facts import Container, Pod, Unknown
from collectors.pod_facts import KubeletPods, PodDetails, PodSeen

MAX_PODS = 2048
KEEP_DELETED_NS = 600 * 1_000_000_000

_NOTHING = KubeletPods(None, {}, {})
_NOT_SEEN = Unknown("not_read: no directory of the kubelet")
_NOT_YET = Unknown("not_read: the kubelet's directory was not looked at since")
_NOT_OURS = Unknown("not_read: the kubelet's directory names no pod of this node")


@dataclass(slots=True)
class _Known:
    seen: PodSeen
    deleted_ns: int | None = None


class PodTable:
    """See the module; ``evicted`` counts pods that had to go for others."""

    def __init__(
        self, clock_ns: Callable[[], int], *, max_pods: int = MAX_PODS, keep_deleted_ns: int = KEEP_DELETED_NS
    ) -> None:
        self.evicted = 0
        self._clock_ns = clock_ns
        self._max_pods = max_pods
        self._keep_deleted_ns = keep_deleted_ns
        self._known: dict[str, _Known] = {}
        self._kubelet = _NOTHING
        self._is_believed = False
        self._missed: frozenset[str] = frozenset()
        self._missing: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._known)

    def put(self, pods: Iterable[PodSeen], *, is_whole: bool) -> frozenset[str]:
        """Takes pods that are there; with ``is_whole`` there are no others. The uids about which something changed."""
        changed = set()
        present = set()
        for seen in pods:
            uid = seen.details.uid
            present.add(uid)
            known = self._known.get(uid)
            if known is None or known.seen != seen:
                changed.add(uid)
            self._known[uid] = _Known(seen)
        if is_whole:
            for uid in self._known.keys() - present:
                self.delete(uid)
        self._expire()
        return frozenset(changed)

    def delete(self, uid: str) -> None:
        """The pod is no more; its last state is kept for a while."""
        known = self._known.get(uid)
        if known is not None and known.deleted_ns is None:
            known.deleted_ns = self._clock_ns()

    def learn(self, kubelet: KubeletPods, running: Iterable[str]) -> None:
        """Takes what the kubelet has on disk; ``running`` are the uids of the pods in which there are containers.

        A pod whose directory is missing is believed to be unknown to the kubelet at the second look: a directory made
        between a look and the first process of its pod would be missed else. And only where the directory names some
        pod that runs here: it may be another cluster's, or none that is in use.
        """
        self._kubelet = kubelet
        uids, wanted = kubelet.uids or frozenset(), frozenset(running)
        self._is_believed = not wanted.isdisjoint(uids)
        absent = wanted - uids if self._is_believed else frozenset()
        self._missing, self._missed = absent & self._missed, absent

    @property
    def is_unsure(self) -> bool:
        """Another look at the kubelet's directory would tell more."""
        return self._missed != self._missing

    def apply(self, container: Container, own: Pod | None) -> Container:
        """The container with what is known of its pod; ``own`` is what its runtime says, which stands."""
        uid = container.pod_uid
        if uid is None:
            return container
        known = self._known.get(uid)
        details = known.seen.details if known is not None and _is_same(known.seen.details, own) else None
        return replace(
            container,
            pod=own or self._pod(uid, container.id, known.seen if known is not None else None),
            pod_details=details,
            kubelet_has_pod=self._kubelet_has(uid),
        )

    def _kubelet_has(self, uid: str) -> bool | Unknown:
        uids = self._kubelet.uids
        if uids is None:
            return _NOT_SEEN
        if uid in uids:
            return True
        if uid in self._missing:
            return False
        return _NOT_YET if self._is_believed else _NOT_OURS

    def _pod(self, uid: str, container_id: str, seen: PodSeen | None) -> Pod | None:
        """The names of a pod of which the runtime says none."""
        if seen is not None:
            names = (seen.details.namespace, seen.details.name)
            name = dict(seen.containers).get(container_id)
        elif uid in self._kubelet.names:
            names, name = self._kubelet.names[uid], None
        else:
            return None
        return Pod(*names, uid, name or self._kubelet.containers.get(container_id, ""), is_sandbox=False)

    def _expire(self) -> None:
        now = self._clock_ns()
        deleted = [(known.deleted_ns, uid) for uid, known in self._known.items() if known.deleted_ns is not None]
        for at_ns, uid in sorted(deleted):
            if now - at_ns > self._keep_deleted_ns or len(self._known) > self._max_pods:
                self.evicted += now - at_ns <= self._keep_deleted_ns
                del self._known[uid]
        while len(self._known) > self._max_pods:
            del self._known[next(iter(self._known))]
            self.evicted += 1


def _is_same(details: PodDetails, own: Pod | None) -> bool:
    return own is None or (details.namespace, details.name) == (own.namespace, own.name)
