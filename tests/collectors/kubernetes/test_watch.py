"""The watch with the official client against an HTTPS server that lists and watches as the real one does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from collectors.events import ContainerSeen
from collectors.facts import Pod
from collectors.kubernetes.watch import PodSourceState
from collectors.pod_facts import PodOwner
from tests.support.api_server import ApiServer, Fault, pod
from tests.support.certificates import Certificates
from tests.support.pod_watching import ID, OTHER_UID, UID, Watching, lists, watches

Start = Callable[..., Watching]


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
