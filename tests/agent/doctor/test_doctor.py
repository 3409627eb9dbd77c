from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config_schema import ContainersConfig, DockerConfig
from agent.doctor.base import Surroundings, Verdict
from agent.doctor.examination import examine, is_well, read_surroundings
from agent.kubernetes_schema import KubernetesApiConfig
from agent.state_schema import StateConfig
from collectors.capabilities import mask
from collectors.facts import Unknown
from tests.agent.doctor.surroundings import by_name, configured, refused, well
from tests.support import build

Change = Callable[[Surroundings], Surroundings]


def without(*names: str) -> Change:
    kept = build.FULL_CAPABILITIES & ~mask(names)
    return lambda node: replace(node, capabilities=build.capabilities(kept))


def in_own(**namespaces: int) -> Change:
    return lambda node: replace(node, own=build.host_namespaces(**namespaces))


def test_a_node_on_which_nothing_is_missing_is_well(tmp_path: Path) -> None:
    answers = examine(well(tmp_path))
    assert {each.verdict for each in answers} <= {Verdict.OK, Verdict.OFF}
    assert is_well(answers)
    assert not any(each.costs or each.mend for each in answers)


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        (lambda node: replace(node, uid=1000), "user", Verdict.FAILED),
        (without("CAP_SYS_PTRACE"), "CAP_SYS_PTRACE", Verdict.FAILED),
        (without("CAP_DAC_READ_SEARCH"), "CAP_DAC_READ_SEARCH", Verdict.FAILED),
        (without("CAP_NET_ADMIN"), "CAP_NET_ADMIN", Verdict.WARNING),
        (without("CAP_BPF"), "CAP_BPF", Verdict.OK),
        (without("CAP_BPF", "CAP_SYS_ADMIN"), "CAP_BPF", Verdict.WARNING),
        (in_own(user=4026532999), "user namespace", Verdict.FAILED),
        (in_own(pid=4026532999), "host's pids", Verdict.FAILED),
        (in_own(net=4026532999), "host's network", Verdict.WARNING),
        (in_own(pid=4026532999, mnt=4026532998), "host's pids", Verdict.FAILED),
        (
            lambda node: replace(
                node,
                own=build.host_namespaces(pid=4026532999, mnt=4026532998),
                host=build.host_baseline(namespaces=build.host_namespaces(pid=4026532999)),
            ),
            "host's pids",
            Verdict.WARNING,
        ),
        (lambda node: replace(node, label=b"docker-default (enforce)\n"), "LSM label", Verdict.WARNING),
        (lambda node: replace(node, label=None), "LSM label", Verdict.OK),
        (lambda node: replace(node, kernel="5.4.0"), "kernel", Verdict.WARNING),
        (lambda node: replace(node, kernel="5.10.0"), "kernel", Verdict.OK),
        (lambda node: replace(node, try_connector=refused), "process connector", Verdict.WARNING),
        (lambda node: replace(node, try_library=refused), "libbpf", Verdict.WARNING),
        (lambda node: replace(node, try_ebpf=refused), "eBPF trial", Verdict.WARNING),
        (lambda node: replace(node, try_inotify=refused), "inotify watches", Verdict.WARNING),
        (lambda node: configured(node, sensor="ebpf"), "inotify watches", Verdict.OFF),
        (lambda node: replace(node, is_clock_synchronised=lambda: False), "clock", Verdict.WARNING),
        (
            lambda node: replace(node, host=build.host_baseline(root=Unknown("denied: proc/root"))),
            "host's baseline",
            Verdict.FAILED,
        ),
        (lambda node: configured(node, state=StateConfig(directory=None)), "state directory", Verdict.WARNING),
        (lambda node: configured(node, sensor="poll"), "process connector", Verdict.OFF),
    ],
)
def test_says_what_is_missing(tmp_path: Path, change: Change, name: str, verdict: Verdict) -> None:
    answers = examine(change(well(tmp_path)))
    answer = by_name(answers)[name]
    assert answer.verdict is verdict
    assert is_well(answers) is (verdict is not Verdict.FAILED)
    if verdict in {Verdict.FAILED, Verdict.WARNING}:
        assert answer.costs
        assert answer.mend


