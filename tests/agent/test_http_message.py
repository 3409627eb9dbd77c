from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http_message import Answer, Request, encoded, parse_request, plain

pieces = st.sampled_from(
    [b"GET", b" ", b"/metrics", b"HTTP/1.1", b"\r\n", b"Authorization", b":", b"\xff", b"\x00", b"?"]
)


@given(st.lists(pieces | st.binary(max_size=8), max_size=20).map(b"".join))
def test_no_request_is_more_than_refused(received: bytes) -> None:
    parsed = parse_request(received)
    assert isinstance(parsed, tuple) or parsed.status in {400, 405}


@pytest.mark.parametrize(
    ("received", "path", "authorization"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", "/", None),
        (b"GET /metrics?a=b?c HTTP/1.1\r\nHost: a:1\r\n\r\nleft over", "/metrics", None),
        (b"GET /m HTTP/1.1\r\nAUTHORIZATION:Bearer \xc3\xa9\r\n\r\n", "/m", "Bearer \u00c3\u00a9"),
    ],
)
def test_parses_path_and_authorization(received: bytes, path: str, authorization: str | None) -> None:
    assert parse_request(received) == (path, Request(authorization))


def test_an_answer_says_how_long_it_is_and_that_it_is_the_last() -> None:
    answer = Answer(HTTPStatus.OK, "\u00e9\n".encode(), "application/json", (("Allow", "GET"),))
    assert encoded(answer) == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 3\r\n"
        b"Cache-Control: no-store\r\n"
        b"X-Content-Type-Options: nosniff\r\n"
        b"Connection: close\r\n"
        b"Allow: GET\r\n"
        b"\r\n"
        b"\xc3\xa9\n"
    )


def test_a_plain_answer_names_its_status() -> None:
    assert plain(HTTPStatus.NOT_FOUND) == Answer(HTTPStatus.NOT_FOUND, b"Not Found\n")
