from __future__ import annotations

from typing import get_args

import pytest

from agent.rules.events import EVENTS, kind_of
from agent.rules.fields import FIELDS, Context, Kind, context_of
from agent.rules_reference import reference
from agent.rules_schema import EventName
from collectors.events import (
    ContainerSeen,
    CredentialChange,
    Event,
    Exec,
    KernelValue,
    NamespaceChange,
    RawSocketHeld,
    Refused,
    RootChange,
    Seen,
    TcpConnected,
    UnixConnected,
)
from collectors.facts import Connection, Unknown
from tests.support import build
from tests.support.view import FakeView, view_of

TASK = build.process()
NOW = build.NOW_NS
CONNECTION = Connection("tcp", "10.0.0.2", 40000, "10.0.0.1", 2375, is_incoming=False)
OF: dict[str, Event] = {
    "exec": Exec(NOW, TASK),
    "seen": Seen(NOW, TASK),
    "credentials": CredentialChange(NOW, TASK),
    "namespaces": NamespaceChange(NOW, TASK),
    "root": RootChange(NOW, TASK),
    "refused": Refused(NOW, TASK, "setns", 1),
    "container": ContainerSeen(NOW, build.container()),
    "tcp": TcpConnected(NOW, build.container_id(), TASK.key, 7, CONNECTION, is_to_this_node=True),
    "unix": UnixConnected(
        NOW, build.container_id(), TASK.key, 7, b"/run/docker.sock", build.key(800), b"/usr/bin/dockerd"
    ),
    "raw_socket": RawSocketHeld(NOW, build.container_id(), TASK.key, 7, "packet", 3),
    "kernel_value": KernelValue(NOW, "core_pattern", b"core", b"|/x", b"/proc/sys/kernel/core_pattern"),
}
TYPES = {Kind.STRING: str, Kind.INT: int, Kind.BOOL: bool, Kind.LIST: list, Kind.MAP: dict}
PAIRS = [(event, name) for event in OF for name, field in FIELDS.items() if event in field.events]


def test_the_schema_names_every_event() -> None:
    assert set(get_args(EventName)) == set(EVENTS) == set(OF)


@pytest.mark.parametrize("name", OF)
def test_an_event_has_its_own_name(name: str) -> None:
    assert kind_of(OF[name]) == name


@pytest.mark.parametrize(("event", "name"), PAIRS)
def test_a_field_is_of_its_type_or_not_known(event: str, name: str) -> None:
    view = view_of(build.member(TASK)).put_parent(TASK, build.first_process())
    context = context_of(OF[event], view)
    assert isinstance(context, Context)
    value = FIELDS[name].read(context)
    assert type(value) is TYPES[FIELDS[name].kind]
    if isinstance(value, list | dict):
        assert all(type(each) is str for each in value)


@pytest.mark.parametrize(("event", "name"), [pair for pair in PAIRS if pair[0] in {"tcp", "unix", "raw_socket"}])
def test_nobody_may_hold_a_socket(event: str, name: str) -> None:
    context = context_of(OF[event], FakeView().put_container(build.container(), build.first_process()))
    assert isinstance(context, Context)
    value = FIELDS[name].read(context)
    assert isinstance(value, Unknown) == name.startswith(("process.", "parent.", "ancestors."))


def test_the_page_has_every_event_and_field() -> None:
    page = reference()
    for name in (*EVENTS, *FIELDS):
        assert f"| `{name}` |" in page