@pytest.mark.parametrize("name", ["CAP_BPF", "kernel", "libbpf", "eBPF trial"])
def test_what_ebpf_needs_fails_where_it_is_asked_for(tmp_path: Path, name: str) -> None:
    node = without("CAP_BPF", "CAP_SYS_ADMIN")(well(tmp_path))
    node = replace(node, kernel="5.4.0", try_library=refused, try_ebpf=refused)
    assert by_name(examine(node))[name].verdict is Verdict.WARNING
    assert by_name(examine(configured(node, sensor="ebpf")))[name].verdict is Verdict.FAILED


def test_few_inotify_watches_for_all_of_root_are_told_with_what_would_do(tmp_path: Path) -> None:
    node = well(tmp_path)
    Path(node.roots.proc, "sys/fs/inotify/max_user_watches").write_text("8191\n")
    answer = by_name(examine(node))["inotify watches"]
    assert (answer.verdict, answer.found) == (Verdict.WARNING, "1023 may be taken")
    assert "fs.inotify.max_user_watches=8192" in answer.mend


def test_a_connector_that_was_demanded_fails(tmp_path: Path) -> None:
    node = replace(configured(well(tmp_path), sensor="netlink"), try_connector=refused)
    assert by_name(examine(node))["process connector"].verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("path", "data", "name"),
    [
        ("sys/kernel/btf/vmlinux", None, "BTF"),
        ("sys/kernel/security/lockdown", b"none integrity [confidentiality]\n", "lockdown"),
        ("sys/fs/cgroup/cgroup.controllers", None, "cgroups"),
        ("sys/kernel/tracing/events/syscalls", None, "single tracepoints"),
        ("host/run/containerd/runc", None, "runtimes"),
    ],
)
def test_says_which_file_is_missing(tmp_path: Path, path: str, data: bytes | None, name: str) -> None:
    node = well(tmp_path)
    if data is not None:
        (tmp_path / path).write_bytes(data)
    elif (tmp_path / path).is_dir():
        (tmp_path / path).rmdir()
        (tmp_path / path).parent.rmdir()
    else:
        (tmp_path / path).unlink()
    assert by_name(examine(node))[name].verdict is Verdict.WARNING


def test_a_strict_kernel_wants_sys_admin_for_single_tracepoints(tmp_path: Path) -> None:
    node = well(tmp_path)
    (tmp_path / "proc/sys/kernel/perf_event_paranoid").write_bytes(b"3\n")
    assert by_name(examine(node))["single tracepoints"].verdict is Verdict.OK
    answer = by_name(examine(without("CAP_SYS_ADMIN")(node)))["single tracepoints"]
    assert (answer.verdict, answer.found) == (Verdict.WARNING, "perf_event_paranoid is 3")


def test_a_state_directory_that_the_agent_would_refuse_fails(tmp_path: Path) -> None:
    node = well(tmp_path)
    (tmp_path / "state").chmod(0o777)
    assert by_name(examine(node))["state directory"].verdict is Verdict.FAILED
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("")
    assert by_name(examine(node))["state directory"].found.endswith("is no directory")
    (tmp_path / "state").unlink()
    assert by_name(examine(node))["state directory"].found.endswith("will be made")
    assert not (tmp_path / "state").exists()


def test_docker_is_asked_where_its_socket_is(tmp_path: Path) -> None:
    def dead() -> str:
        raise ConnectionRefusedError(111, "Connection refused")

    node = replace(well(tmp_path), try_docker=dead)
    assert by_name(examine(node))["Docker API"].verdict is Verdict.OFF
    path = tmp_path / "docker.sock"
    path.touch()
    assert by_name(examine(node))["Docker API"].verdict is Verdict.WARNING
    demanded = ContainersConfig(docker=DockerConfig(enabled=True, socket=str(path)))
    assert by_name(examine(configured(node, containers=demanded)))["Docker API"].verdict is Verdict.FAILED


