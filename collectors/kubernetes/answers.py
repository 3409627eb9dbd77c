"""Answers of the API server about pods: a list, and the lines of a watch, taken apart and cut to bounds. Pure.

Source: the Kubernetes API, ``v1.PodList`` and ``metav1.WatchEvent``, of which only the members that are kept are
decoded: no model objects, the rest of the text is skipped. What a workload's owner writes (labels, commands, names of
ephemeral containers) is of strangers. A pod that makes no sense is left out and counted, the others stand.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from collectors.errors import Malformed
from collectors.kubernetes.workload import workload_of
from collectors.pod_facts import PodCommand, PodDetails, PodOwner, PodSeen

SOURCE = "Kubernetes API"
MAX_LABELS = 64
MAX_TEXT_CHARACTERS = 256
MAX_CONTAINERS = 64
MAX_COMMANDS = 32
MAX_COMMAND_WORDS = 32
MAX_VERSION_CHARACTERS = 128

MIRROR = "kubernetes.io/config.mirror"  # pkg/kubelet/types/pod_update.go: on the mirror, the static pod's own uid
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_STATIC_UID = re.compile(r"[0-9a-f]{32}", re.ASCII)  # a hash of the manifest: nobody can name another pod's uid so
_CONTAINER_ID = re.compile(r"[a-z0-9.-]{1,32}://([0-9a-f]{64})", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")


class _Owner(msgspec.Struct):
    kind: str
    name: str
    controller: bool = False


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    creation_timestamp: str | None = None


class _Exec(msgspec.Struct):
    command: list[str] | None = None


class _Handler(msgspec.Struct):
    exec: _Exec | None = None


class _Lifecycle(msgspec.Struct, rename="camel"):
    post_start: _Handler | None = None
    pre_stop: _Handler | None = None


class _Container(msgspec.Struct, rename="camel"):
    name: str
    liveness_probe: _Handler | None = None
    readiness_probe: _Handler | None = None
    startup_probe: _Handler | None = None
    lifecycle: _Lifecycle | None = None


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    service_account_name: str | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    ephemeral_containers: list[_Container] | None = None


class _ContainerStatus(msgspec.Struct):
    name: str
    container_id: str = msgspec.field(name="containerID", default="")


class _Status(msgspec.Struct, rename="camel"):
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None
    ephemeral_container_statuses: list[_ContainerStatus] | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct):
    metadata: _ListMetadata


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None


class _Failure(msgspec.Struct):
    code: int = 0
    reason: str = ""
    details: _Details | None = None


@dataclass(frozen=True, slots=True)
class PodsListed:
    """All pods of a list, the version to watch from, and how many items made no sense."""

    version: str
    pods: tuple[PodSeen, ...]
    odd: int


class ChangeKind(StrEnum):
    """What a line of a watch says."""

    PRESENT = "present"  # ADDED, MODIFIED
    DELETED = "deleted"
    BOOKMARK = "bookmark"


@dataclass(frozen=True, slots=True)
class Change:
    """A line of a watch; ``pod`` is ``None`` for a bookmark, and for a pod that makes no sense."""

    kind: ChangeKind
    version: str
    pod: PodSeen | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server ends the watch with an error, as HTTP would number it."""

    code: int
    retry_after_seconds: float | None


_KINDS = {
    "ADDED": ChangeKind.PRESENT,
    "MODIFIED": ChangeKind.PRESENT,
    "DELETED": ChangeKind.DELETED,
    "BOOKMARK": ChangeKind.BOOKMARK,
}
_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_POD = msgspec.json.Decoder(_Pod)
_VERSIONED = msgspec.json.Decoder(_Versioned)
_FAILURE = msgspec.json.Decoder(_Failure)
_ODD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def parse_list(body: bytes) -> PodsListed:
    """A ``PodList``; raises ``Malformed`` where it is none."""
    try:
        listed = _LIST.decode(body)
    except _ODD as error:
        raise Malformed(SOURCE, f"no list of pods: {error}") from error
    items = listed.items or ()
    pods = tuple(pod for item in items if (pod := _pod(item)) is not None)
    return PodsListed(_version(listed.metadata.resource_version), pods, len(items) - len(pods))


