"""What the kubelet leaves on the node's disk of its pods: no call to anybody, for any runtime, static pods included.

Source: kubernetes/kubernetes ``pkg/kubelet/kubelet_getters.go`` (``ROOT/pods/UID``, made before the pod's first
process and removed after its last), ``pkg/kubelet/kuberuntime/helpers.go`` (``LOGS/NAMESPACE_NAME_UID/CONTAINER``) and
``legacy.go`` (``/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log``). A static pod's uid is a hash of its manifest.

Only names of directory entries are read. Those of the logs are hostile: a container to which ``/var/log`` was given can
make any. They must be names that the API server would take, serve only containers whose bundle does not name their
pod, and of a uid that two directories claim nothing is taken. The kubelet's own directory is closed to containers; a
container that was given it can hide a forged pod, and has a finding for that mount (HW-305).

Concurrency: one thread calls ``look``, ``use`` is called by the same. The look costs three ``stat`` where nothing
changed. Nothing is raised; a node without a kubelet is silent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator

from collectors.containers.registry import ContainerRegistry
from collectors.errors import CollectorError
from collectors.events import ContainerSeen, Event
from collectors.facts import Unknown
from collectors.host import Roots
from collectors.hosttree import entries_below, open_below
from collectors.node_facts import Kubelet
from collectors.pod_facts import KubeletPods

MAX_ENTRIES = 8192
ABSENT_NS = 30 * 1_000_000_000
AGAIN_NS = 60 * 1_000_000_000
PAUSE_PER_ENTRY_NS = 1_000_000
"""An entry costs 5 us: whoever fills a directory with names, and goes on changing it, does not take more than 1%."""

DIRECTORIES = ("/var/lib/kubelet", "/var/snap/microk8s/common/var/lib/kubelet", "/var/lib/k0s/kubelet")
"""Where kubelets keep their state; the others (k3s, RKE2, kind, OpenShift, Talos, Bottlerocket) have the first."""

LOGS = "/var/log/pods"
LOG_LINKS = "/var/log/containers"

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = r"(?=[^_]{1,253}_)[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?"
_UID = r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})"
_POD_DIRECTORY = re.compile(_UID.encode())
_LOG_DIRECTORY = re.compile(rf"({_LABEL})_({_SUBDOMAIN})_({_UID})".encode())
_LOG_LINK = re.compile(rf"{_SUBDOMAIN}_{_LABEL}_({_LABEL})-([0-9a-f]{{64}})\.log".encode())


def parse_pod_directories(names: Iterable[bytes]) -> frozenset[str]:
    """The uids among the names in the kubelet's ``pods``."""
    return frozenset(name.decode() for name in names if _POD_DIRECTORY.fullmatch(name) is not None)


def parse_log_directories(names: Iterable[bytes]) -> dict[str, tuple[str, str]]:
    """(namespace, name) of pods by uid; a uid that is claimed twice is nobody's."""
    found: dict[str, tuple[str, str]] = {}
    claimed_twice: set[str] = set()
    for match in _matches(_LOG_DIRECTORY, names):
        namespace, name, uid = (match[number].decode() for number in (1, 2, 3))
        if found.setdefault(uid, (namespace, name)) != (namespace, name):
            claimed_twice.add(uid)
    return {uid: named for uid, named in found.items() if uid not in claimed_twice}


def parse_log_links(names: Iterable[bytes]) -> dict[str, str]:
    """The names of containers by their ids; an id that is claimed for two is nobody's."""
    found: dict[str, str] = {}
    claimed_twice: set[str] = set()
    for match in _matches(_LOG_LINK, names):
        name, container_id = match[1].decode(), match[2].decode()
        if found.setdefault(container_id, name) != name:
            claimed_twice.add(container_id)
    return {each: name for each, name in found.items() if each not in claimed_twice}


def _matches(pattern: re.Pattern[bytes], names: Iterable[bytes]) -> Iterator[re.Match[bytes]]:
    return (match for name in names if (match := pattern.fullmatch(name)) is not None)


class KubeletDisk:
    """Looks at the kubelet's directories for the registry. ``directory`` is the kubelet's, where it is configured."""

    def __init__(
        self,
        roots: Roots,
        registry: ContainerRegistry,
        emit: Callable[[Event], None],
        *,
        clock_ns: Callable[[], int],
        directory: str | None = None,
    ) -> None:
        self._root = roots.host
        self._registry = registry
        self._emit = emit
        self._clock_ns = clock_ns
        self._configured = directory
        self._directories: tuple[str, ...] = (directory,) if directory is not None else DIRECTORIES
        self._logs = LOGS
        self._stamps: tuple[int | None, ...] = ()
        self._due_ns = 0
        self._not_before_ns = 0
        self._looked_ns = 0
        self._entries = 0

    def use(self, kubelet: Kubelet | Unknown | None) -> None:
        """The kubelet that runs says itself where its directories are; the configuration knows better."""
        if not isinstance(kubelet, Kubelet):
            return
        self._logs = kubelet.pod_logs_directory
        if self._configured is None:
            self._directories = tuple(dict.fromkeys((kubelet.root_directory, *DIRECTORIES)))

    def look(self) -> None:
        """Read what changed, and tell the containers about which more is known now."""
        now = self._clock_ns()
        if now < self._looked_ns:  # the clock was set back
            self._due_ns = self._not_before_ns = now
        self._looked_ns = now
        if now < self._not_before_ns:
            return
        stamps = tuple(
            self._stamp(path) for path in (*(f"{each}/pods" for each in self._directories), *self._log_paths())
        )
        is_absent = not any(stamps)
        is_same = stamps == self._stamps and (is_absent or not self._registry.wants_kubelet())
        if is_same and now < self._due_ns:
            return
        self._stamps, self._due_ns = stamps, now + (ABSENT_NS if is_absent else AGAIN_NS)
        self._entries = 0
        read = self._read()
        self._not_before_ns = now + self._entries * PAUSE_PER_ENTRY_NS
        for container in self._registry.learn_kubelet(read):
            self._emit(ContainerSeen(self._clock_ns(), container))

    def _log_paths(self) -> tuple[str, str]:
        return self._logs, LOG_LINKS

    def _read(self) -> KubeletPods:
        listed = [names for each in self._directories if (names := self._names(f"{each}/pods")) is not None]
        logs, links = (self._names(path) or [] for path in self._log_paths())
        return KubeletPods(
            uids=frozenset[str]().union(*map(parse_pod_directories, listed)) if listed else None,
            names=parse_log_directories(logs),
            containers=parse_log_links(links),
        )

    def _names(self, path: str) -> list[bytes] | None:
        try:
            names = entries_below(self._root, os.fsencode(path), MAX_ENTRIES)
        except CollectorError:
            return None
        self._entries += len(names)
        return names

    def _stamp(self, path: str) -> int | None:
        """When the directory last changed, ``None`` where there is none that we may see."""
        try:
            with open_below(self._root, os.fsencode(path), follow_links=True) as (found, _):
                return os.fstat(found).st_mtime_ns
        except CollectorError:
            return None