@pytest.mark.skipif(os.geteuid() != 0, reason="looks at the whole node")
def test_reads_this_very_process_and_the_clock_and_an_engine_that_is_none(tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        node = read_surroundings(
            configured(well(tmp_path), containers=ContainersConfig(docker=DockerConfig(socket=path))).config
        )
        assert (node.uid, node.kernel) == (0, os.uname().release)
        assert node.own.pid == int(os.readlink("/proc/self/ns/pid")[5:-1])
        assert node.is_clock_synchronised() in {True, False}
        with pytest.raises(ConnectionRefusedError):
            node.try_docker()


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        (b"docker-default (enforce)\n", "appArmorProfile.type: Unconfined"),
        (b"system_u:system_r:container_t:s0:c1,c2\0", "overlay openshift"),
    ],
)
def test_says_which_module_is_in_the_way_and_how_to_be_let_through(tmp_path: Path, label: bytes, wanted: str) -> None:
    answer = by_name(examine(replace(well(tmp_path), label=label)))["LSM label"]
    assert answer.verdict is Verdict.WARNING
    assert wanted in answer.mend


def test_before_5_11_tables_want_sys_resource(tmp_path: Path) -> None:
    node = configured(without("CAP_SYS_RESOURCE")(well(tmp_path)), sensor="ebpf")
    assert "CAP_SYS_RESOURCE" not in by_name(examine(node))
    answer = by_name(examine(replace(node, kernel="5.10.0-28-amd64")))["CAP_SYS_RESOURCE"]
    assert answer.verdict is Verdict.FAILED
    assert "overlay ebpf-before-5.11" in answer.mend


def test_a_cgroup_namespace_of_its_own_wants_the_nodes_hierarchy(tmp_path: Path) -> None:
    """As a pod sees it with the hostPath, without it, and on cgroup v1 likewise."""
    node = in_own(cgroup=4026532999)(well(tmp_path))
    assert "the node's hierarchy is mounted" in by_name(examine(node))["cgroups"].found
    part = tmp_path / "sys/fs/cgroup/cgroup.type"
    part.write_text("domain")
    answer = by_name(examine(node))["cgroups"]
    assert (answer.verdict, "only a part" in answer.found) == (Verdict.WARNING, True)
    part.unlink()
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").unlink()
    (tmp_path / "sys/fs/cgroup/pids").mkdir()
    assert by_name(examine(node))["cgroups"].verdict is Verdict.WARNING
    (tmp_path / "sys/fs/cgroup/pids/release_agent").touch()
    assert by_name(examine(node))["cgroups"].verdict is Verdict.OK


def test_a_clock_that_was_set_back_is_told_by_the_last_heartbeat(tmp_path: Path) -> None:
    node, beat = well(tmp_path), tmp_path / "state/heartbeat"
    beat.touch()
    assert by_name(examine(node))["clock"].verdict is Verdict.OK
    os.utime(beat, (time.time() + 7200,) * 2)
    answer = by_name(examine(node))["clock"]
    assert (answer.verdict, answer.mend != "") == (Verdict.WARNING, True)
    assert "7200 s ahead" in answer.found or "7199 s ahead" in answer.found


@pytest.mark.parametrize(
    ("changes", "verdict", "found"),
    [
        ({}, Verdict.OFF, "off in the configuration"),
        ({"enabled": True}, Verdict.FAILED, "kubernetes.node_name is not set"),
        ({"enabled": True, "node_name": "n1"}, Verdict.FAILED, "the agent runs in no cluster"),
        (
            {"enabled": True, "node_name": "n1", "server": "https://k:6443"},
            Verdict.FAILED,
            "can't be read: /none/token",
        ),
    ],
    ids=["off", "no-name", "no-cluster", "no-token"],
)
def test_a_node_without_kubernetes(tmp_path: Path, changes: dict[str, Any], verdict: Verdict, found: str) -> None:
    config = KubernetesApiConfig(token_file="/none/token", ca_file="/none/ca", **changes)
    answer = by_name(examine(configured(well(tmp_path), kubernetes=config)))["Kubernetes API"]
    assert answer.verdict is verdict
    assert found in answer.found
    assert bool(answer.mend) is (verdict is Verdict.FAILED)


def test_a_cluster_is_found_by_what_the_kubelet_tells(tmp_path: Path) -> None:
    for name in ("token", "ca"):
        (tmp_path / name).touch()
    config = KubernetesApiConfig(enabled=True, token_file=str(tmp_path / "token"), ca_file=str(tmp_path / "ca"))
    told = {"NODE_NAME": "n1", "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    node = replace(configured(well(tmp_path), kubernetes=config), environment=told)
    answer = by_name(examine(node))["Kubernetes API"]
    assert (answer.verdict, answer.found) == (Verdict.OK, "https://10.0.0.1:443, pods of the node n1")