def parse_event(line: bytes) -> Change | Refusal:
    """One line of a watch; raises ``Malformed`` for what is none."""
    try:
        event = _EVENT.decode(line)
        if event.type == "ERROR":
            failure = _FAILURE.decode(event.object)
            wait = failure.details.retry_after_seconds if failure.details is not None else None
            return Refusal(failure.code, wait)
        version = _version(_VERSIONED.decode(event.object).metadata.resource_version)
    except _ODD as error:
        raise Malformed(SOURCE, f"no event of a watch: {error}") from error
    kind = _KINDS.get(event.type)
    if kind is None:
        raise Malformed(SOURCE, "an event of a kind that no watch has")
    return Change(kind, version, None if kind is ChangeKind.BOOKMARK else _pod(event.object))


def _version(text: str) -> str:
    """A resource version is opaque and goes into a URL as it is."""
    if len(text) > MAX_VERSION_CHARACTERS or _VERSION.fullmatch(text) is None:
        raise Malformed(SOURCE, "a resource version that is none")
    return text


def _pod(raw: msgspec.Raw) -> PodSeen | None:
    """The pod, ``None`` for one that makes no sense."""
    try:
        pod = _POD.decode(raw)
    except _ODD:
        return None
    metadata, spec = pod.metadata, pod.spec
    mirrored = (metadata.annotations or {}).get(MIRROR, "")
    is_static = _STATIC_UID.fullmatch(mirrored) is not None
    if _UID.fullmatch(metadata.uid) is None or not metadata.name or not metadata.namespace:
        return None
    labels = tuple(sorted((_cut(key), _cut(value)) for key, value in (metadata.labels or {}).items())[:MAX_LABELS])
    controller = next((each for each in metadata.owner_references or () if each.controller), None)
    # A mirror pod is owned by its node (pkg/kubelet/pod/mirror_client.go), which is no workload.
    owner = None if controller is None or is_static else PodOwner(_cut(controller.kind), _cut(controller.name))
    details = PodDetails(
        namespace=_cut(metadata.namespace),
        name=_cut(metadata.name),
        uid=mirrored if is_static else metadata.uid,
        node=_cut(spec.node_name),
        labels=labels,
        service_account=_cut(spec.service_account_name or "") or None,
        owner=owner,
        workload=workload_of(owner, metadata.labels or {}, _seconds(metadata.creation_timestamp)),
        is_static=is_static,
        ephemeral_containers=tuple(_cut(each.name) for each in (spec.ephemeral_containers or ())[:MAX_CONTAINERS]),
        commands=tuple(each for each, _ in zip(_commands(spec), range(MAX_COMMANDS), strict=False)),
    )
    return PodSeen(details, tuple(_containers(pod.status)))


def _containers(status: _Status) -> Iterator[tuple[str, str]]:
    for statuses in (
        status.container_statuses,
        status.init_container_statuses,
        status.ephemeral_container_statuses,
    ):
        for each in (statuses or ())[:MAX_CONTAINERS]:
            match = _CONTAINER_ID.fullmatch(each.container_id)
            if match is not None:
                yield match[1], _cut(each.name)


def _commands(spec: _Spec) -> Iterator[PodCommand]:
    """What the kubelet runs in the pod's containers by itself; a command too long to be kept whole is left out."""
    for container in (*(spec.containers or ()), *(spec.init_containers or ()))[:MAX_CONTAINERS]:
        lifecycle = container.lifecycle or _Lifecycle()
        handlers = (
            *zip(_PROBES, (container.liveness_probe, container.readiness_probe, container.startup_probe), strict=True),
            *zip(_HOOKS, (lifecycle.post_start, lifecycle.pre_stop), strict=True),
        )
        for purpose, handler in handlers:
            words = handler.exec.command if handler is not None and handler.exec is not None else None
            if words and len(words) <= MAX_COMMAND_WORDS and all(len(word) <= MAX_TEXT_CHARACTERS for word in words):
                yield PodCommand(_cut(container.name), purpose, tuple(words))


def _seconds(timestamp: str | None) -> float | None:
    """RFC 3339 as seconds since the epoch."""
    try:
        moment = dt.datetime.fromisoformat(timestamp or "")
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _cut(text: str) -> str:
    return text[:MAX_TEXT_CHARACTERS]
