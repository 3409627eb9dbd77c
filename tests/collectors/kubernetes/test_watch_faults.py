"""The watch against an HTTPS server that fails: errors, nonsense, slow bytes, cut streams, tokens, certificates."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.kubernetes.client import PodsClient
from collectors.kubernetes.watch import PodSourceState
from tests.support import pod_watching
from tests.support.api_server import ApiServer, Fault, pod
from tests.support.certificates import Certificates
from tests.support.pod_watching import Watching, lists, watches

Start = Callable[..., Watching]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_tries_again_after_errors_of_the_server(server: ApiServer, start: Start, status: int) -> None:
    server.put(pod())
    server.fail(Fault("list", status), Fault("list", status), Fault("watch", status))
    watching = start(server.url)
    watching.until(lambda: len(watches(server)) == 2)
    watching.until(lambda: watching.status.state is PodSourceState.CONNECTED)
    assert watching.status.failures == {f"http_{status}": 3}
    assert len(lists(server)) == 3
    assert watching.status.lists == 1


def test_waits_as_long_as_the_server_asks_for(server: ApiServer, start: Start) -> None:
    server.fail(Fault("list", 429, {"Retry-After": "1"}))
    watching = start(server.url)
    watching.until(lambda: len(lists(server)) == 2)
    first, second = lists(server)
    assert 1.0 <= second.at - first.at < 3.0


@pytest.mark.parametrize("header", ["soon", "-1", "1e9", "Wed, 21 Oct 2065 07:28:00 GMT", "9" * 400])
def test_a_retry_after_that_is_no_number_of_seconds_is_none(server: ApiServer, start: Start, header: str) -> None:
    server.fail(Fault("list", 429, {"Retry-After": header}))
    watching = start(server.url)
    watching.until(lambda: len(lists(server)) == 2)


def test_reads_the_token_again(server: ApiServer, start: Start, token_file: Path) -> None:
    watching = start(server.url)
    watching.until(lambda: watches(server))
    server.tokens = {"n3w"}
    server.cut_all()
    watching.until(lambda: watching.status.failures.get("http_401"))
    assert watching.status.state is PodSourceState.FAILING
    token_file.write_text("n3w")
    watching.until(lambda: watching.status.state is PodSourceState.CONNECTED)
    assert server.asked[-1].token == "n3w"
    assert watching.status.lists == 1


@pytest.mark.parametrize(
    ("content", "kind"), [(None, "gone"), (b"\xff\xfe\x00", "unreachable"), (b"x" * 70_000, "too_large")]
)
def test_a_token_that_cannot_be_used_is_a_failure_and_no_end(
    server: ApiServer, start: Start, token_file: Path, content: bytes | None, kind: str
) -> None:
    token_file.unlink()
    if content is not None:
        token_file.write_bytes(content)
    watching = start(server.url)
    watching.until(lambda: watching.status.failures.get(kind, 0) >= 2)
    token_file.write_text("t0ken")
    watching.until(lambda: watching.status.state is PodSourceState.CONNECTED)


def test_a_list_that_is_cut_is_not_taken(server: ApiServer, start: Start) -> None:
    server.put(pod())
    server.fail(Fault("list", is_cut=True))
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1)
    assert watching.status.failures == {"unreachable": 1}
    assert watching.status.lists == 1


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"metadata":{"resourceVersion":"7 7"}}', b"\x00\xff", b"null"])
def test_a_list_of_nonsense_is_not_taken(server: ApiServer, start: Start, body: bytes) -> None:
    server.put(pod())
    server.fail(Fault("list", body=body))
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1)
    assert watching.status.failures == {"malformed": 1}


def test_nonsense_in_a_watch_is_counted_and_what_follows_is_taken(server: ApiServer, start: Start) -> None:
    server.fail(Fault("watch", body=b'garbage\n{"type":"ADDED"}\n\n[1]\n'))
    watching = start(server.url)
    watching.until(lambda: watches(server))
    server.put(pod())
    watching.until(lambda: watching.status.pods == 1)
    assert watching.status.odd_answers == 3
    assert watching.status.failures == {}


def test_takes_a_list_that_is_packed(server: ApiServer, start: Start) -> None:
    listed = json.dumps({"metadata": {"resourceVersion": "1000"}, "items": [pod()] * 50}).encode()
    server.fail(Fault("list", body=gzip.compress(listed), headers={"Content-Encoding": "gzip"}))
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1)
    assert watching.status.lists == 1


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_list_that_is_too_large_is_not_taken_whole(
    server: ApiServer, start: Start, monkeypatch: pytest.MonkeyPatch, *, is_packed: bool
) -> None:
    monkeypatch.setattr("collectors.kubernetes.client.MAX_LIST_BYTES", 1 << 20)
    body = b" " * (32 << 20)
    headers = {"Content-Encoding": "gzip"} if is_packed else {}
    server.fail(Fault("list", body=gzip.compress(body) if is_packed else body, headers=headers))
    watching = start(server.url)
    watching.until(lambda: watching.status.failures)
    assert watching.status.failures == {"too_large": 1}
    watching.until(lambda: watching.status.lists == 1)


def test_a_list_that_is_badly_packed_is_not_taken(server: ApiServer, start: Start) -> None:
    server.fail(Fault("list", body=b"no gzip at all", headers={"Content-Encoding": "gzip"}))
    watching = start(server.url)
    watching.until(lambda: watching.status.lists == 1)
    assert watching.status.failures == {"unreachable": 1}


def test_a_watch_of_nothing_but_nonsense_is_left(server: ApiServer, start: Start) -> None:
    server.fail(Fault("watch", body=b"garbage\n" * 100))
    watching = start(server.url)
    watching.until(lambda: len(watches(server)) == 2)
    assert watching.status.failures == {"malformed": 1}
    assert watching.status.odd_answers == 16


def test_an_event_without_an_end_is_not_kept_for_ever(server: ApiServer, start: Start) -> None:
    server.fail(Fault("watch", body=b"x" * (5 << 20)))
    watching = start(server.url)
    watching.until(lambda: len(watches(server)) == 2)
    assert watching.status.failures == {"too_large": 1}


def test_a_watch_that_ends_in_the_midst_of_an_event_loses_nothing(server: ApiServer, start: Start) -> None:
    half = json.dumps({"type": "ADDED", "object": pod()})[:40].encode()
    server.fail(Fault("watch", body=half, is_cut=True))
    watching = start(server.url)
    server.put(pod())
    watching.until(lambda: watching.status.pods == 1)


def test_takes_an_event_that_comes_a_byte_at_a_time(server: ApiServer, start: Start) -> None:
    made = pod(metadata={"resourceVersion": "1001"})
    line = json.dumps({"type": "ADDED", "object": made}).encode() + b"\n"
    server.fail(Fault("watch", body=line, byte_seconds=0.0005))
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1)
    assert watching.status.failures == {}


def test_a_list_that_comes_too_slowly_is_given_up(
    server: ApiServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.kubernetes.client.LIST_SECONDS", 0.3)
    server.put(pod())
    server.fail(Fault("list", byte_seconds=0.05))
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1)
    assert watching.status.failures == {"unreachable": 1}


def test_a_server_that_ends_watches_at_once_is_not_hammered(certificates: Certificates, start: Start) -> None:
    with ApiServer(tls=certificates.server_context(), window_seconds=0.0) as server:
        watching = start(server.url)
        watching.until(lambda: len(watches(server)) > 3)
        assert watching.status.failures["cut"] >= 3
        gaps = [later.at - earlier.at for earlier, later in zip(watches(server), watches(server)[1:], strict=False)]
        assert min(gaps) >= 0.02  # the pause that this test's chance gives
        watching.stop()


def test_does_not_trust_a_certificate_of_another_authority(
    server: ApiServer, start: Start, certificates: Certificates
) -> None:
    watching = start(server.url, authority=certificates.certificate("other"))
    watching.until(lambda: watching.status.failures.get("unreachable", 0) >= 2)
    assert "CERTIFICATE_VERIFY_FAILED" in watching.status.why
    assert server.asked == []


def test_an_authority_file_that_is_missing_is_a_failure_and_no_end(server: ApiServer, start: Start) -> None:
    watching = start(server.url, authority="/nonexistent/ca.crt")
    watching.until(lambda: watching.status.failures.get("unreachable", 0) >= 2)


def test_waits_for_a_server_that_is_not_there(start: Start) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        watching = start(f"https://127.0.0.1:{closed.getsockname()[1]}")
        watching.until(lambda: watching.status.failures.get("unreachable", 0) >= 3)
        assert watching.status.state is PodSourceState.FAILING


def test_does_not_follow_a_redirect_with_its_token(server: ApiServer, start: Start, certificates: Certificates) -> None:
    with ApiServer(tls=certificates.server_context()) as elsewhere:
        server.fail(Fault("list", 302, {"Location": f"{elsewhere.url}/api/v1/pods"}))
        watching = start(server.url)
        watching.until(lambda: len(lists(server)) == 2)
        assert watching.status.failures == {"http_other": 1}
        assert elsewhere.asked == []


def test_stops_at_once_while_a_watch_is_silent(server: ApiServer, start: Start) -> None:
    watching = start(server.url)
    watching.until(lambda: watches(server))
    time.sleep(0.05)
    assert watching.stop() < 1.0
    assert watching.status.state is PodSourceState.STOPPED
    assert watching.status.failures == {}


def test_tells_each_change_of_its_state_once(server: ApiServer, start: Start) -> None:
    server.put(pod())
    server.fail(Fault("list", 500), Fault("list", 500))
    watching = start(server.url)
    watching.until(lambda: watches(server))
    assert [(each.state, each.why) for each in watching.changes] == [
        (PodSourceState.FAILING, "Kubernetes API: answered 500"),
        (PodSourceState.CONNECTED, ""),
    ]


def test_a_client_that_cannot_be_imported_is_a_failure_and_no_end(tmp_path: Path) -> None:
    def connect() -> PodsClient:
        raise ModuleNotFoundError("No module named 'kubernetes'")

    watching = pod_watching.begin(tmp_path, connect, "node-1")
    watching.until(lambda: watching.status.failures.get("import", 0) >= 2)
    watching.stop()
