"""Requests and answers of the HTTP endpoint, as bytes: RFC 9112, of which only GET is taken. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

_WORDS_OF_A_REQUEST = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What a route gets to know; ``authorization`` is the header of that name."""

    authorization: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    header: tuple[tuple[str, str], ...] = ()


def parse_request(received: bytes) -> tuple[str, Request] | Answer:
    """Path (without its query) and header of a request (RFC 9112), or the answer to one that is refused. Pure."""
    head = received.partition(b"\r\n\r\n")[0].decode("latin-1")
    first, *fields = head.split("\r\n")
    words = first.split(" ")
    if len(words) != _WORDS_OF_A_REQUEST or words[2] not in ("HTTP/1.0", "HTTP/1.1") or not words[1].startswith("/"):
        return plain(HTTPStatus.BAD_REQUEST)
    if words[0] != "GET":
        return plain(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET"))
    authorization: str | None = None
    for each in fields:
        name, colon, value = each.partition(":")
        if not colon or not name or name != name.strip():
            return plain(HTTPStatus.BAD_REQUEST)
        if name.lower() == "authorization":
            if authorization is not None:
                return plain(HTTPStatus.BAD_REQUEST)
            authorization = value.strip()
    return words[1].partition("?")[0], Request(authorization)


def plain(status: HTTPStatus, *header: tuple[str, str]) -> Answer:
    """An answer that says no more than its status."""
    return Answer(status, f"{status.phrase}\n".encode(), header=header)


def encoded(answer: Answer) -> bytes:
    """The answer as it goes over the wire, the last of its connection."""
    header = (
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *answer.header,
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in header)
    return f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n{lines}\r\n".encode("latin-1") + answer.body
