"""A container, its pod, and the host's files behind its mounts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from collectors.facts.declared import Declared
from collectors.facts.identity import NOT_READ, FileId, Unknown
from collectors.pod_facts import PodDetails


@dataclass(frozen=True, slots=True)
class Pod:
    """The Kubernetes pod that a container belongs to: from its bundle's annotations, else the kubelet's or the API's.

    ``container_name`` is empty where only the pod is known.
    """

    namespace: str
    name: str
    uid: str
    container_name: str
    is_sandbox: bool


class Reach(StrEnum):
    """How the source of a mount stands to a place of the host."""

    IS = "is"
    ABOVE = "above"  # a directory above it: the place comes with it
    BELOW = "below"  # something in it


@dataclass(frozen=True, slots=True)
class Reached:
    """A place of the host that comes with a mount, and how: an entry of ``collectors.host_places``, or a socket.

    ``server`` is who listens on a governing socket (``collectors.governors``), empty where nobody was found.
    """

    place: str
    reach: Reach
    server: str = ""


class FileKind(StrEnum):
    """What a file is."""

    DIRECTORY = "directory"
    REGULAR = "regular"
    SOCKET = "socket"
    BLOCK_DEVICE = "block_device"
    CHARACTER_DEVICE = "character_device"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class MountSource:
    """The source of one declared bind mount, found on the host's side when the bundle was read.

    ``path`` is its real path on the host. Where ``file`` is ``Unknown`` it is the declared one, and ``reached`` is told
    by the path alone.
    """

    destination: str
    path: str
    is_read_only: bool
    file: FileId | Unknown
    kind: FileKind | Unknown
    reached: tuple[Reached, ...]


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the node shows it: identity, what was declared, which process is its first.

    ``declared`` is ``Unknown`` when no bundle was found or could be read: ``Unknown("no_bundle")`` when every state
    directory of a runtime that we can see was searched in vain. ``cgroup_paths`` are the container's own cgroups, up to
    and including the component that bears its id, one for each hierarchy that was seen. ``first_pid`` and
    ``first_start_ticks`` come from the runtime's state where there is one. ``pid`` is the host's. ``sources`` are the
    host's files behind the declared bind mounts. ``has_linked_dev`` says that ``/dev`` of its image is a symbolic link.
    ``kubelet_has_pod`` says whether the kubelet of this node keeps a directory for the pod whose cgroup this is.
    """

    id: str
    runtime: str  # docker, containerd, cri-o, podman, runc, crun, ...
    declared: Declared | Unknown
    cgroup_paths: frozenset[bytes]
    first_pid: int | None = None
    first_start_ticks: int | None = None
    created_ns: int | None = None
    bundle_path: str | None = None
    name: str | None = None
    image: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    pod: Pod | None = None
    pod_uid: str | None = None  # from the cgroup path, known before any annotation is
    pod_details: PodDetails | None = None
    kubelet_has_pod: bool | Unknown = NOT_READ
    sources: tuple[MountSource, ...] | Unknown = NOT_READ
    has_linked_dev: bool | Unknown = NOT_READ
