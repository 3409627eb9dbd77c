from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.containers.registry import ContainerRegistry
from collectors.events import ContainerSeen, Event
from collectors.facts import CgroupMembership, Container, Pod, Unknown
from collectors.host import Roots
from collectors.kubernetes.kubelet_disk import (
    AGAIN_NS,
    KubeletDisk,
    parse_log_directories,
    parse_log_links,
    parse_pod_directories,
)
from collectors.node.kubelet import parse_kubelet

SECOND = 1_000_000_000
UID = "11111111-2222-4333-8444-555555555555"
STATIC = "0123456789abcdef0123456789abcdef"
ID = "a1" * 32


class Node:
    def __init__(self, root: Path) -> None:
        self.host = root / "host"
        (root / "proc").mkdir()
        self.host.mkdir()
        self.now_ns = 1_700_000_000 * SECOND
        self.events: list[Event] = []
        self.roots = Roots(proc=str(root / "proc"), sys=str(root / "sys"), host=str(self.host))
        self.registry = ContainerRegistry(self.roots, clock_ns=lambda: self.now_ns)
        self.disk = self.make_disk(None)

    def make_disk(self, directory: str | None) -> KubeletDisk:
        return KubeletDisk(
            self.roots, self.registry, self.events.append, clock_ns=lambda: self.now_ns, directory=directory
        )

    def mkdir(self, path: str) -> None:
        (self.host / path).mkdir(parents=True)

    def notice(self, uid: str = UID, container_id: str = ID) -> None:
        path = f"/kubepods/burstable/pod{uid}/{container_id}".encode()
        self.registry.notice((CgroupMembership(0, b"", path),), 7)

    def container(self, container_id: str = ID) -> Container:
        found = self.registry.get(container_id)
        assert found is not None
        return found

    def look(self, seconds: float = 1.0) -> None:
        self.now_ns += int(seconds * SECOND)
        self.disk.look()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_names_a_pod_from_its_logs_and_knows_that_the_kubelet_has_it(node: Node) -> None:
    node.notice()
    node.mkdir(f"var/lib/kubelet/pods/{UID}")
    node.mkdir(f"var/log/pods/shop_cart-7d9f-x2x4_{UID}/cart")
    node.mkdir("var/log/containers")
    (node.host / f"var/log/containers/cart-7d9f-x2x4_shop_cart-{ID}.log").symlink_to("/nowhere")
    node.look()
    container = node.container()
    assert container.pod == Pod("shop", "cart-7d9f-x2x4", UID, "cart", is_sandbox=False)
    assert container.kubelet_has_pod is True
    assert [event.container for event in node.events if isinstance(event, ContainerSeen)] == [container]


def test_knows_static_pods_by_the_hash_of_their_manifest(node: Node) -> None:
    node.notice(STATIC)
    node.mkdir(f"var/lib/kubelet/pods/{STATIC}")
    node.mkdir(f"var/log/pods/kube-system_etcd-node-1_{STATIC}")
    node.look()
    container = node.container()
    assert container.kubelet_has_pod is True
    assert container.pod == Pod("kube-system", "etcd-node-1", STATIC, "", is_sandbox=False)


def test_a_node_without_a_kubelet_is_silent(node: Node) -> None:
    node.registry.notice((CgroupMembership(0, b"", f"/docker/{ID}".encode()),), 7)
    for _ in range(3):
        node.look()
    assert node.events == []
    assert node.container().pod is None


def test_a_container_whose_pod_the_kubelet_does_not_have_is_told_after_two_looks(node: Node) -> None:
    hidden = "b2" * 32
    node.notice()
    node.notice("99999999-2222-4333-8444-555555555555", hidden)
    node.mkdir(f"var/lib/kubelet/pods/{UID}")
    node.look()
    assert isinstance(node.container(hidden).kubelet_has_pod, Unknown)
    node.look()
    assert node.container(hidden).kubelet_has_pod is False
    assert node.container().kubelet_has_pod is True


def test_a_directory_that_cannot_be_seen_says_nothing_of_a_pod(node: Node) -> None:
    node.notice()
    for _ in range(3):
        node.look()
    assert node.container().kubelet_has_pod == Unknown("not_read: no directory of the kubelet")


