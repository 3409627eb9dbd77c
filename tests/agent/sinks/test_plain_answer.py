from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sinks.plain_answer import parse_plain


class _Bytes:
    """What ``http.client`` wants of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def read_with_http_client(data: bytes) -> tuple[int, bytes, str | None, bool]:
    response: Any = http.client.HTTPResponse(_Bytes(data), method="POST")  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    return response.status, body, response.getheader("Retry-After"), response.isclosed() and not response.will_close


def answer(*fields: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join([status, *fields, b"", b""]) + body


PLAIN = [
    answer(b"Content-Length: 0"),
    answer(b"content-length:2", b"Server: x", body=b"{}"),
    answer(b"Content-Length: 4 ", b"Connection: close", body=b"gone", status=b"HTTP/1.1 503 "),
    answer(
        b"Connection: Keep-Alive", b"Content-Length: 0", b"Retry-After: 7", status=b"HTTP/1.1 429 Too Many Requests"
    ),
    answer(status=b"HTTP/1.1 204 No Content"),
]


@pytest.mark.parametrize("data", PLAIN)
def test_reads_plain_answers_as_http_client_does(data: bytes) -> None:
    plain = parse_plain(data)
    assert plain is not None
    read = (plain.status, plain.body, plain.fields.get("retry-after"), plain.is_kept)
    assert read == read_with_http_client(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", id="head-is-not-whole"),
        pytest.param(answer(b"Content-Length: 3", body=b"ab"), id="body-is-not-whole"),
        pytest.param(answer(b"Content-Length: 1", body=b"ab"), id="more-than-one-answer"),
        pytest.param(answer(body=b"until it closes"), id="no-length"),
        pytest.param(answer(b"Transfer-Encoding: chunked", b"Content-Length: 0"), id="chunked"),
        pytest.param(answer(b"Content-Length: 0", b"Content-Length: 1"), id="two-lengths"),
        pytest.param(answer(b"A: b", b" folded", b"Content-Length: 0"), id="folded"),
        pytest.param(answer(b"Content-Length: 0", status=b"HTTP/1.0 200 OK"), id="http-1.0"),
        pytest.param(answer(status=b"HTTP/1.1 100 Continue"), id="interim"),
        pytest.param(answer(b"Content-Length: +0"), id="signed-length"),
        pytest.param(answer(b"Content-Length: " + b"9" * 5000), id="endless-length"),
    ],
)
def test_leaves_everything_else_to_http_client(data: bytes) -> None:
    assert parse_plain(data) is None


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 x\r\n", b"Content-Length: 2\r\n", b"Content-Length: 0\r\n", b"\r\n",
        b"Connection: close\r\n", b"Connection: keep-alive, x\r\n", b"Retry-After: 1\r\n", b"{}", b"A:\tb\r\n",
        b" c\r\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=4), max_size=8).map(b"".join))
def test_never_reads_what_http_client_reads_otherwise(data: bytes) -> None:
    plain = parse_plain(data)
    if plain is not None:
        read = (plain.status, plain.body, plain.fields.get("retry-after"), plain.is_kept)
        assert read == read_with_http_client(data)
