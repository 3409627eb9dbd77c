from __future__ import annotations

from dataclasses import replace
from typing import Any

from collectors.containers.pods import PodTable
from collectors.facts import Pod, Unknown
from collectors.pod_facts import KubeletPods, PodDetails, PodSeen
from tests.support import build

SECOND = 1_000_000_000
UID = "11111111-2222-4333-8444-555555555555"
OTHER = "22222222-2222-4333-8444-555555555555"
OWN = Pod("shop", "cart-x", UID, "cart", is_sandbox=False)
IN_POD = build.container(pod=OWN, pod_uid=UID)


class Clock:
    now_ns = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now_ns


def table(clock: Clock | None = None, **options: Any) -> PodTable:
    return PodTable(clock or Clock(), **options)


def seen(uid: str = UID, *containers: tuple[str, str], **details: Any) -> PodSeen:
    return PodSeen(
        PodDetails(**{"namespace": "shop", "name": "cart-x", "uid": uid, "node": "n", **details}), containers
    )


def kubelet(*uids: str, **parts: Any) -> KubeletPods:
    return KubeletPods(**{"uids": frozenset(uids), "names": {}, "containers": {}, **parts})


def test_lays_details_over_a_container_by_its_pods_uid() -> None:
    pods = table()
    assert pods.put([seen(labels=(("app", "cart"),))], is_whole=True) == {UID}
    found = pods.apply(IN_POD, OWN)
    assert found.pod_details is not None
    assert found.pod_details.labels == (("app", "cart"),)
    assert found.pod == OWN


def test_a_container_in_no_pod_stays_as_it_is() -> None:
    pods = table()
    pods.put([seen()], is_whole=True)
    outside = build.container()
    assert pods.apply(outside, None) is outside


def test_a_pod_that_its_bundle_calls_otherwise_is_not_the_same() -> None:
    pods = table()
    pods.put([seen(name="other")], is_whole=True)
    assert pods.apply(IN_POD, OWN).pod_details is None


def test_names_the_pod_and_the_container_where_the_runtime_does_not() -> None:
    pods = table()
    unnamed = build.container(pod_uid=UID)
    assert pods.apply(unnamed, None).pod is None
    pods.put([seen(UID, (unnamed.id, "cart"))], is_whole=True)
    assert pods.apply(unnamed, None).pod == OWN


def test_names_from_the_kubelets_logs_serve_where_nothing_else_does() -> None:
    pods = table()
    unnamed = build.container(pod_uid=UID)
    pods.learn(kubelet(UID, names={UID: ("shop", "cart-x")}, containers={unnamed.id: "cart"}), [UID])
    assert pods.apply(unnamed, None).pod == OWN
    forged = kubelet(UID, names={UID: ("kube-system", "etcd")})
    pods.learn(forged, [UID])
    assert pods.apply(IN_POD, OWN).pod == OWN
    pods.put([seen()], is_whole=True)
    found = pods.apply(unnamed, None).pod
    assert found is not None
    assert (found.namespace, found.name) == ("shop", "cart-x")


def test_says_only_what_changed() -> None:
    pods = table()
    pods.put([seen(), seen(OTHER)], is_whole=True)
    assert pods.put([seen(), seen(OTHER, service_account="x")], is_whole=True) == {OTHER}


def test_keeps_the_last_state_of_a_deleted_pod_for_a_while() -> None:
    clock = Clock()
    pods = table(clock, keep_deleted_ns=600 * SECOND)
    pods.put([seen(), seen(OTHER)], is_whole=True)
    pods.delete(UID)
    clock.now_ns += 599 * SECOND
    pods.put([], is_whole=False)
    assert pods.apply(IN_POD, OWN).pod_details is not None
    clock.now_ns += 2 * SECOND
    pods.put([], is_whole=False)
    assert pods.apply(IN_POD, OWN).pod_details is None
    assert (len(pods), pods.evicted) == (1, 0)


def test_a_list_without_a_pod_deletes_it_and_one_with_it_brings_it_back() -> None:
    clock = Clock()
    pods = table(clock, keep_deleted_ns=SECOND)
    pods.put([seen()], is_whole=True)
    pods.put([], is_whole=True)
    pods.put([seen()], is_whole=True)
    clock.now_ns += 10 * SECOND
    pods.put([], is_whole=False)
    assert pods.apply(IN_POD, OWN).pod_details is not None


def test_a_full_table_forgets_the_deleted_then_the_oldest() -> None:
    pods = table(max_pods=2)
    uids = [f"{number:08d}-2222-4333-8444-555555555555" for number in range(4)]
    pods.put([seen(uid) for uid in uids[:2]], is_whole=False)
    pods.delete(uids[1])
    pods.put([seen(uids[2])], is_whole=False)
    assert pods.apply(replace(IN_POD, pod_uid=uids[0]), OWN).pod_details is not None
    assert pods.apply(replace(IN_POD, pod_uid=uids[1]), OWN).pod_details is None
    pods.put([seen(uids[3])], is_whole=False)
    assert pods.apply(replace(IN_POD, pod_uid=uids[0]), OWN).pod_details is None
    assert (len(pods), pods.evicted) == (2, 2)


def has(pods: PodTable, uid: str = UID) -> bool | Unknown:
    return pods.apply(replace(IN_POD, pod_uid=uid), None).kubelet_has_pod


def test_the_kubelet_knows_a_pod_that_it_has_a_directory_for() -> None:
    pods = table()
    assert has(pods) == Unknown("not_read: no directory of the kubelet")
    pods.learn(kubelet(UID), [UID])
    assert has(pods) is True


def test_the_kubelet_does_not_know_a_pod_that_has_no_directory_at_the_second_look() -> None:
    pods = table()
    pods.learn(kubelet(UID), [UID, OTHER])
    assert has(pods, OTHER) == Unknown("not_read: the kubelet's directory was not looked at since")
    assert pods.is_unsure is True
    pods.learn(kubelet(UID), [UID, OTHER])
    assert has(pods, OTHER) is False
    pods.learn(kubelet(UID, OTHER), [UID, OTHER])
    assert has(pods, OTHER) is True


def test_a_directory_that_names_no_pod_of_this_node_is_not_believed() -> None:
    pods = table()
    for _ in range(3):
        pods.learn(kubelet("33333333-2222-4333-8444-555555555555"), [UID])
    assert has(pods) == Unknown("not_read: the kubelet's directory names no pod of this node")


def test_a_pod_that_came_after_the_look_is_not_judged_by_it() -> None:
    pods = table()
    for _ in range(2):
        pods.learn(kubelet(UID), [UID])
    assert has(pods, OTHER) == Unknown("not_read: the kubelet's directory was not looked at since")
