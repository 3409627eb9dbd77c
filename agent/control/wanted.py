"""What a client wants of alerts and events: the same filters for the history and for what comes. Pure.

Alerts are looked at as they are stored, by the few fields that a filter asks for; nothing else is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from agent.control.answers import Unanswerable
from agent.control.protocol import Code
from agent.stored_alert import StoredAlert
from collectors.facts import Container

T = TypeVar("T")

LEAST_PREFIX = 3  # of a container's id
WHOLE_ID = 64


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``None`` is anything; times are of the act, ``until_ns`` is not in. ``incident`` and ``alert`` begin an id."""

    namespace: str | None = None
    pod: str | None = None
    container: str | None = None
    rule: str | None = None
    min_severity: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    incident: str | None = None
    alert: str | None = None

    @property
    def only_container(self) -> str | None:
        """The whole id of the one container that is meant; ``None`` where others may be, now or later."""
        is_whole = self.container is not None and len(self.container) == WHOLE_ID
        return self.container if is_whole and self.namespace is self.pod is None else None

    def admits_container(self, container: Container | None) -> bool:
        """The container of an event is meant."""
        if self.namespace is self.pod is self.container is None:
            return True
        if container is None:
            return False
        pod = container.pod
        return (
            (self.namespace is None or (pod is not None and pod.namespace == self.namespace))
            and (self.pod is None or (pod is not None and pod.name == self.pod))
            and (self.container is None or _is_called(self.container, container.id, _names(container)))
        )

    def admits_alert(self, alert: StoredAlert) -> bool:
        """The alert is meant."""
        if (
            (self.since_ns is not None and alert.at_ns < self.since_ns)
            or (self.until_ns is not None and alert.at_ns >= self.until_ns)
            or (self.min_severity is not None and alert.severity < self.min_severity)
            or (self.rule is not None and alert.rule_id != self.rule)
            or (self.alert is not None and not alert.id.startswith(self.alert))
        ):
            return False
        if self.namespace is self.pod is self.container is self.incident is None:
            return True
        try:
            head = _HEAD.decode(alert.document)
        except (ValueError, RecursionError):  # a damaged file of the outbox: it is nobody's
            return False
        return self._admits_head(head)

    def _admits_head(self, head: _Head) -> bool:
        pod = head.orchestrator
        return (
            (self.incident is None or head.hullwatch.incident.id.startswith(self.incident))
            and (self.namespace is None or pod.namespace == self.namespace)
            and (self.pod is None or pod.resource.name == self.pod)
            and (self.container is None or _is_called(self.container, head.container.id or "", _told_names(head)))
        )


def wanted(parameters: Mapping[str, Any]) -> Wanted:
    """The filters in the parameters of a request. Raises ``Unanswerable``."""
    return parsed(parameters, Wanted)


def parsed(parameters: Mapping[str, Any], kind: type[T]) -> T:
    """The parameters of a request as ``kind``. Raises ``Unanswerable``."""
    try:
        return msgspec.convert(parameters, kind)
    except msgspec.ValidationError as error:
        raise Unanswerable(Code.BAD_REQUEST, str(error)) from error


def _is_called(wanted_name: str, container_id: str, names: Iterator[str]) -> bool:
    if wanted_name == container_id or (len(wanted_name) >= LEAST_PREFIX and container_id.startswith(wanted_name)):
        return True
    return wanted_name in names


def _names(container: Container) -> Iterator[str]:
    if container.name:
        yield container.name.removeprefix("/")
    pod = container.pod
    if pod is not None and not pod.is_sandbox and pod.container_name:
        yield pod.container_name
        yield f"{pod.name}/{pod.container_name}"
        yield f"{pod.namespace}/{pod.name}/{pod.container_name}"


def _told_names(head: _Head) -> Iterator[str]:
    name, pod = head.container.name, head.orchestrator
    if name:
        yield name
        yield f"{pod.resource.name}/{name}"
        yield f"{pod.namespace}/{pod.resource.name}/{name}"


class _Resource(msgspec.Struct):
    name: str | None = None


class _Orchestrator(msgspec.Struct):
    namespace: str | None = None
    resource: _Resource = msgspec.field(default_factory=_Resource)


class _Container(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class _Incident(msgspec.Struct):
    id: str = ""


class _Hullwatch(msgspec.Struct):
    incident: _Incident = msgspec.field(default_factory=_Incident)


class _Head(msgspec.Struct):
    """The fields of an alert that filters ask for; the others are passed over."""

    container: _Container = msgspec.field(default_factory=_Container)
    orchestrator: _Orchestrator = msgspec.field(default_factory=_Orchestrator)
    hullwatch: _Hullwatch = msgspec.field(default_factory=_Hullwatch)


_HEAD: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)
