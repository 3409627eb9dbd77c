"""Tests of ``collectors.layers``; those of overlay use a real overlay."""

import ctypes
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from collectors.facts import (
    NOT_READ,
    Executable,
    FileId,
    HostBaseline,
    Layer,
    Mount,
    Namespaces,
    Place,
    Unknown,
)
from collectors.host import Roots
from collectors.layers import layer_of, path_in_file_system, upper_directories
from collectors.proc.mountinfo import parse_mountinfo
from collectors.statx import read_file_status

MEMFD = 1
START = 1_000_000_000
HOST = HostBaseline(
    namespaces=Namespaces(*[NOT_READ] * 8),
    root=NOT_READ,
    boot_id="",
    boot_time_ns=0,
    ticks_per_second=100,
    source="pid1",
    internal_devices=frozenset({MEMFD}),
    memfd_device=MEMFD,
    nsfs_device=NOT_READ,
    block_devices=frozenset(),
    known_helpers=frozenset(),
    helper_paths=frozenset(),
    runtime_binaries=frozenset(),
)
DISK = os.makedev(254, 0)
MOUNTS = parse_mountinfo(
    b"500 400 254:0 /var/lib/docker/vfs/dir/abc / rw,relatime - ext4 /dev/vda rw\n"
    b"501 500 0:50 / /tmp rw,relatime - tmpfs tmpfs rw\n"
    b"502 500 254:0 /srv/data /data rw,relatime - ext4 /dev/vda rw\n"
    b"503 500 254:0 /usr/bin/docker-init /sbin/docker-init ro,relatime - ext4 /dev/vda rw\n"
    b"504 500 254:0 /var/lib/docker/vfs/dir/abc/opt /again rw,relatime - ext4 /dev/vda rw\n",
)


def executable(mnt_id: int, *, device: int = DISK, path: bytes = b"/bin/x", changed_ns: int = 0) -> Executable:
    return Executable(path, Place(FileId(device, 7), mnt_id), 0o100755, 0, 1, changed_ns)


def judge(subject: Executable, mounts: tuple[Mount, ...] | Unknown = MOUNTS, started: int | None = START) -> object:
    return layer_of(subject, mounts, host=HOST, roots=Roots(), container_started_ns=started)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(executable(999, device=MEMFD), Layer.MEMFD, id="memfd"),
        pytest.param(executable(27), Layer.FOREIGN, id="mount-of-the-host"),
        pytest.param(executable(501), Layer.TMPFS, id="tmpfs"),
        pytest.param(executable(502), Layer.VOLUME, id="volume-of-the-same-disk"),
        pytest.param(executable(503), Layer.IMAGE, id="given-read-only"),
        pytest.param(executable(503, changed_ns=START + 1), Layer.VOLUME, id="read-only-but-changed-since"),
        pytest.param(executable(500), Layer.IMAGE, id="older-than-the-container"),
        pytest.param(executable(500, changed_ns=START + 1), Layer.CHANGED, id="changed-since"),
        pytest.param(executable(504, changed_ns=START + 1), Layer.CHANGED, id="root-bound-elsewhere"),
    ],
)
def test_parses_layers_of_a_plain_root(subject: Executable, expected: Layer) -> None:
    assert judge(subject) is expected


def test_refuses_to_judge_without_the_facts() -> None:
    denied = Unknown("denied: proc/exe")
    assert judge(replace(executable(500), place=denied)) == denied
    assert judge(executable(500), mounts=denied) == denied
    assert judge(executable(500), started=None) == Unknown("not_read: start of the container")


def overlay_row(option: bytes) -> Mount:
    (mount,) = parse_mountinfo(b"600 500 0:62 / / rw - overlay overlay rw,lowerdir=/l,%s,workdir=/w\n" % option)
    return mount


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        pytest.param(b"upperdir=/u/diff", (b"/u/diff",), id="plain"),
        pytest.param(rb"upperdir=/a\054b\040c", (b"/a,b c",), id="octal"),
        pytest.param(rb"upperdir=/a\134:b", (rb"/a\:b", b"/a:b"), id="backslash"),
        pytest.param(b"upperdir=l/relative", (), id="relative"),
        pytest.param(b"xino=off", (), id="none"),
    ],
)
def test_parses_the_upper_directory(option: bytes, expected: tuple[bytes, ...]) -> None:
    assert upper_directories(overlay_row(option)) == expected


@pytest.mark.parametrize(
    ("root", "point", "path", "expected"),
    [
        (b"/", b"/", b"/bin/x", b"/bin/x"),
        (b"/opt", b"/again", b"/again/x", b"/opt/x"),
        (b"/opt/x", b"/sbin/x", b"/sbin/x", b"/opt/x/"),
    ],
)
def test_parses_a_path_within_its_file_system(root: bytes, point: bytes, path: bytes, expected: bytes) -> None:
    assert path_in_file_system(replace(overlay_row(b"x"), root=root, point=point), path) == expected


