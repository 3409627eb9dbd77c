from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.protocol import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    Cancel,
    End,
    Error,
    Frames,
    Hello,
    Item,
    ProtocolError,
    Request,
    encode,
)

OF_CLIENT = (Request(1, "alerts", {"limit": 3, "wanted": {"rule": "HW-101"}}), Cancel(7))
OF_AGENT = (
    Hello(1, "0.1.0"),
    Item(1, {"name": b"\xff", "n": [1, None]}),
    End(1),
    Error(0, "denied", "no"),
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("message", OF_CLIENT)
def test_parses_what_a_client_says(message: Request | Cancel) -> None:
    assert Frames(is_agent=True).feed(encode(message)) == [message]


@pytest.mark.parametrize("message", OF_AGENT)
def test_parses_what_the_agent_says(message: Hello | Item | End | Error) -> None:
    assert Frames(is_agent=False).feed(encode(message)) == [message]


@given(st.lists(st.tuples(st.integers(0, 2**32), plain), max_size=5), st.integers(1, 50))
def test_frames_may_come_in_pieces(values: list[tuple[int, Any]], size: int) -> None:
    messages = [Item(number, value) for number, value in values]
    data = b"".join(map(encode, messages))
    frames = Frames(is_agent=False)
    found = [each for start in range(0, len(data), size) for each in frames.feed(data[start : start + size])]
    assert found == messages


@given(st.binary(max_size=200), st.booleans())
def test_garbage_raises_nothing_but_protocol_error(data: bytes, is_agent: bool) -> None:
    frames = Frames(is_agent=is_agent)
    try:
        frames.feed(data)
        frames.feed(len(data).to_bytes(4, "big") + data)
    except ProtocolError:
        pass


@given(plain, st.booleans())
def test_sound_msgpack_of_another_shape_raises_nothing_else(value: Any, is_agent: bool) -> None:
    body = msgspec.msgpack.encode(value)
    with pytest.raises(ProtocolError):
        Frames(is_agent=is_agent).feed(len(body).to_bytes(4, "big") + body)


def test_refuses_nesting_without_end() -> None:
    body = b"\x93\xa4item\x01" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(ProtocolError):
        Frames(is_agent=False).feed(len(body).to_bytes(4, "big") + body)


@pytest.mark.parametrize(("is_agent", "limit"), [(True, MAX_REQUEST_BYTES), (False, MAX_ANSWER_BYTES)])
def test_refuses_a_frame_by_its_length_before_it_is_read(is_agent: bool, limit: int) -> None:
    with pytest.raises(ProtocolError, match=str(limit)):
        Frames(is_agent=is_agent).feed((limit + 1).to_bytes(4, "big"))


def test_refuses_to_make_too_large_a_message() -> None:
    with pytest.raises(ProtocolError, match="is the most"):
        encode(Request(1, "alerts", {"x": "y" * MAX_REQUEST_BYTES}))


def test_a_lone_surrogate_becomes_valid_text() -> None:
    (message,) = Frames(is_agent=False).feed(encode(Item(1, {"name": "a\ud800b"})))
    assert message == Item(1, {"name": "a?b"})
