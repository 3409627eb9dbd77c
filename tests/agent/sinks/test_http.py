from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SinkError
from agent.output_schema import HttpConfig, TlsConfig
from agent.sinks.exchange import MAX_ANSWER_BYTES, MAX_RETRY_AFTER_SECONDS, retry_after
from agent.sinks.http import HttpSink
from tests.agent import alerts
from tests.support import falcosidekick
from tests.support.certificates import Certificates
from tests.support.http_receiver import HttpReceiver, Reply, Request
from tests.support.opened_sinks import opened
from tests.support.scripted_receiver import ScriptedReceiver

BATCH = alerts.batch(3)


def sink_for(url: str, **keys: Any) -> HttpSink:
    return opened(HttpSink(HttpConfig(name="hook", url=url, **{"timeout_seconds": 2.0, **keys})))


def ids(documents: list[Any]) -> list[str]:
    return [each["event"]["id"] for each in documents]


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_posts_an_array(compress: Any) -> None:
    with HttpReceiver() as receiver:
        sink = sink_for(f"{receiver.url}/in?source=hullwatch", compress=compress, headers={"X-Team": "red"})
        sink.send(BATCH)
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/in?source=hullwatch")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Team"] == "red"
    assert request.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert ids(json.loads(request.body)) == [alert.id for alert in BATCH]


def test_posts_a_line_an_alert() -> None:
    with HttpReceiver() as receiver:
        sink = sink_for(receiver.url, body="ndjson")
        sink.send(BATCH)
    (request,) = receiver.requests
    assert request.path == "/"
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert request.body == b"".join(alert.document + b"\n" for alert in BATCH)


def test_keeps_the_connection() -> None:
    with HttpReceiver() as receiver:
        sink = sink_for(receiver.url)
        for alert in BATCH:
            sink.send([alert])
    assert len({request.peer for request in receiver.requests}) == 1


def test_replaces_a_connection_that_the_receiver_does_not_keep() -> None:
    with HttpReceiver(Reply(headers={"Connection": "close"}), Reply(204)) as receiver:
        sink = sink_for(receiver.url)
        sink.send(BATCH)
        sink.send(BATCH)
    assert len({request.peer for request in receiver.requests}) == 2


def as_falcosidekick(request: Request) -> Reply:
    """Its ``mainHandler``: one object a request, or 400."""
    try:
        payload = json.loads(request.body)
    except ValueError:
        return Reply(400, b"Please send a valid request body")
    return Reply(200) if falcosidekick.refusal(payload) is None else Reply(400, b"Please send a valid request body")


def test_is_falcosidekicks_webhook() -> None:
    with HttpReceiver(default=as_falcosidekick) as receiver:
        sink = sink_for(receiver.url, format="falco")
        sink.send(BATCH)
    uuids = [json.loads(request.body)["uuid"] for request in receiver.requests]
    assert uuids == [alert.id for alert in BATCH]


def test_falcosidekick_takes_no_other_format() -> None:
    message = "hook: answered 400: Please send a valid request body"
    with HttpReceiver(default=as_falcosidekick) as receiver, pytest.raises(SinkError, match=message) as caught:
        sink_for(receiver.url, body="single").send(BATCH)
    assert caught.value.rejected


def test_does_not_post_again_what_was_taken_of_a_batch() -> None:
    with HttpReceiver(Reply(), Reply(500), default=lambda _: Reply(202)) as receiver:
        sink = sink_for(receiver.url, format="falco")
        with pytest.raises(SinkError, match="answered 500"):
            sink.send(BATCH)
        sink.send(BATCH)
    uuids = [json.loads(request.body)["uuid"] for request in receiver.requests]
    assert uuids == [BATCH[0].id, BATCH[1].id, BATCH[1].id, BATCH[2].id]


@pytest.mark.parametrize(
    ("reply", "wait", "rejected"),
    [
        (Reply(429, headers={"Retry-After": "7"}), 7.0, False),
        (Reply(503, headers={"Retry-After": "0"}), 0.0, False),
        (Reply(503, headers={"Retry-After": "soon"}), None, False),
        (Reply(500), None, False),
        (Reply(502, b"<html>\x1b[2J\n"), None, False),
        (Reply(400, b"no"), None, True),
        (Reply(413), None, True),
        (Reply(422), None, True),
        (Reply(401), None, False),
        (Reply(403), None, False),
        (Reply(404), None, False),
        (Reply(408), None, False),
        (Reply(301, headers={"Location": "http://127.0.0.1:1/"}), None, False),
    ],
)
def test_says_what_was_answered(reply: Reply, wait: float | None, rejected: bool) -> None:
    with HttpReceiver(reply) as receiver:
        sink = sink_for(receiver.url)
        with pytest.raises(SinkError, match=f"hook: answered {reply.status}") as caught:
            sink.send(BATCH)
        sink.send(BATCH)
    assert caught.value.retry_after_seconds == wait
    assert caught.value.rejected is rejected
    assert "\x1b" not in str(caught.value)


def test_reads_secrets_from_files_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Splunk one\n")
    with HttpReceiver() as receiver:
        sink = sink_for(receiver.url, header_files={"Authorization": str(token)})
        sink.check()
        sink.send(BATCH)
        token.write_text("Splunk two\n")
        sink.send(BATCH)
    assert [request.headers["Authorization"] for request in receiver.requests] == ["Splunk one", "Splunk two"]


@pytest.mark.parametrize("value", ["a\r\nb: c", "\u00e9"])
def test_refuses_a_secret_that_would_end_its_header(tmp_path: Path, value: str) -> None:
    token = tmp_path / "token"
    token.write_text(value)
    with pytest.raises(SinkError, match="holds characters that no header can"):
        sink_for("http://127.0.0.1:9", header_files={"Authorization": str(token)}).check()


