"""What goes over the control socket: frames of msgpack, encoded and decoded. Pure.

A frame is a length (four bytes, big-endian) and a message of that length. A message is an array that begins with its
kind. The agent speaks first: ``hello`` with the protocol's version and its own, or ``error``. Then the client asks, as
often as it likes and several things at once; each request has a number, and its answer is any count of ``item``,
closed by one ``end`` or ``error``. ``cancel`` ends an answer early, and nothing is said to that.

``PROTOCOL`` changes when a client of the old one could misread the new. Only ``hello`` must stay what it is for ever.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

PROTOCOL = 1
MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024
LENGTH_BYTES = 4


class Code(StrEnum):
    """Why an answer, or the whole connection, ended with an error."""

    DENIED = "denied"  # this peer may not ask
    BUSY = "busy"  # too many clients or requests
    BAD_REQUEST = "bad_request"  # no such method, or no such parameters
    TOO_SLOW = "too_slow"  # what waited for this client was more than is kept
    UNAVAILABLE = "unavailable"  # what was asked for can't be had now


class ProtocolError(Exception):
    """What came is no frame of this protocol, or too large a one."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The agent's first words: the version of the protocol, and its own."""

    protocol: int
    version: str


class Request(msgspec.Struct, frozen=True, array_like=True, tag="request"):
    """The client wants something; ``number`` is its choice, and names the answer."""

    number: int
    method: str
    parameters: dict[str, Any]


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """The client wants no more of an answer."""

    number: int


class Item(msgspec.Struct, frozen=True, array_like=True, tag="item"):
    """A part of an answer."""

    number: int
    value: Any


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The answer is whole."""

    number: int


class Error(msgspec.Struct, frozen=True, array_like=True, tag="error"):
    """The answer can't be had, or not to its end; ``number`` 0 is the connection itself."""

    number: int
    code: str
    message: str


FromClient = Request | Cancel
FromAgent = Hello | Item | End | Error

_ENCODER = msgspec.msgpack.Encoder()
_OF_CLIENT: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_OF_AGENT: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)


def encode(message: FromClient | FromAgent) -> bytes:
    """The frame of a message. Raises ``ProtocolError`` where it would be larger than the other side takes."""
    limit = MAX_REQUEST_BYTES if isinstance(message, FromClient) else MAX_ANSWER_BYTES
    try:
        body = _ENCODER.encode(message)
    except UnicodeEncodeError:  # a lone surrogate, made of a byte that was no UTF-8
        body = _ENCODER.encode(_mended(message))
    if len(body) > limit:
        raise ProtocolError(f"a message of {len(body)} bytes; {limit} is the most")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Frames:
    """Makes messages of bytes as they come. ``is_agent`` says which side reads: the agent takes smaller frames."""

    def __init__(self, *, is_agent: bool) -> None:
        self._is_agent = is_agent
        self._limit = MAX_REQUEST_BYTES if is_agent else MAX_ANSWER_BYTES
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[FromClient | FromAgent]:
        """The messages that are whole by now. Raises ``ProtocolError``; what comes after that makes no sense."""
        self._waiting += data
        found: list[FromClient | FromAgent] = []
        start = 0
        while len(self._waiting) - start >= LENGTH_BYTES:
            length = int.from_bytes(self._waiting[start : start + LENGTH_BYTES], "big")
            if length > self._limit:
                raise ProtocolError(f"a frame of {length} bytes; {self._limit} is the most")
            end = start + LENGTH_BYTES + length
            if len(self._waiting) < end:
                break
            found.append(self._decoded(bytes(self._waiting[start + LENGTH_BYTES : end])))
            start = end
        del self._waiting[:start]
        return found

    def _decoded(self, body: bytes) -> FromClient | FromAgent:
        try:
            return _OF_CLIENT.decode(body) if self._is_agent else _OF_AGENT.decode(body)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise ProtocolError(f"a message that makes no sense: {error}") from error


def _mended(value: object) -> object:
    """``value`` made of plain values, each text of it valid."""
    return _valid(msgspec.to_builtins(value, builtin_types=(bytes,)))


def _valid(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_valid(key): _valid(each) for key, each in value.items()}
        case list() | tuple():
            return [_valid(each) for each in value]
        case _:
            return value