@dataclass(frozen=True, slots=True)
class Overlay:
    """A mounted overlay that plays a container's root."""

    merged: Path
    upper: Path
    mounts: tuple[Mount, ...]
    started_ns: int

    def layer(self, path: str, *, mounts: tuple[Mount, ...] | None = None) -> object:
        directory = os.open(self.merged, os.O_RDONLY)
        try:
            status = read_file_status(path.encode(), directory, "test")
        finally:
            os.close(directory)
        subject = Executable(
            b"/" + path.encode(), status.place, status.mode, status.owner_uid, status.links, status.changed_ns
        )
        return layer_of(subject, mounts or self.mounts, host=HOST, roots=Roots(), container_started_ns=self.started_ns)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    for name in ("lower/bin", "upper dir", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/bin/tool").write_bytes(b"image")
    (tmp_path / "lower/bin/other").write_bytes(b"image")
    time.sleep(0.02)
    libc = ctypes.CDLL(None, use_errno=True)
    merged = tmp_path / "merged"
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper dir,workdir={tmp_path}/work"
    if libc.mount(b"overlay", bytes(merged), b"overlay", 0, options.encode()) != 0:
        pytest.skip(f"no overlay on this file system: {os.strerror(ctypes.get_errno())}")
    try:
        rows = parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())
        row = next(each for each in rows if each.point == bytes(merged))
        started_ns = time.time_ns()
        time.sleep(0.02)
        yield Overlay(merged, tmp_path / "upper dir", (replace(row, point=b"/"),), started_ns)
    finally:
        libc.umount2(bytes(merged), 2)


def test_parses_a_file_of_the_image(overlay: Overlay) -> None:
    assert overlay.layer("bin/tool") is Layer.IMAGE


def write(path: Path) -> None:
    path.write_bytes(b"dropped")


def rename_over(root: Path) -> None:
    write(root / "x")
    (root / "x").rename(root / "bin/tool")


def date_back(root: Path) -> None:
    write(root / "bin/new")
    os.utime(root / "bin/new", (0, 0))


ACTS: dict[str, Callable[[Path], None]] = {
    "created": lambda root: write(root / "bin/new"),
    "overwritten": lambda root: write(root / "bin/tool"),
    "made-executable": lambda root: (root / "bin/tool").chmod(0o755),
    "renamed-over": rename_over,
    "linked": lambda root: os.link(root / "bin/other", root / "bin/tool2"),
    "dated-back": date_back,
}


@pytest.mark.parametrize(
    ("act", "path"),
    [
        ("created", "bin/new"),
        ("overwritten", "bin/tool"),
        ("made-executable", "bin/tool"),
        ("renamed-over", "bin/tool"),
        ("linked", "bin/tool2"),
        ("dated-back", "bin/new"),
    ],
)
def test_parses_what_was_written_since_as_upper(overlay: Overlay, act: str, path: str) -> None:
    ACTS[act](overlay.merged)
    assert overlay.layer(path) is Layer.UPPER


def test_parses_an_unlinked_file_as_upper(overlay: Overlay) -> None:
    write(overlay.merged / "bin/new")
    fd = os.open(overlay.merged / "bin/new", os.O_RDONLY)
    (overlay.merged / "bin/new").unlink()
    proc = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        status = read_file_status(str(fd).encode(), proc, "test")
    finally:
        os.close(proc)
        os.close(fd)
    assert status.links == 0
    subject = Executable(b"/bin/new", status.place, status.mode, 0, status.links, status.changed_ns)
    assert judge(subject, overlay.mounts) is Layer.UPPER


def test_parses_a_file_of_the_image_that_was_deleted_and_replaced_as_image(overlay: Overlay) -> None:
    fd = os.open(overlay.merged / "bin/tool", os.O_RDONLY)
    write(overlay.merged / "x")
    (overlay.merged / "x").rename(overlay.merged / "bin/tool")
    proc = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        text = os.readlink(str(fd).encode(), dir_fd=proc)
        status = read_file_status(str(fd).encode(), proc, "test")
    finally:
        os.close(proc)
        os.close(fd)
    assert text.endswith(b" (deleted)")
    assert status.links == 1  # a whiteout hides the file of the image, which keeps its link
    path = b"/bin/tool (deleted)"
    subject = Executable(path, status.place, status.mode, 0, status.links, status.changed_ns)
    assert judge(subject, overlay.mounts, overlay.started_ns) is Layer.IMAGE


def test_refuses_to_follow_a_link_that_the_container_made(overlay: Overlay) -> None:
    # The host's view of the upper directory: bin is now a link to a directory that has such a file.
    shutil.rmtree(overlay.upper / "bin", ignore_errors=True)
    (overlay.upper / "bin").symlink_to("/bin")
    found = replace(executable(overlay.mounts[0].mnt_id, device=overlay.mounts[0].device), path=b"/bin/sh")
    assert judge(found, overlay.mounts) is Layer.IMAGE


def test_parses_by_change_time_when_the_upper_directory_cannot_be_seen(overlay: Overlay) -> None:
    write(overlay.merged / "bin/new")
    (row,) = overlay.mounts
    nested = (replace(row, super_options=(b"rw", b"upperdir=/nowhere/at/all")),)
    assert overlay.layer("bin/new", mounts=nested) is Layer.CHANGED
    assert overlay.layer("bin/tool", mounts=nested) is Layer.IMAGE


def test_parses_by_change_time_when_the_upper_directory_is_anothers(overlay: Overlay, tmp_path: Path) -> None:
    write(overlay.merged / "bin/new")
    (row,) = overlay.mounts
    (tmp_path / "another").mkdir()
    nested = (replace(row, super_options=(b"rw", b"upperdir=" + bytes(tmp_path / "another"))),)
    assert overlay.layer("bin/new", mounts=nested) is Layer.CHANGED
