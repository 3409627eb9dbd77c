"""The watch with the official client against an HTTPS server that lists, watches and fails as the real one does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collectors.containers.registry import ContainerRegistry
from collectors.events import ContainerSeen, Event
from collectors.facts import CgroupMembership, Container, Pod
from collectors.host import Roots
from collectors.kubernetes.client import PodsClient
from collectors.kubernetes.watch import PodSourceState, PodSourceStatus, PodWatch
from collectors.pod_facts import PodOwner
from tests.support.api_server import ApiServer, Asked, Fault, pod
from tests.support.certificates import Certificates

UID = "11111111-2222-4333-8444-555555555555"
OTHER_UID = "22222222-2222-4333-8444-555555555555"
ID = "a1" * 32


@dataclass
class Watching:
    """A ``PodWatch`` that runs, with the registry that it feeds and the events that it emitted."""

    watch: PodWatch
    registry: ContainerRegistry
    events: list[Event]
    changes: list[PodSourceStatus]
    thread: threading.Thread
    stopped: list[float] = field(default_factory=list)

    @property
    def status(self) -> PodSourceStatus:
        return self.watch.status

    def notice(self, uid: str = UID, container_id: str = ID) -> Container:
        """A process of a container in that pod."""
        path = f"/kubepods/burstable/pod{uid}/{container_id}".encode()
        self.registry.notice((CgroupMembership(0, b"", path),), 7)
        found = self.registry.get(container_id)
        assert found is not None
        return found

    def container(self) -> Container:
        found = self.registry.get(ID)
        assert found is not None
        return found

    def labels(self) -> dict[str, str]:
        details = self.container().pod_details
        return {} if details is None else dict(details.labels)

    def until(self, holds: Callable[[], object]) -> None:
        ends = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < ends, self.status
            assert self.thread.is_alive()
            time.sleep(0.005)

    def stop(self) -> float:
        began = time.monotonic()
        self.watch.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()
        return time.monotonic() - began


def hasty(low: float, high: float) -> float:
    """Chance, for tests: pauses of 20 ms, the shortest windows."""
    return max(low, min(high, 0.02))


Start = Callable[..., Watching]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    return file


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ApiServer]:
    with ApiServer(tls=certificates.server_context()) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path, certificates: Certificates, token_file: Path) -> Iterator[Start]:
    running: list[Watching] = []

    def begin(url: str, *, node: str = "node-1", authority: str = certificates.authority) -> Watching:
        for name in ("proc", "host"):
            (tmp_path / name).mkdir(exist_ok=True)
        roots = Roots(proc=str(tmp_path / "proc"), sys=str(tmp_path / "sys"), host=str(tmp_path / "host"))
        registry = ContainerRegistry(roots, clock_ns=time.time_ns)
        events: list[Event] = []
        changes: list[PodSourceStatus] = []
        watch = PodWatch(
            registry,
            events.append,
            lambda: PodsClient(url, node, str(token_file), authority),
            node,
            clock_ns=time.time_ns,
            spread_seconds=0.0,
            uniform=hasty,
            on_change=changes.append,
        )
        thread = threading.Thread(target=watch.run, daemon=True)
        made = Watching(watch, registry, events, changes, thread)
        running.append(made)
        thread.start()
        return made

    yield begin
    for each in running:
        each.stop()


def watches(server: ApiServer) -> list[Asked]:
    return [each for each in server.asked if each.is_watch]


def lists(server: ApiServer) -> list[Asked]:
    return [each for each in server.asked if not each.is_watch]


def test_enriches_a_container_that_is_there_already(server: ApiServer, start: Start) -> None:
    server.put(pod(status={"containerStatuses": [{"name": "cart", "containerID": f"containerd://{ID}"}]}))
    watching = start(server.url)
    watching.notice()
    watching.until(lambda: watching.container().pod_details)
    watching.until(lambda: watching.status.merged or watching.container().pod_details)
    container = watching.container()
    assert container.pod == Pod("shop", "cart-7d9f-x2x4", UID, "cart", is_sandbox=False)
    details = container.pod_details
    assert details is not None
    assert details.workload == PodOwner("Deployment", "cart")
    assert details.service_account == "cart"
    assert details.node == "node-1"


def test_tells_the_state_of_a_change_while_the_container_runs(server: ApiServer, start: Start) -> None:
    watching = start(server.url)
    watching.until(lambda: watches(server))
    watching.notice()
    server.put(pod())
    watching.until(lambda: watching.events)
    (event,) = watching.events
    assert isinstance(event, ContainerSeen)
    assert event.container.pod_details is not None
    server.put(pod(metadata={"labels": {"app": "cart", "debug": "on"}}))
    watching.until(lambda: watching.labels().get("debug") == "on")
    assert len(lists(server)) == 1


def test_a_pod_that_the_server_knew_first_waits_for_its_container(server: ApiServer, start: Start) -> None:
    server.put(pod())
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1)
    assert watching.notice().pod_details is not None


def test_asks_for_this_node_from_the_cache_and_with_bookmarks(server: ApiServer, start: Start) -> None:
    server.put(pod(), pod("away", uid=OTHER_UID, spec={"nodeName": "node-2"}))
    watching = start(server.url)
    watching.until(lambda: watches(server))
    assert [each.query for each in lists(server)] == [{"fieldSelector": "spec.nodeName=node-1", "resourceVersion": "0"}]
    assert watches(server)[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "fieldSelector": "spec.nodeName=node-1",
        "resourceVersion": "1002",
        "timeoutSeconds": "300",
    }


def test_does_not_take_the_pods_of_other_nodes_from_a_server_that_ignores_the_selector(
    server: ApiServer, start: Start
) -> None:
    server.respects_selector = False
    server.put(pod("away", uid=OTHER_UID, spec={"nodeName": "node-2"}))
    watching = start(server.url)
    watching.until(lambda: watches(server))
    watching.notice(OTHER_UID)
    server.put(pod("away", uid=OTHER_UID, spec={"nodeName": "node-2"}, metadata={"labels": {}}))
    watching.until(lambda: watching.status.strangers == 2)
    assert watching.container().pod_details is None
    assert watching.status.pods == 0


def test_says_when_the_node_has_no_pod_at_all(server: ApiServer, start: Start) -> None:
    server.put(pod())
    watching = start(server.url, node="NODE-1.example")
    watching.until(lambda: watching.status.state is PodSourceState.CONNECTED)
    assert watching.status.why == "no pod is on node NODE-1.example: is that its name?"


def test_a_deleted_pod_is_remembered_for_what_is_told_later(server: ApiServer, start: Start) -> None:
    server.put(pod())
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 1 and watches(server))
    server.delete(UID)
    watching.until(lambda: watching.status.pods == 0)
    assert watching.notice().pod_details is not None


def test_a_bookmark_saves_the_next_watch_from_the_past(certificates: Certificates, start: Start) -> None:
    with ApiServer(tls=certificates.server_context()) as server:
        watching = start(server.url)
        watching.until(lambda: watches(server))
        for _ in range(5):
            server.bookmark()
        watching.until(lambda: watching.status.contact_ns)
        time.sleep(0.1)
        server.cut_all()
        watching.until(lambda: len(watches(server)) == 2)
        assert watches(server)[1].query["resourceVersion"] == "1005"
        assert watching.status.failures == {"unreachable": 1}
        watching.until(lambda: watching.status.state is PodSourceState.CONNECTED)


TOO_OLD = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("watch", 410), id="as-an-answer"),
        pytest.param(Fault("watch", body=TOO_OLD), id="in-the-stream"),
    ],
)
def test_lists_again_when_its_version_is_forgotten(server: ApiServer, start: Start, fault: Fault) -> None:
    server.put(pod())
    watching = start(server.url)
    watching.notice()
    watching.until(lambda: watches(server) and watching.container().pod_details)
    server.fail(fault)
    server.cut_all()
    watching.until(lambda: watching.status.relists == 1)
    server.put(pod(metadata={"labels": {"app": "new"}}))
    watching.until(lambda: watching.labels() == {"app": "new"})
    assert watching.status.failures == {"unreachable": 1, "http_410": 1}


def test_a_version_that_the_server_forgot_while_nobody_watched_is_no_gap(server: ApiServer, start: Start) -> None:
    server.put(pod())
    watching = start(server.url)
    watching.notice()
    watching.until(lambda: watches(server) and watching.container().pod_details)
    server.fail(Fault("watch", 503), Fault("watch", 503), Fault("watch", 503))
    server.cut_all()
    server.put(pod(metadata={"labels": {"app": "new"}}))
    server.forget()
    watching.until(lambda: watching.labels() == {"app": "new"})
    assert watching.status.relists == 1


def test_what_went_while_nobody_watched_is_found_by_the_relist(server: ApiServer, start: Start) -> None:
    server.put(pod(), pod("old", uid=OTHER_UID))
    watching = start(server.url)
    watching.until(lambda: watching.status.pods == 2 and watches(server))
    server.fail(Fault("watch", 410))
    server.delete(OTHER_UID)
    server.cut_all()
    watching.until(lambda: watching.status.relists == 1)
    assert watching.status.pods == 1


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

    roots = Roots(proc=str(tmp_path), sys=str(tmp_path), host=str(tmp_path))
    registry = ContainerRegistry(roots, clock_ns=time.time_ns)
    watch = PodWatch(
        registry, lambda _: None, connect, "node-1", clock_ns=time.time_ns, spread_seconds=0.0, uniform=hasty
    )
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 10
    while watch.status.failures.get("import", 0) < 2:
        assert time.monotonic() < ends
        time.sleep(0.005)
    watch.stop()
    thread.join(5)
    assert not thread.is_alive()
