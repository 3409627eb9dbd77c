from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from collectors.containers.sources import (
    MAX_SOCKETS,
    MAX_SOURCES,
    GoverningFile,
    SourceFinder,
    is_bind,
    reached_by_path,
    with_sockets,
)
from collectors.facts import DeclaredMount, FileId, FileKind, MountSource, Reach, Reached, Unknown
from collectors.host import Roots
from tests.support import build

NFS = b"36 1 0:40 / /data rw - nfs4 server:/ rw\n"
LOCAL = b"27 1 253:1 / / rw - ext4 /dev/vg rw\n"


class Host:
    """A host's file tree below a directory, and a finder on it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "host"
        self.root.mkdir()
        (root / "proc" / "1").mkdir(parents=True)
        (root / "proc" / "1" / "mountinfo").write_bytes(LOCAL + NFS)
        self.now_ns = 0
        self.finder = SourceFinder(
            Roots(proc=str(root / "proc"), sys=str(root / "sys"), host=str(self.root)), lambda: self.now_ns
        )

    def make(self, *directories: str) -> None:
        for each in directories:
            (self.root / each).mkdir(parents=True, exist_ok=True)

    def identity(self, path: str) -> FileId:
        status = (self.root / path).stat()
        return FileId(status.st_dev, status.st_ino)

    def find(self, source: str, *options: str) -> MountSource:
        mount = DeclaredMount("/inside", source, "bind", options or ("rbind",))
        found = self.finder.find(build.declared(mounts=(mount,)))
        assert isinstance(found, tuple)
        return found[0]

    def reached(self, source: str) -> dict[str, Reach]:
        return {each.place: each.reach for each in self.find(source).reached}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_finds_a_place_by_identity_through_a_link(host: Host) -> None:
    host.make("etc", "srv")
    (host.root / "srv" / "link").symlink_to("/etc")
    found = host.find("/srv/link", "rbind", "ro")
    assert found == MountSource(
        "/inside", "/etc", is_read_only=True, file=host.identity("etc"), kind=FileKind.DIRECTORY, reached=found.reached
    )
    assert host.reached("/srv/link") == {"/etc": Reach.IS}


def test_finds_what_comes_with_a_directory_above(host: Host) -> None:
    host.make("etc/cron.d", "var/lib/kubelet", "run")
    assert host.reached("/var") == {"/var": Reach.IS, "/var/lib": Reach.ABOVE, "/var/lib/kubelet": Reach.ABOVE}
    root = host.reached("/")
    assert root["/"] is Reach.IS
    assert root["/etc/cron.d"] is Reach.ABOVE


def test_finds_what_lies_in_a_place(host: Host) -> None:
    host.make("var/lib/kubelet/pods/uid")
    assert host.reached("/var/lib/kubelet/pods/uid") == {
        "/var": Reach.BELOW,
        "/var/lib": Reach.BELOW,
        "/var/lib/kubelet": Reach.BELOW,
    }


def test_finds_sockets_also_those_of_users(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.make("run/user/1000")
    monkeypatch.chdir(host.root / "run" / "user" / "1000")  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("docker.sock")
        found = host.find("/run/user/1000/docker.sock")
        above = host.reached("/run/user")
    assert found.kind is FileKind.SOCKET
    assert Reached("/run/user/*/docker.sock", Reach.IS) in found.reached
    assert above["/run/user/*/docker.sock"] is Reach.ABOVE


def test_never_leaves_the_hosts_root(host: Host) -> None:
    host.make("etc")
    (host.root / "up").symlink_to("../../../../../etc")
    assert host.find("/up").file == host.identity("etc")
    assert host.find("/../../etc").file == host.identity("etc")


def test_tells_by_the_path_what_is_gone(host: Host) -> None:
    found = host.find("/var/run/docker.sock")
    assert found.file == Unknown("gone: host file")
    assert Reached("/run/docker.sock", Reach.IS) in found.reached


def test_does_not_touch_a_network_file_system(host: Host) -> None:
    host.make("data/x")
    assert host.find("/data/x").file == Unknown("not_read: a network or FUSE file system")


def test_looks_for_places_again_after_a_second(host: Host) -> None:
    host.make("srv")
    assert host.reached("/srv") == {}
    host.make("etc")
    (host.root / "srv" / "link").symlink_to("/etc")
    assert host.reached("/srv/link") == {}
    host.now_ns = 1_000_000_000
    assert host.reached("/srv/link") == {"/etc": Reach.IS}


def test_refuses_a_bundle_with_too_many(host: Host) -> None:
    mounts = tuple(DeclaredMount(f"/m{n}", "/srv", "bind", ()) for n in range(MAX_SOURCES + 1))
    assert host.finder.find(build.declared(mounts=mounts)) == Unknown("too_large: more than 1024 bind mounts")


@pytest.mark.parametrize("source", ["", "relative", "/" + "a/" * 600, "/nul\0", "/\udcff", "/" + chr(0xD800)])
def test_raises_nothing_whatever_the_source(host: Host, source: str) -> None:
    assert isinstance(host.find(source), MountSource)


@pytest.mark.parametrize(
    ("fs_type", "options", "expected"),
    [
        ("bind", (), True),
        ("none", ("rbind", "ro"), True),
        ("", ("bind",), True),
        ("proc", ("nosuid",), False),
        ("tmpfs", (), False),
    ],
)
def test_a_bind_mount_is_one_by_type_or_option(fs_type: str, options: tuple[str, ...], *, expected: bool) -> None:
    assert is_bind(DeclaredMount("/x", "/y", fs_type, options)) is expected


@pytest.mark.parametrize(
    ("source", "place", "reach"),
    [
        ("/", "/", Reach.IS),
        ("/", "/run/docker.sock", Reach.ABOVE),
        ("//etc/./cron.d/", "/etc/cron.d", Reach.IS),
        ("/etc/cron.d/job", "/etc/cron.d", Reach.BELOW),
        ("/var/run", "/run", Reach.IS),
        ("/var/lib", "/var/lib/kubelet", Reach.ABOVE),
    ],
)
def test_a_path_alone_tells_its_places(source: str, place: str, reach: Reach) -> None:
    assert Reached(place, reach) in reached_by_path(source)


def test_a_path_alone_is_not_taken_for_a_longer_name() -> None:
    assert "/etc" not in {each.place for each in reached_by_path("/etcetera")}


@pytest.mark.parametrize("root_path", ["/bundle/rootfs", "{host}/bundle/rootfs"], ids=["written", "made-absolute"])
def test_tells_whether_dev_is_a_link(host: Host, root_path: str) -> None:
    host.make("bundle/rootfs")
    declared = build.declared(root_path=root_path.format(host=host.root))
    assert host.finder.has_linked_dev(declared) == Unknown("gone: host file")
    os.symlink("/tmp", host.root / "bundle/rootfs/dev")
    assert host.finder.has_linked_dev(declared) is True
    (host.root / "bundle/rootfs/dev").unlink()
    host.make("bundle/rootfs/dev")
    assert host.finder.has_linked_dev(declared) is False


def facts(finder: SourceFinder, **declared: Any) -> object:
    return finder.has_linked_dev(build.declared(**declared))


def test_does_not_look_into_a_root_on_a_network_file_system(host: Host) -> None:
    assert facts(host.finder, root_path="/data/rootfs") == Unknown("not_read: a network or FUSE file system")


ROOT, SRV, SOCKET = (FileId(build.HOST_DEVICE, each) for each in (2, 30, 31))
GOVERNING = GoverningFile("/srv/x.sock", (ROOT, SRV, SOCKET), "dockerd")


@pytest.mark.parametrize(
    ("file", "reached"),
    [
        pytest.param(SOCKET, (Reached("/srv/x.sock", Reach.IS, "dockerd"),), id="the-socket"),
        pytest.param(SRV, (Reached("/srv/x.sock", Reach.ABOVE, "dockerd"),), id="a-directory-above"),
        pytest.param(FileId(build.HOST_DEVICE, 32), (), id="a-neighbour"),
        pytest.param(Unknown("gone: host file"), (), id="not-known"),
    ],
)
def test_adds_the_sockets_that_come_with_a_source(file: FileId | Unknown, reached: tuple[Reached, ...]) -> None:
    source = build.source("/s", "/srv", file=file)
    (found,) = with_sockets((source,), (GOVERNING,))
    assert found.reached == reached
    assert with_sockets((found,), ()) == (source,)


def test_names_a_socket_once_that_is_in_the_list_too() -> None:
    source = build.source("/s", "/run/docker.sock", ("/run/docker.sock", Reach.IS), file=SOCKET)
    assert with_sockets((source,), (GoverningFile("/run/docker.sock", (ROOT, SOCKET), "dockerd"),)) == (source,)


def test_bounds_how_many_sockets_of_a_directory_are_told() -> None:
    many = [
        GoverningFile(f"/srv/{index:03}", (SRV, FileId(build.HOST_DEVICE, 100 + index)), "dockerd")
        for index in range(MAX_SOCKETS + 5)
    ]
    (found,) = with_sockets((build.source("/s", "/srv", file=SRV),), many)
    assert [each.place for each in found.reached] == [f"/srv/{index:03}" for index in range(MAX_SOCKETS)]