def test_does_not_read_again_what_did_not_change(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.notice()
    node.mkdir(f"var/lib/kubelet/pods/{UID}")
    node.look()
    reads: list[object] = []
    monkeypatch.setattr(node.disk, "_read", lambda: reads.append(1))
    for _ in range(10):
        node.look()
    assert reads == []
    monkeypatch.undo()
    node.mkdir("var/lib/kubelet/pods/99999999-2222-4333-8444-555555555555")
    os.utime(node.host / "var/lib/kubelet/pods", ns=(1, 1))
    node.notice("99999999-2222-4333-8444-555555555555", "b2" * 32)
    node.look()
    assert node.container("b2" * 32).kubelet_has_pod is True
    node.look(AGAIN_NS / SECOND)


def test_a_directory_that_somebody_fills_and_changes_is_read_seldom(node: Node) -> None:
    node.mkdir("var/log/pods")
    for number in range(3000):
        (node.host / f"var/log/pods/a_b_{number:08x}-2222-4333-8444-555555555555").touch()
    node.notice()
    changes = 0
    before = node.container()
    for second in range(6):
        os.utime(node.host / "var/log/pods", ns=(second, second))
        if second == 1:
            (node.host / f"var/log/pods/shop_cart_{UID}").touch()
        node.look()
        changes += node.container() != before
        before = node.container()
        assert (before.pod is not None) is (second >= 3)  # three seconds for three thousand names
    assert changes == 1


def test_takes_the_directories_that_the_kubelet_says(node: Node) -> None:
    node.notice()
    node.mkdir(f"data/kubelet/pods/{UID}")
    node.mkdir(f"data/logs/shop_cart_{UID}")
    node.disk.use(parse_kubelet((b"kubelet", b"--root-dir=/data/kubelet"), b"podLogsDir: /data/logs"))
    node.look()
    assert node.container().kubelet_has_pod is True
    assert node.container().pod is not None


def test_a_configured_directory_is_the_only_one(node: Node) -> None:
    node.notice()
    node.mkdir(f"var/lib/kubelet/pods/{UID}")
    node.mkdir("elsewhere/pods")
    node.disk = node.make_disk("/elsewhere")
    node.disk.use(parse_kubelet((b"kubelet",), b""))
    node.look()
    assert node.container().kubelet_has_pod == Unknown("not_read: the kubelet's directory names no pod of this node")


@pytest.mark.parametrize("kind", ["file", "loop", "fifo"])
def test_what_is_no_directory_says_nothing(node: Node, kind: str) -> None:
    node.notice()
    node.mkdir("var/lib/kubelet")
    path = node.host / "var/lib/kubelet/pods"
    if kind == "file":
        path.write_text(UID)
    elif kind == "loop":
        path.symlink_to("pods")
    else:
        os.mkfifo(path)
    node.look()
    assert node.container().kubelet_has_pod == Unknown("not_read: no directory of the kubelet")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"shop_cart_{UID}_more", id="too-many-parts"),
        pytest.param(f"shop_cart{UID}", id="too-few-parts"),
        pytest.param(f"SHOP_cart_{UID}", id="capitals"),
        pytest.param(f"shop_../../etc_{UID}", id="path"),
        pytest.param(f"shop_ca\x1b[31mrt_{UID}", id="escape-sequence"),
        pytest.param(f"shop_cart_{UID}\n", id="newline"),
        pytest.param(f"{'a' * 64}_cart_{UID}", id="namespace-is-too-long"),
        pytest.param(f"shop_{'a' * 254}_{UID}", id="name-is-too-long"),
        pytest.param(f"shop_c\u00e4rt_{UID}", id="not-ascii"),
        pytest.param("shop_cart_11111111-2222-4333-8444-55555555555", id="uid-is-too-short"),
        pytest.param(f"_cart_{UID}", id="no-namespace"),
    ],
)
def test_a_name_that_the_api_server_would_not_take_is_nobodys(name: str) -> None:
    assert parse_log_directories([name.encode()]) == {}


def test_a_uid_that_two_directories_claim_is_nobodys() -> None:
    names = [f"shop_cart_{UID}".encode(), f"kube-system_etcd_{UID}".encode(), f"kube-system_proxy_{STATIC}".encode()]
    assert parse_log_directories(names) == {STATIC: ("kube-system", "proxy")}


def test_parses_the_links_of_container_logs() -> None:
    links = [
        f"cart-7d9f-x2x4_shop_cart-sidecar-{ID}.log".encode(),
        b"cart_shop_cart-a1a1.log",
        f"a_b_one-{'c3' * 32}.log".encode(),
        f"a_b_two-{'c3' * 32}.log".encode(),
    ]
    assert parse_log_links(links) == {ID: "cart-sidecar"}


@given(st.lists(st.binary(max_size=400)))
def test_takes_any_bytes_for_names(names: list[bytes]) -> None:
    parse_pod_directories(names)
    parse_log_directories(names)
    parse_log_links(names)


def test_a_long_name_of_a_stranger_costs_little() -> None:
    hostile = [b"a" * 255, b"a-" * 127 + b"_", b"a_" * 127, b"a.-" * 85] * 2000
    assert parse_log_directories(hostile) == {}
    assert parse_log_links(hostile) == {}