def raw(answer: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.recv(65_536)
        for piece in [answer] if not pause else [answer[at : at + 1] for at in range(len(answer))]:
            connection.sendall(piece)
            time.sleep(pause)
        connection.shutdown(socket.SHUT_WR)

    return act


@pytest.mark.parametrize(
    ("answer", "pause", "problem"),
    [
        pytest.param(b"", 0, "the answer is no HTTP: RemoteDisconnected", id="closes"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", 0, "the answer is no HTTP: BadStatusLine", id="garbage"),
        pytest.param(b"HTTP/1.1 999999 x\r\n\r\n", 0, "the answer is no HTTP", id="status"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", 0, "is no HTTP", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 0, "is no HTTP", id="header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0, "no HTTP: IncompleteRead", id="chunks"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.05, "no answer within 0.5 s|too long", id="drips"
        ),
    ],
)
def test_says_what_was_wrong_with_an_answer(answer: bytes, pause: float, problem: str) -> None:
    with ScriptedReceiver([raw(answer, pause)]) as receiver:
        started = time.monotonic()
        with pytest.raises(SinkError, match=problem) as caught:
            sink_for(f"http://127.0.0.1:{receiver.port}", timeout_seconds=0.5).send(BATCH)
        assert time.monotonic() - started < 1.5
    assert not caught.value.rejected


def test_reads_no_more_of_an_answer_than_its_bound() -> None:
    with HttpReceiver(Reply(200, b"x" * (4 * MAX_ANSWER_BYTES))) as receiver:
        sink = sink_for(receiver.url)
        sink.send(BATCH)
        sink.send(BATCH)  # on a new connection: the rest of the first answer was never read
    assert len({request.peer for request in receiver.requests}) == 2


def test_takes_the_status_for_an_answer_whose_body_is_cut() -> None:
    with ScriptedReceiver([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")] * 2) as receiver:
        sink = sink_for(f"http://127.0.0.1:{receiver.port}")
        sink.send(BATCH)
        sink.send(BATCH)
        assert receiver.accepted == 2


def test_gives_up_on_a_late_answer() -> None:
    with HttpReceiver(Reply(delay_seconds=1.0)) as receiver, pytest.raises(SinkError, match="too long"):
        sink_for(receiver.url, timeout_seconds=0.2).send(BATCH)


def test_trusts_its_own_authority(certificates: Certificates) -> None:
    tls = TlsConfig(
        ca_file=certificates.authority,
        certificate_file=certificates.certificate("client"),
        key_file=certificates.key("client"),
    )
    with HttpReceiver(tls=certificates.server_context(wants_client=True)) as receiver:
        sink = sink_for(receiver.url, tls=tls)
        sink.check()
        sink.send(BATCH)
        sink.send(BATCH)
    assert len({request.peer for request in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("server", "keys", "problem"),
    [
        ("other", {"ca_file": "authority"}, "IP address mismatch"),
        ("server", {}, "unable to get local issuer certificate|self-signed certificate"),
        ("server", {"ca_file": "authority", "server_name": "other.example"}, "Hostname mismatch"),
    ],
)
def test_refuses_an_impostor(certificates: Certificates, server: str, keys: dict[str, str], problem: str) -> None:
    files = {key: certificates.authority if key == "ca_file" else value for key, value in keys.items()}
    context, message = certificates.server_context(server), f"TLS with 127.0.0.1 failed: .*({problem})"
    with HttpReceiver(tls=context) as receiver, pytest.raises(SinkError, match=message):
        sink_for(receiver.url, tls=TlsConfig(**files)).send(BATCH)
    assert receiver.requests == []


def test_takes_a_server_under_another_name_if_told_so(certificates: Certificates) -> None:
    with HttpReceiver(tls=certificates.server_context("other")) as receiver:
        tls = TlsConfig(ca_file=certificates.authority, server_name="other.example")
        sink = sink_for(receiver.url, tls=tls)
        sink.send(BATCH)


def test_refuses_plain_http_where_tls_is_wanted() -> None:
    with HttpReceiver() as receiver, pytest.raises(SinkError, match=r"TLS with 127\.0\.0\.1 failed"):
        sink_for(receiver.url.replace("http", "https")).send(BATCH)


@pytest.mark.parametrize("keys", [{"ca_file": "/nowhere"}, {"certificate_file": "/nowhere"}])
def test_checks_its_certificates_at_the_start(keys: dict[str, str]) -> None:
    with pytest.raises(SinkError, match="hook: /nowhere cannot be used: No such file or directory"):
        sink_for("https://127.0.0.1:9", tls=TlsConfig(**keys)).check()


def test_does_not_ask_for_a_passphrase(certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + Path(certificates.key("client")).read_text().split("\n")[1] + "\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    tls = TlsConfig(certificate_file=certificates.certificate("client"), key_file=str(key))
    with pytest.raises(SinkError, match="cannot be used"):
        sink_for("https://127.0.0.1:9", tls=tls).check()


NOW = 1_763_700_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("12", 12.0),
        (" 12 ", 12.0),
        ("-1", None),
        ("1.5", None),
        ("9" * 5000, MAX_RETRY_AFTER_SECONDS),
        ("\u0661", None),
        (formatdate(NOW + 60, usegmt=True), 60.0),
        (formatdate(NOW - 60, usegmt=True), 0.0),
    ],
)
def test_reads_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_takes_any_retry_after(header: str) -> None:
    wait = retry_after(header, NOW)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER_SECONDS
