from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.facts import FileId, Place, Process, Unknown
from collectors.governors import Governor, Governors, Scope
from collectors.host import Roots
from tests.support import build
from tests.support.go_programs import build_information, program

DOCKERD = b"github.com/docker/docker/cmd/dockerd"
RUNTIME = FileId(build.HOST_DEVICE, 600_001)  # of build.host_baseline()


class Host:
    """Programs below a directory, and who runs them."""

    def __init__(self, root: Path) -> None:
        self.root = root / "host"
        self.root.mkdir(mode=0o755)
        self._mountinfo = root / "proc/1/mountinfo"
        self._mountinfo.parent.mkdir(parents=True)
        self.mount(b"ext4")
        self.governors = Governors(Roots(str(root / "proc"), str(root / "sys"), str(self.root)), build.host_baseline())

    def mount(self, fs_type: bytes) -> None:
        """The file system that the programs are on."""
        device = self.root.stat().st_dev
        row = b"27 1 %d:%d / / rw - %s /dev/vg rw\n" % (os.major(device), os.minor(device), fs_type)
        self._mountinfo.write_bytes(row)

    def install(self, path: str, data: bytes) -> Process:
        """A host process that runs the program which is put there."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        status = file.stat()
        place = Place(FileId(status.st_dev, status.st_ino), build.HOST_ROOT_MOUNT)
        return build.host_process(700, executable=build.executable(b"/" + path.encode(), place=place))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def runs(path: bytes, file: FileId = RUNTIME) -> Process:
    place = Place(file, build.HOST_ROOT_MOUNT)
    return build.host_process(700, executable=build.executable(path, place=place))


@pytest.mark.parametrize(
    ("package", "name", "scope"),
    [
        (DOCKERD, "dockerd", Scope.NODE),
        (b"github.com/moby/moby/v2/cmd/dockerd", "dockerd", Scope.NODE),
        (b"github.com/containerd/containerd/v2/cmd/containerd", "containerd", Scope.NODE),
        (b"github.com/containerd/containerd/cmd/containerd-shim-runc-v2", "containerd-shim", Scope.CONTAINER),
        (b"github.com/containers/podman/v5/cmd/podman", "podman", Scope.NODE),
        (b"k8s.io/kubernetes/cmd/kubelet", "kubelet", Scope.NODE),
    ],
)
def test_knows_a_runtime_by_what_it_was_built_from(host: Host, package: bytes, name: str, scope: Scope) -> None:
    process = host.install("srv/plain", program(build_information(package)))
    assert host.governors.of(process) == Governor(name, b"/srv/plain", scope)


@pytest.mark.parametrize(
    "package",
    [b"github.com/docker/cli/cmd/docker", b"github.com/docker/libnetwork/cmd/proxy", DOCKERD + b"x", b"x/" + DOCKERD],
)
def test_takes_no_other_program_for_one(host: Host, package: bytes) -> None:
    assert host.governors.of(host.install("srv/dockerd", program(build_information(package)))) is None


def test_takes_nothing_for_one_by_its_name(host: Host) -> None:
    assert host.governors.of(host.install("srv/dockerd", b"#!/bin/sh\n")) is None
    assert host.governors.of(host.install("srv/kubelet", program(b"damaged, and longer than 32 bytes are"))) is None


def test_knows_the_runtimes_that_were_installed_at_start(host: Host) -> None:
    known = host.governors.of(runs(b"/usr/bin/containerd-shim-runc-v2"))
    assert known == Governor("containerd-shim-runc-v2", b"/usr/bin/containerd-shim-runc-v2", Scope.CONTAINER)
    assert host.governors.of(runs(b"/usr/bin/docker-proxy")) is None


def test_does_not_touch_a_program_whose_server_may_be_dead(host: Host) -> None:
    process = host.install("srv/plain", program(build_information(DOCKERD)))
    host.mount(b"fuse.sshfs")
    assert host.governors.of(process) is None


def test_does_not_ask_another_file_than_the_process_runs(host: Host) -> None:
    process = host.install("srv/plain", program(build_information(DOCKERD)))
    (host.root / "srv/plain").rename(host.root / "srv/old")
    (host.root / "srv/plain").write_bytes(program(build_information(DOCKERD)))
    assert host.governors.of(process) is None


def test_looks_at_a_program_once(host: Host) -> None:
    process = host.install("srv/plain", program(build_information(DOCKERD)))
    first = host.governors.of(process)
    (host.root / "srv/plain").unlink()
    assert host.governors.of(process) == first is not None


def test_knows_nobody_whose_program_is_not_known(host: Host) -> None:
    process = build.host_process(700)
    assert host.governors.of(replace(process, executable=Unknown("denied"))) is None
