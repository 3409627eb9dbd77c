from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.values import Malformed, build
from collectors.facts import Connection, Container, DescriptorKind, HostBaseline, Pod, Process, Unknown
from tests.support import build as facts

SOCKET = facts.descriptor(
    1,
    facts.directory(),
    DescriptorKind.SOCKET,
    connection=Connection("tcp", "10.0.0.2", 40_000, "198.51.100.7", 443, is_incoming=False),
)
VALUES: list[Any] = [
    facts.process(image_mark=1),
    facts.host_process(image_mark=2),
    facts.process(executable=Unknown("gone: proc/exe"), descriptors=(SOCKET,), image_mark=7),
    facts.process(image_mark=3, confinement=facts.confinement(lsm_label=None, root=Unknown("denied: proc/root"))),
    facts.thread(facts.process(image_mark=4), 4243, facts.confinement()),
    facts.container(),
    facts.container(pod=Pod("shop", "web-1", "uid", "web", is_sandbox=False), declared=Unknown("no_bundle")),
    facts.container(sources=(facts.source("/x", "/etc"),), labels=(("a", "b"),), has_linked_dev=True),
    facts.host_baseline(),
    *facts.mount_table(),
]


def plain(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


@pytest.mark.parametrize("value", VALUES, ids=lambda each: type(each).__name__)
def test_a_fact_survives_the_way_there_and_back(value: Any) -> None:
    assert build(type(value), plain(value)) == value


def test_what_is_equal_in_msgpack_keeps_its_type() -> None:
    found = build(Process, plain(facts.process(image_mark=1)))
    assert isinstance(found.key, tuple)
    assert type(found.is_kernel_thread) is bool
    assert found.confinement.seccomp == facts.seccomp()


@given(
    st.sampled_from([Process, Container, HostBaseline]),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_what_makes_no_sense_is_malformed(kind: Any, value: Any) -> None:
    with pytest.raises(Malformed):
        build(kind, value)


@given(st.data())
def test_one_wrong_field_is_malformed_or_another_fact(data: st.DataObject) -> None:
    value = plain(facts.process(image_mark=1))
    name = data.draw(st.sampled_from(sorted(value)))
    value[name] = data.draw(st.none() | st.integers() | st.binary(max_size=4) | st.lists(st.integers(), max_size=3))
    with contextlib.suppress(Malformed):
        assert isinstance(build(Process, value), Process)
