"""The handshake of Fluent Forward: HELO, PING, PONG. Both sides prove that they know the key; passwords go as digests.

Source: the wiki of fluent/fluentd, "Forward Protocol Specification v1". Answers are decoded raw, because HELO's nonce
may be a msgpack text of random bytes; the salt is sent as text, because fluent-bit closes the connection at bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any

import msgpack

from agent.errors import SinkError
from agent.sinks.connection import Connection
from agent.text import clipped, visible

MAX_ANSWER_BYTES = 65_536

_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the agent knows: its name, the shared key, and user and password where the receiver wants them."""

    hostname: str
    shared_key: bytes = field(repr=False)
    username: str = ""
    password: bytes = field(default=b"", repr=False)


def shake_hands(sink: str, connection: Connection, known: Credentials) -> None:
    """Do all of it; raises ``SinkError``. A receiver that does not like the key may close without a word."""
    helo = read_answer(sink, connection)
    match helo:
        case [b"HELO", dict() as options, *_]:
            nonce, auth_salt = options.get(b"nonce"), options.get(b"auth", b"")
        case _:
            raise SinkError(sink, f"wanted HELO, the receiver said {shown(helo)}")
    if not isinstance(nonce, bytes) or not isinstance(auth_salt, bytes):
        raise SinkError(sink, f"the receiver's HELO holds no nonce: {shown(helo)}")
    salt = secrets.token_hex(_SALT_BYTES).encode()
    connection.sendall(ping(known, salt, nonce, auth_salt))
    pong = read_answer(sink, connection)
    match pong:
        case [b"PONG", True, _, bytes() as server, bytes() as proof, *_]:
            if not hmac.compare_digest(digest(salt, server, nonce, known.shared_key), proof):
                raise SinkError(sink, "the receiver does not know the shared key")
        case [b"PONG", False, reason, *_]:
            raise SinkError(sink, f"the receiver refused us: {shown(reason)}")
        case _:
            raise SinkError(sink, f"wanted PONG, the receiver said {shown(pong)}")


def ping(known: Credentials, salt: bytes, nonce: bytes, auth_salt: bytes) -> bytes:
    """The PING; without a user, user and digest are empty. Pure."""
    user = known.username.encode()
    packed: bytes = msgpack.packb(
        [
            "PING",
            known.hostname,
            salt.decode("ascii"),
            digest(salt, known.hostname.encode(), nonce, known.shared_key).decode("ascii"),
            known.username,
            digest(auth_salt, user, known.password).decode("ascii") if user else "",
        ]
    )
    return packed


def digest(*parts: bytes) -> bytes:
    """SHA-512 of the parts, in hexadecimal digits. Pure."""
    return hashlib.sha512(b"".join(parts)).hexdigest().encode("ascii")


def read_answer(sink: str, connection: Connection) -> Any:
    """The next object that the receiver sends, texts as bytes; bounded."""
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=MAX_ANSWER_BYTES, strict_map_key=False)
    while True:
        data = connection.receive(MAX_ANSWER_BYTES // 2)
        if not data:
            raise SinkError(sink, "the receiver closed the connection without an answer")
        try:
            unpacker.feed(data)
            return unpacker.unpack()
        except msgpack.OutOfData:
            continue
        except (msgpack.UnpackException, msgpack.BufferFull, ValueError, TypeError, RecursionError) as error:
            raise SinkError(sink, f"the receiver's answer is no msgpack: {type(error).__name__}") from error


def shown(answer: object) -> str:
    """An answer for one line of a log. Pure."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else repr(answer)
    return visible(clipped(text, 100))
