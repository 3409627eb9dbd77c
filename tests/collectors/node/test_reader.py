from __future__ import annotations

import os
from pathlib import Path

from collectors.facts import Unknown
from collectors.host import Roots
from collectors.node.reader import read_node
from collectors.node_facts import NodeFile
from tests.support import build
from tests.support.proctree import Link, Tree, build_tree

HOST_MNT = {"mnt": Link(f"mnt:[{build.HOST_MNT}]")}
OTHER_MNT = {"mnt": Link("mnt:[4026532100]")}
STATUS = b"Package: runc\nStatus: install ok installed\nVersion: 1.1.12-1\n"


def daemon(name: bytes, *arguments: bytes, ns: Tree | None = None) -> Tree:
    return {"comm": name + b"\n", "cmdline": b"\0".join((name, *arguments)) + b"\0", "ns": ns or dict(HOST_MNT)}


def roots_of(tmp_path: Path, proc: Tree, host: Tree) -> Roots:
    return Roots(
        build_tree(tmp_path / "proc", proc), build_tree(tmp_path / "sys", {}), build_tree(tmp_path / "host", host)
    )


def test_reads_daemons_packages_and_files(tmp_path: Path) -> None:
    proc: Tree = {
        "version": b"Linux version 6.18.44 (x) #1\n",
        "700": daemon(b"dockerd", b"-H", b"tcp://0.0.0.0:2375"),
        "800": daemon(b"kubelet", b"--config=/k.yaml"),
        "1": {"comm": b"init\n", "mountinfo": b"28 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"},
    }
    host: Tree = {
        "etc": {"docker": {"daemon.json": b'{"icc": false}'}},
        "k.yaml": b"seccompDefault: true\n",
        "var": {"lib": {"dpkg": {"status": STATUS}}},
    }
    roots = roots_of(tmp_path, proc, host)
    os.chmod(tmp_path / "host/etc/docker/daemon.json", 0o600)
    node = read_node(roots, build.host_baseline())
    assert [(each.name, each.version) for each in node.software] == [("kernel", "6.18.44"), ("runc", "1.1.12-1")]
    assert node.docker is not None
    assert not isinstance(node.docker, Unknown)
    assert (node.docker.hosts, node.docker.icc) == (("tcp://0.0.0.0:2375",), False)
    assert node.kubelet is not None
    assert not isinstance(node.kubelet, Unknown)
    assert node.kubelet.seccomp_default
    status = (tmp_path / "host/etc/docker/daemon.json").stat()
    assert node.files == (NodeFile("/etc/docker/daemon.json", 0o600, status.st_uid, status.st_gid),)
    assert node.cgroups == "v2"


def test_a_process_of_a_container_is_no_daemon_whatever_its_name(tmp_path: Path) -> None:
    proc: Tree = {
        "700": daemon(b"dockerd", b"-H", b"tcp://x", ns=dict(OTHER_MNT)),
        "701": daemon(b"dockerd", b"-H", b"fd://"),
    }
    node = read_node(roots_of(tmp_path, proc, {}), build.host_baseline())
    assert node.docker is not None
    assert not isinstance(node.docker, Unknown)
    assert node.docker.hosts == ("fd://",)


def test_what_cannot_be_read_is_unknown_and_the_rest_stands(tmp_path: Path) -> None:
    proc: Tree = {"700": daemon(b"dockerd"), "800": daemon(b"kubelet", b"--config=/gone.yaml")}
    node = read_node(roots_of(tmp_path, proc, {"etc": {"docker": {"daemon.json": b"{"}}}), build.host_baseline())
    assert node.docker == Unknown("malformed: daemon.json")
    assert node.kubelet == Unknown("gone: host file")
    assert isinstance(node.cgroups, Unknown)
    assert isinstance(node.software[0].version, Unknown)


def test_a_node_without_daemons_has_none(tmp_path: Path) -> None:
    node = read_node(roots_of(tmp_path, {}, {}), build.host_baseline())
    assert (node.docker, node.kubelet, node.files, node.sysctls) == (None, None, (), ())
    missing = read_node(Roots(str(tmp_path / "no"), str(tmp_path / "no"), str(tmp_path / "no")), build.host_baseline())
    assert isinstance(missing.lsms, Unknown)


def test_a_program_without_a_package_is_asked_itself(tmp_path: Path) -> None:
    host: Tree = {"usr": {"local": {"bin": {"containerd": b"#!/bin/sh\n"}}}}
    node = read_node(roots_of(tmp_path, {}, host), build.host_baseline())
    assert [(each.name, each.version) for each in node.software[1:]] == [
        ("containerd", Unknown("malformed: go build info"))
    ]
