from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.containers.registry import ContainerRegistry
from collectors.containers.sources import GoverningFile
from collectors.facts import (
    CgroupMembership,
    Container,
    Declared,
    FileId,
    FileKind,
    MountSource,
    Pod,
    Reach,
    Reached,
    Unknown,
)
from collectors.host import Roots

A = "a1" * 32
B = "b2" * 32
UID = "2040f34c-1567-4a38-8d6e-578444975420"
DOCKER = "run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby"
CONTAINERD = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
SECOND = 1_000_000_000


class Node:
    """A node's file tree below a directory, and a clock that stands still."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_ns = 1_700_000_000 * SECOND
        (root / "proc").mkdir()
        (root / "host").mkdir()

    def registry(self, **options: Any) -> ContainerRegistry:
        roots = Roots(proc=str(self.root / "proc"), sys=str(self.root / "sys"), host=str(self.root / "host"))
        return ContainerRegistry(roots, clock_ns=lambda: self.now_ns, **options)

    def path(self, path: str) -> Path:
        return self.root / "host" / path

    def write(self, path: str, data: bytes | str | dict[str, Any]) -> Path:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
        )
        return file

    def process(self, pid: int, cgroup: str = "0::/\n") -> None:
        (self.root / "proc" / str(pid)).mkdir(exist_ok=True)
        (self.root / "proc" / str(pid) / "cgroup").write_text(cgroup)

    def bundle(self, path: str, pid: int | None, pid_name: str = "init.pid", **annotations: str) -> None:
        self.write(f"{path}/config.json", config(annotations))
        if pid is not None:
            self.write(f"{path}/{pid_name}", str(pid))
            self.process(pid)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def config(annotations: dict[str, str] | None = None, cgroups_path: str = "") -> dict[str, Any]:
    return {
        "process": {"cwd": "/", "args": ["sh"]},
        "root": {"path": "rootfs"},
        "annotations": annotations or {},
        "linux": {"cgroupsPath": cgroups_path, "maskedPaths": ["/proc/kcore"]},
    }


def state(pid: int, *paths: str, bundle: str | None = None) -> dict[str, Any]:
    return {
        "init_process_pid": pid,
        "init_process_start": pid * 10,
        "created": "2026-11-21T20:00:00Z",
        "cgroup_paths": {f"c{number}": f"/sys/fs/cgroup/c{number}{path}" for number, path in enumerate(paths)},
        "config": {"labels": [] if bundle is None else [f"bundle={bundle}"]},
    }


def lines(*paths: str) -> tuple[CgroupMembership, ...]:
    return tuple(CgroupMembership(number, b"", os.fsencode(path)) for number, path in enumerate(paths))


def noticed(found: Container | None) -> Container:
    assert found is not None
    return found


def test_notices_a_docker_container_once(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.write(f"run/docker/runtime-runc/moby/{A}/state.json", state(100, f"/docker/{A}"))
    registry = node.registry()
    container = noticed(registry.notice(lines("/", f"/docker/{A}/inner"), 100))
    assert (container.id, container.runtime) == (A, "docker")
    assert isinstance(container.declared, Declared)
    assert container.declared.root_path == f"{node.path(DOCKER)}/{A}/rootfs"
    assert (container.first_pid, container.first_start_ticks) == (100, 1000)
    assert container.cgroup_paths == {f"/docker/{A}".encode()}
    assert container.created_ns == 1_795_291_200 * SECOND
    assert container.bundle_path == f"{node.path(DOCKER)}/{A}"
    assert registry.notice(lines(f"/docker/{A}"), 101) is None
    assert registry.owner(lines("/", f"/docker/{A}/x")) == A


def test_finds_the_sources_of_bind_mounts_on_the_host(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.path("etc").mkdir()
    node.path(f"{DOCKER}/{A}/rootfs/dev").mkdir(parents=True)
    mounts = [{"destination": "/e", "source": "/etc", "type": "bind", "options": ["rbind", "ro"]}]
    node.write(f"{DOCKER}/{A}/config.json", {**config(), "mounts": mounts})
    container = noticed(node.registry().notice(lines(f"/docker/{A}"), 100))
    status = node.path("etc").stat()
    file = FileId(status.st_dev, status.st_ino)
    reached = (Reached("/etc", Reach.IS),)
    assert container.sources == (MountSource("/e", "/etc", True, file, FileKind.DIRECTORY, reached),)  # noqa: FBT003
    assert container.has_linked_dev is False


def test_learns_which_governing_sockets_come_with_a_mount(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.bundle(f"{DOCKER}/{B}", 200)
    node.path("srv").mkdir()
    mounts = [{"destination": "/s", "source": "/srv", "type": "bind", "options": ["rbind"]}]
    node.write(f"{DOCKER}/{A}/config.json", {**config(), "mounts": mounts})
    registry = node.registry()
    for container_id, pid in ((A, 100), (B, 200)):
        noticed(registry.notice(lines(f"/docker/{container_id}"), pid))
    status = node.path("srv").stat()
    chain = (FileId(status.st_dev, status.st_ino), FileId(status.st_dev, 1))
    listening = (GoverningFile("/srv/x.sock", chain, "dockerd"),)
    (changed,) = registry.learn_sockets(listening)
    assert changed.id == A
    assert isinstance(changed.sources, tuple)
    assert changed.sources[0].reached == (Reached("/srv/x.sock", Reach.ABOVE, "dockerd"),)
    assert registry.learn_sockets(listening) == []
    node.bundle(f"{DOCKER}/{'c3' * 32}", 300)
    node.write(f"{DOCKER}/{'c3' * 32}/config.json", {**config(), "mounts": mounts})
    later = noticed(registry.notice(lines(f"/docker/{'c3' * 32}"), 300))
    assert later.sources == changed.sources
    assert [each.id for each in registry.learn_sockets(())] == [A, "c3" * 32]


def test_knows_no_sources_without_a_bundle(node: Node) -> None:
    container = noticed(node.registry().notice(lines(f"/docker/{A}"), 100))
    assert isinstance(container.sources, Unknown)


def test_names_the_pod_of_a_kubernetes_container(node: Node) -> None:
    prefix = "io.kubernetes.cri."
    node.bundle(
        f"{CONTAINERD}/{A}",
        100,
        **{
            f"{prefix}container-type": "container",
            f"{prefix}container-name": "app",
            f"{prefix}image-name": "nginx:1",
            f"{prefix}sandbox-name": "web-0",
            f"{prefix}sandbox-namespace": "shop",
            f"{prefix}sandbox-uid": UID,
        },
    )
    container = noticed(node.registry().notice(lines(f"/kubepods/burstable/pod{UID}/{A}"), 100))
    assert container.runtime == "containerd"
    assert container.pod == Pod("shop", "web-0", UID, "app", is_sandbox=False)
    assert (container.name, container.image, container.pod_uid) == ("app", "nginx:1", UID)


@pytest.mark.parametrize(
    ("place", "runtime"),
    [
        (f"run/containerd/io.containerd.runtime.v2.task/moby/{A}", "docker"),
        (f"run/containerd/io.containerd.runtime.v2.task/default/{A}", "containerd"),
        (f"run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/{A}", "containerd"),
        (f"var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task/k8s.io/{A}", "containerd"),
        (f"run/k0s/containerd/io.containerd.runtime.v2.task/k8s.io/{A}", "containerd"),
        (f"var/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/{A}", "docker"),
        (f"run/containers/storage/overlay-containers/{A}/userdata", "cri-o"),
        (f"var/lib/docker/buildkit/executor/{A}", "buildkit"),
        (f"data/tasks/some/{A}", "unknown"),
        (f"data/tasks/{A}", "unknown"),
    ],
)
def test_finds_the_bundle_of_every_runtime(node: Node, place: str, runtime: str) -> None:
    node.bundle(place, 100, "pidfile" if place.endswith("userdata") else "init.pid")
    registry = node.registry(extra_state_directories=["/data/tasks"])
    assert [(each.id, each.runtime, each.first_pid) for each in registry.discover()] == [(A, runtime, 100)]


def test_finds_the_pid_of_a_podman_container_in_the_other_directory(node: Node) -> None:
    storage = f"storage/overlay-containers/{A}/userdata"
    node.bundle(f"var/lib/containers/{storage}", None, **{"io.container.manager": "libpod"})
    node.write(f"run/containers/{storage}/pidfile", "100")
    node.process(100)
    node.write(f"run/crun/{A}/status", {"pid": 100, "process-start-time": 7, "cgroup-path": f"/x/libpod-{A}.scope"})
    (container,) = node.registry().discover()
    assert (container.runtime, container.first_pid, container.first_start_ticks) == ("podman", 100, 7)
    assert container.cgroup_paths == {f"/x/libpod-{A}.scope".encode()}


def test_does_not_count_one_directory_twice(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.path("var").mkdir()
    node.path("var/run").symlink_to("/run")
    assert len(node.registry().discover()) == 1


def test_discovers_no_container_whose_first_process_has_ended(node: Node) -> None:
    node.write(f"{DOCKER}/{A}/config.json", config())
    node.write(f"{DOCKER}/{A}/init.pid", "100")
    assert node.registry().discover() == ()


def test_discovers_then_notices_what_the_cgroup_adds(node: Node) -> None:
    node.bundle(f"{CONTAINERD}/{A}", 100)
    registry = node.registry()
    (found,) = registry.discover()
    assert found.pod_uid is None
    assert found.cgroup_paths == frozenset()
    container = noticed(registry.notice(lines(f"/kubepods/pod{UID}/{A}"), 100))
    assert container.pod_uid == UID
    assert container.cgroup_paths == {f"/kubepods/pod{UID}/{A}".encode()}
    assert registry.notice(lines(f"/kubepods/pod{UID}/{A}"), 101) is None


def test_notices_a_restart(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry()
    noticed(registry.notice(lines(f"/docker/{A}"), 100))
    registry.merge(A, name="web", image="nginx", labels={"a": "b"})
    node.path(f"{DOCKER}/{A}").rename(node.path("old"))
    assert registry.notice(lines(f"/docker/{A}"), 100) is None
    node.bundle(f"{DOCKER}/{A}", 200)
    again = noticed(registry.notice(lines(f"/docker/{A}"), 200))
    assert (again.first_pid, again.name, again.image, again.labels) == (200, "web", "nginx", (("a", "b"),))


def test_notices_the_first_pid_when_it_is_written_later(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", None)
    registry = node.registry()
    assert noticed(registry.notice(lines(f"/docker/{A}"), 100)).first_pid is None
    node.bundle(f"{DOCKER}/{A}", 100)
    assert noticed(registry.notice(lines(f"/docker/{A}"), 100)).first_pid == 100


def test_does_not_read_again_when_the_shim_writes_beside_the_bundle(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry()
    noticed(registry.notice(lines(f"/docker/{A}"), 100))
    found = registry._entries[A].found
    node.write(f"{DOCKER}/{A}/exec.pid", "300")
    assert registry.notice(lines(f"/docker/{A}"), 300) is None
    assert registry._entries[A].found is found


def test_says_why_there_is_no_bundle(node: Node) -> None:
    registry = node.registry()
    assert noticed(registry.notice(lines(f"/docker/{A}"), 1)).declared == Unknown("no_state_directory")
    node.path(DOCKER).mkdir(parents=True)
    registry = node.registry()
    container = noticed(registry.notice(lines(f"/docker/{A}"), 1))
    assert container.declared == Unknown("no_bundle")
    assert container.runtime == "docker"
    assert container.cgroup_paths == {f"/docker/{A}".encode()}


def test_looks_again_with_back_off_for_a_bundle_that_appears_later(node: Node) -> None:
    node.path(DOCKER).mkdir(parents=True)
    registry = node.registry()
    noticed(registry.notice(lines(f"/docker/{A}"), 1))
    node.bundle(f"{DOCKER}/{A}", 100)
    assert registry.notice(lines(f"/docker/{A}"), 2) is None
    assert registry.retry_due() == ()
    node.now_ns += SECOND
    (container,) = registry.retry_due()
    assert container.first_pid == 100
    assert isinstance(container.declared, Declared)
    assert registry.retry_due() == ()


def test_a_fake_id_inside_a_container_is_the_containers(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.bundle(f"{DOCKER}/{B}", 200)
    registry = node.registry()
    registry.discover()
    assert registry.owner(lines(f"/docker/{A}/docker/{B}")) == A


def test_does_not_take_a_cgroup_that_the_container_made(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry()
    noticed(registry.notice(lines(f"/docker/{A}"), 100))
    assert registry.notice(lines(f"/escaped/{A}"), 100) is None
    (container,) = registry.containers()
    assert container.cgroup_paths == {f"/docker/{A}".encode()}


def test_takes_the_path_that_a_private_cgroup_namespace_shows(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.write(f"run/docker/runtime-runc/moby/{A}/state.json", state(100, f"/s.slice/docker-{A}.scope"))
    container = noticed(node.registry().notice(lines(f"/../../docker-{A}.scope"), 100))
    assert container.cgroup_paths == {f"/s.slice/docker-{A}.scope".encode(), f"/../../docker-{A}.scope".encode()}


def test_knows_a_plain_runc_container_by_its_cgroup(node: Node) -> None:
    node.path("run/runc").mkdir(parents=True)
    registry = node.registry()
    assert registry.discover() == ()
    assert registry.notice(lines("/", "/jobs/build"), 100) is None
    node.write("srv/build/config.json", config())
    node.process(100)
    node.write("run/runc/build/state.json", state(100, "/jobs/build", "/", "/system.slice", bundle="/srv/build"))
    container = noticed(registry.notice(lines("/", "/jobs/build/inner"), 100))
    assert (container.id, container.runtime, container.first_pid) == ("build", "runc", 100)
    assert container.cgroup_paths == {b"/jobs/build"}
    assert isinstance(container.declared, Declared)
    assert container.bundle_path == "/srv/build"
    assert registry.owner(lines("/jobs/build/docker/" + A)) == "build"
    assert registry.owner(lines("/jobs/builder")) is None
    shutil.rmtree(node.path("run/runc/build"))
    assert registry.expire(()) == ("build",)
    assert registry.owner(lines("/jobs/build")) is None


def test_follows_no_link_in_the_bundle_that_a_plain_container_names(node: Node) -> None:
    node.write("srv/real/config.json", config())
    node.path("srv/link").symlink_to("real")
    node.process(100)
    node.write("run/runc/job/state.json", state(100, "/job", bundle="/srv/link"))
    registry = node.registry()
    (container,) = registry.discover()
    assert isinstance(container.declared, Unknown)
    assert container.declared.why.startswith("malformed: ")
    assert len(registry.problems()) == 1


def test_asks_a_users_own_directory_only_for_cgroups_of_that_user(node: Node) -> None:
    node.write(
        f"run/user/1000/crun/{A}/status",
        {"pid": 1, "process-start-time": 7, "cgroup-path": "/init.scope", "bundle": "/home/u/b"},
    )
    node.write("home/u/b/config.json", config())
    node.process(1, "0::/init.scope\n")
    assert node.registry().discover() == ()
    assert noticed(node.registry().notice(lines(f"/docker/{A}"), 5)).declared == Unknown("no_state_directory")
    cgroup = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope"
    container = noticed(node.registry().notice(lines(cgroup), 5))
    assert isinstance(container.declared, Declared)
    # It claims pid 1 and a cgroup of the host for its container: neither is believed.
    assert (container.first_pid, container.first_start_ticks) == (None, None)
    assert container.cgroup_paths == {cgroup.encode()}


@pytest.mark.parametrize("kind", ["invalid", "sparse", "link", "fifo", "directory"])
def test_a_spoilt_bundle_is_told_once_and_hides_nothing_else(node: Node, kind: str) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.bundle(f"{DOCKER}/{B}", 200)
    file = node.path(f"{DOCKER}/{A}/config.json")
    file.unlink()
    match kind:
        case "invalid":
            file.write_bytes(b'{"process": [')
        case "sparse":
            with file.open("wb") as opened:
                opened.truncate(100 << 20)
        case "link":
            file.symlink_to("/etc/passwd")
        case "fifo":
            os.mkfifo(file)
        case _:
            file.mkdir()
    registry = node.registry()
    found = {each.id: each for each in registry.discover()}
    assert set(found) == {A, B}
    assert isinstance(found[B].declared, Declared)
    declared = found[A].declared
    assert isinstance(declared, Unknown)
    assert declared.why.startswith("too_large: " if kind == "sparse" else "malformed: ")
    assert found[A].first_pid == 100
    ((source, why),) = registry.take_problems()
    assert source == str(file)
    assert why.startswith("too_large: " if kind == "sparse" else "malformed: ")
    assert registry.take_problems() == ()
    assert registry.problems() == ((source, why),)
    assert registry.counters().problems == 1


def test_expires_what_has_neither_bundle_nor_process(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    node.bundle(f"{DOCKER}/{B}", 200)
    registry = node.registry()
    registry.discover()
    shutil.rmtree(node.path(f"{DOCKER}/{A}"))
    assert registry.expire({A}) == ()
    assert registry.expire(()) == (A,)
    shutil.rmtree(node.root / "proc" / "200")
    assert registry.expire(()) == (B,)
    assert registry.containers() == ()


def test_keeps_metadata_that_came_first(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry()
    assert (
        registry.merge(A, name="web", labels={"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n"})
        is None
    )
    container = noticed(registry.notice(lines(f"/docker/{A}"), 100))
    assert container.name == "web"
    assert container.pod == Pod("n", "p", "", "POD", is_sandbox=True)
    assert registry.merge(A, name="web", labels=dict(container.labels)) is None
    assert noticed(registry.merge(A, name="x" * 10_000)).name == "x" * 4096


def test_a_hundred_thousand_made_up_ids_cost_little(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry(max_without_bundle=64)
    told = [registry.notice(lines(f"/fake/{number:064x}"), 1) for number in range(20_000)]
    assert sum(each is not None for each in told) == 64
    assert len(registry.containers()) == 64
    counters = registry.counters()
    assert counters.refused_without_bundle == 20_000 - 64
    assert counters.deferred_lookups == 20_000 - 200
    assert counters.emptied_path_caches == 1
    node.now_ns += SECOND
    assert noticed(registry.notice(lines(f"/docker/{A}"), 100)).first_pid == 100


def test_a_clock_that_was_set_back_delays_no_look_for_a_bundle(node: Node) -> None:
    node.path(DOCKER).mkdir(parents=True)
    registry = node.registry()
    noticed(registry.notice(lines(f"/docker/{A}"), 1))
    node.bundle(f"{DOCKER}/{A}", 100)
    node.now_ns -= 3600 * SECOND
    (container,) = registry.retry_due()
    assert container.first_pid == 100


def test_a_deferred_container_is_found_by_the_next_sweeps(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry()
    for number in range(200):
        registry.notice(lines(f"/fake/{number:064x}"), 1)
    assert registry.notice(lines(f"/docker/{A}"), 100) is None
    assert A in {each.id for each in registry.retry_due()}


def test_bounds_containers(node: Node) -> None:
    for number in range(20):
        node.bundle(f"{DOCKER}/{number:064x}", None)
    registry = node.registry(max_containers=16)
    assert len(registry.discover()) == 16
    assert registry.counters().refused_containers == 4


def test_bounds_metadata_without_a_container(node: Node) -> None:
    registry = node.registry()
    for number in range(2000):
        registry.merge(f"{number:064x}", name="x")
    assert registry.counters().forgotten_metadata == 2000 - 1024


def test_answers_many_threads(node: Node) -> None:
    ids = [f"{number:064x}" for number in range(40)]
    for each in ids:
        node.bundle(f"{DOCKER}/{each}", None)
    registry = node.registry()
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            for each in ids:
                registry.notice(lines(f"/docker/{each}"), 1)
                assert registry.owner(lines(f"/docker/{each}")) == each
                registry.merge(each, name=each)
                registry.expire(ids)
        except BaseException as error:  # noqa: BLE001 (of a thread)
            trouble.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    assert {each.name for each in registry.containers()} == set(ids)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.binary(max_size=80), max_size=4), st.text(max_size=80))
def test_never_raises_into_a_sensor(node: Node, paths: list[bytes], name: str) -> None:
    registry = node.registry()
    cgroups = tuple(CgroupMembership(0, b"", b"/" + path) for path in paths)
    registry.notice(cgroups, 1)
    registry.owner(cgroups)
    registry.merge(name, name=name, labels={name: name})
    registry.retry_due()
    registry.expire(())
