"""Tests of ``collectors.programs``."""

import os
from pathlib import Path

import pytest

from collectors.facts import FileId
from collectors.programs import (
    find_all_trusted,
    find_runtimes,
    find_trusted,
    parse_core_pattern,
    parse_program,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of root are made")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    root = tmp_path / "host"
    for directory in ("usr/bin", "usr/sbin", "var/lib/docker/overlay2/x/diff", "var/lib/rancher/k3s/data/abc/bin"):
        (root / directory).mkdir(parents=True)
    for name in ("runc", "containerd-shim-runc-v2", "kubelet", "ls"):
        (root / "usr/bin" / name).write_bytes(b"")
    (root / "var/lib/rancher/k3s/data/abc/bin/k3s").write_bytes(b"")
    (root / "var/lib/rancher/k3s/data/abc/bin/containerd").symlink_to("k3s")
    (root / "sbin").symlink_to("usr/sbin")
    (root / "usr/sbin/modprobe").write_bytes(b"")
    (root / "var/lib/docker/overlay2/x/diff/payload").write_bytes(b"")
    return root


def identity(path: Path) -> FileId:
    status = path.stat()
    return FileId(status.st_dev, status.st_ino)


@needs_root
def test_parses_an_installed_program_through_the_hosts_links(host: Path) -> None:
    assert find_trusted(str(host), b"/sbin/modprobe") == identity(host / "usr/sbin/modprobe")


@needs_root
@pytest.mark.parametrize("spoil", ["chmod", "chown", "directory", "missing", "not-a-file"])
def test_refuses_a_program_that_others_can_write(host: Path, spoil: str) -> None:
    path = host / "usr/sbin/modprobe"
    match spoil:
        case "chmod":
            path.chmod(0o775)
        case "chown":
            os.chown(path, 1000, 0)
        case "directory":
            path.parent.chmod(0o777)
        case "missing":
            path.unlink()
        case _:
            path.unlink()
            path.mkdir()
    assert find_trusted(str(host), b"/sbin/modprobe") is None


@needs_root
def test_refuses_a_payload_in_a_containers_layer(host: Path) -> None:
    paths = [b"/var/lib/docker/overlay2/x/diff/payload", b"/sbin/modprobe"]
    assert find_all_trusted(str(host), paths) == {identity(host / "usr/sbin/modprobe")}


@needs_root
def test_parses_the_runtimes_of_the_host(host: Path) -> None:
    assert find_runtimes(str(host)) == {
        identity(host / "usr/bin/runc"),
        identity(host / "usr/bin/kubelet"),
        identity(host / "usr/bin/containerd-shim-runc-v2"),
        identity(host / "var/lib/rancher/k3s/data/abc/bin/k3s"),
    }


def test_parses_core_pattern() -> None:
    assert parse_core_pattern(b"|/usr/lib/systemd/systemd-coredump %P %u") == b"/usr/lib/systemd/systemd-coredump"
    assert parse_core_pattern(b"core.%p") is None
    assert parse_core_pattern(b"|core") is None


def test_parses_the_first_word_of_a_value() -> None:
    assert parse_program(b"/sbin/agent --x\n/other") == b"/sbin/agent"
    assert parse_program(b"") is None
    assert parse_program(b"relative") is None
