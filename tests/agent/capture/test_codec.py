from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.capture.codec import FROZENSET, MAX_DEPTH, Decoder, Encoder
from agent.capture.errors import CaptureError
from agent.capture.schema import enumerations, event_classes, shapes
from collectors.events import ContainerSeen, Exec, HostSeen
from collectors.facts import ProcessKey
from tests.agent import alerts
from tests.support import build

ENCODER = Encoder()
DECODER = Decoder(ENCODER.table())


def strategy(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 (one return a kind of annotation)
    """Any value that the annotation allows."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(strategy(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*[strategy(each) for each in arguments])
    if origin is frozenset:
        return st.frozensets(strategy(arguments[0]), max_size=3)
    if origin is not None:
        return st.one_of([strategy(each) for each in arguments])
    if hint is int:
        return st.integers(-(2**63), 2**64 - 1)
    if hint is str:
        return st.text(st.characters(categories=None), max_size=8)
    if hint in (bytes, bool, type(None)):
        return {bytes: st.binary(max_size=8), bool: st.booleans(), type(None): st.none()}[hint]
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = get_type_hints(hint)
    return st.builds(hint, **{name: strategy(each) for name, each in hints.items()})


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.data())
@pytest.mark.parametrize("kind", event_classes(), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    event = data.draw(strategy(kind))
    again = DECODER.decode(ENCODER.encode(event))
    assert again == event
    assert type(again) is kind


def test_lone_surrogates_and_bytes_come_back() -> None:
    event = ContainerSeen(1, build.container(name="\ud800", labels=(("a", "\udfff"),)))
    assert DECODER.decode(ENCODER.encode(event)) == event
    hostile = Exec(1, alerts.escaped(name=b"\xff\x00"))
    assert DECODER.decode(ENCODER.encode(hostile)) == hostile


def test_the_same_value_gives_the_same_bytes_whatever_the_order_in_its_sets() -> None:
    host = build.host_baseline()
    devices = [*range(40)]
    one = dataclasses.replace(host, block_devices=frozenset(devices))
    other = dataclasses.replace(host, block_devices=frozenset(reversed(devices)))
    assert ENCODER.encode(HostSeen(1, one)) == ENCODER.encode(HostSeen(1, other))


def test_a_number_beyond_64_bits_cannot_be_written() -> None:
    with pytest.raises(CaptureError, match="ProcessKey cannot be written"):
        ENCODER.encode(ProcessKey(1 << 64, 0))


def test_refuses_an_object_that_is_no_event_s() -> None:
    with pytest.raises(CaptureError, match="a capture holds no object"):
        ENCODER.encode(object())


def test_reads_a_capture_whose_fields_stand_in_another_order() -> None:
    table: list[Any] = [[number, name, names and names[::-1]] for number, name, names in rows()]
    number = next(number for number, name, _ in rows() if name == "ProcessKey")
    data = msgpack.packb(msgpack.ExtType(number, msgpack.packb([7, 4242])))
    assert Decoder(table).decode(data) == ProcessKey(pid=4242, start_ticks=7)


def test_an_older_capture_lacks_a_field_that_has_a_default() -> None:
    table: list[Any] = [[number, name, names[:-1] if name == "Process" else names] for number, name, names in rows()]
    (number, names) = next((number, names) for number, name, names in table if name == "Process")
    process = build.process(tty=5)
    packed: list[object] = [msgpack.unpackb(ENCODER.encode(getattr(process, name))) for name in names]
    data = msgpack.packb(msgpack.ExtType(number, msgpack.packb(packed)))
    assert names[-1] != "tty"
    assert Decoder(table).decode(data) == dataclasses.replace(process, tty=0)


def rows() -> list[tuple[int, str, list[str]]]:
    table: Any = ENCODER.table()
    return [(number, name, names) for number, name, names in table]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (7, "names no classes"),
        ([7], "as none is named"),
        ([[1, "Exec", [7]]], "as none is named"),
        (
            [[1, "Teleported", ["at_ns"]]],
            "holds Teleported, of which this hullwatch knows nothing: it is of a later one",
        ),
        ([[1, "Mood", None]], "holds Mood, of which"),
        ([[1, "Exec", ["at_ns", "process", "mood"]]], "its Exec has mood, which this hullwatch does not know"),
        ([[1, "Exec", ["at_ns"]]], "its Exec lacks process: it is of an earlier hullwatch"),
        ([[1, "ProcessKey", ["pid", "start_ticks", "pid"]]], "lacks an order"),
    ],
)
def test_says_what_another_version_holds(table: Any, problem: str) -> None:
    with pytest.raises(CaptureError, match=problem):
        Decoder(table)


def number_of(name: str) -> int:
    return next(number for number, each, _ in rows() if each == name)


def extended(name: str, value: object) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(number_of(name), msgpack.packb(value)))
    return packed


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "no value", id="nothing"),
        pytest.param(b"\xc1", "no value", id="garbage"),
        pytest.param(msgpack.packb({1: 2}), "no value", id="a-map"),
        pytest.param(extended("ProcessKey", [1]), "another number of fields", id="too-few"),
        pytest.param(extended("ProcessKey", 1), "another number of fields", id="no-list"),
        pytest.param(extended("ProcessKey", ["1", 2]), "pid of a ProcessKey is of the wrong type", id="wrong-type"),
        pytest.param(extended("ProcessKey", [True, 2]), "pid of a ProcessKey is of the wrong type", id="truth"),
        pytest.param(extended("SeccompMode", "odd"), "SeccompMode has no such value", id="no-member"),
        pytest.param(msgpack.packb(msgpack.ExtType(120, b"")), "class 120, which the header", id="class"),
    ],
)  # fmt: skip
def test_refuses_what_its_class_does_not_allow(data: bytes, problem: str) -> None:
    with pytest.raises(CaptureError, match=problem):
        DECODER.decode(data)


def test_values_are_nested_no_deeper_than_the_stack_allows() -> None:
    data = msgpack.packb(1)
    for _ in range(5000):
        data = msgpack.packb(msgpack.ExtType(FROZENSET, data))
        if len(data) > 100_000:
            break
    with pytest.raises(CaptureError, match="nested too deeply"):
        DECODER.decode(data)
    with pytest.raises(CaptureError, match="no value"):
        DECODER.decode(b"\x91" * 100_000)
    assert MAX_DEPTH < 100


def test_every_class_has_a_name_of_its_own() -> None:
    names = [name for _, name, _ in rows()]
    assert len(names) == len(set(names)) == len(shapes()) + len(enumerations())
