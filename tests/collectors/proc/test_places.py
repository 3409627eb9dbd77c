"""Tests of ``collectors.proc.places``."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Gone
from collectors.facts import FileId
from collectors.proc.places import parse_exe_link, read_cwd, read_executable, read_root

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and changes root")

_CLONE_NEWNS = 0x20000
_MS_REC_PRIVATE = 0x44000
_MS_BIND = 0x1000
_MNT_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def test_parses_the_deleted_suffix_only_of_a_file_without_links() -> None:
    assert parse_exe_link(b"/tmp/x (deleted)", 0) == b"/tmp/x"
    assert parse_exe_link(b"/tmp/x (deleted)", 1) == b"/tmp/x (deleted)"
    assert parse_exe_link(b"/memfd:a (deleted)", 0) == b"/memfd:a"


@given(st.binary(), st.integers(0, 2))
def test_parses_any_link(text: bytes, links: int) -> None:
    assert text.startswith(parse_exe_link(text, links))


@contextmanager
def directory_of(process: "subprocess.Popen[bytes]") -> Iterator[int]:
    fd = os.open(f"/proc/{process.pid}", os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)
        process.kill()
        process.wait(timeout=5)


def identity(path: Path) -> FileId:
    status = path.stat()
    return FileId(status.st_dev, status.st_ino)


def test_parses_a_process_that_runs_an_unlinked_program(tmp_path: Path) -> None:
    program = tmp_path / "a name (deleted)"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    program_id = identity(program)
    with directory_of(subprocess.Popen([program, "30"], cwd=tmp_path)) as fd:  # noqa: S603 (our own copy of sleep)
        linked = read_executable(fd)
        program.unlink()
        unlinked = read_executable(fd)
        cwd = read_cwd(fd)
    assert (linked.path, linked.is_unlinked) == (bytes(program), False)
    assert (unlinked.path, unlinked.is_unlinked) == (bytes(program), True)
    assert unlinked.place == linked.place
    assert linked.place.file == program_id  # type: ignore[union-attr]
    assert cwd.file == identity(tmp_path)


def test_refuses_a_process_that_ended() -> None:
    process = subprocess.Popen(["/bin/true"])
    fd = os.open(f"/proc/{process.pid}", os.O_RDONLY)
    process.wait(timeout=5)
    try:
        for read in (read_executable, read_root, read_cwd):
            with pytest.raises(Gone):
                read(fd)
    finally:
        os.close(fd)


def test_parses_equal_places_to_one_shared_value() -> None:
    fd = os.open("/proc/self", os.O_RDONLY)
    try:
        assert read_root(fd) is read_root(fd)
    finally:
        os.close(fd)


def enter_new_root(root: Path, *, chroot_to: str) -> None:
    """What a runtime does: a mount namespace, pivot_root, and here a chroot inside it on top."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = bytes(root)
    results = [
        libc.unshare(_CLONE_NEWNS),
        libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None),
        libc.mount(here, here, None, _MS_BIND, None),
    ]
    os.chdir(root)
    results += [libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), libc.umount2(b".", _MNT_DETACH)]
    assert results == [0, 0, 0, 0, 0]
    os.chdir("/")
    os.chroot(chroot_to)


def busybox_tree(root: Path) -> Path:
    """A root directory with one static program, twice."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("no static busybox")
    for directory in ("bin", "inner/bin"):
        (root / directory).mkdir(parents=True)
        shutil.copy(busybox, root / directory / "busybox")
    return root


@needs_root
@pytest.mark.skipif(os.uname().machine not in _PIVOT_ROOT, reason="the number of pivot_root(2) is not known here")
@pytest.mark.parametrize(
    ("chroot_to", "expected"),
    [
        pytest.param("/", b"/bin/busybox", id="pivot-root"),
        pytest.param("/inner", b"/inner/bin/busybox", id="chroot-inside"),
    ],
)
def test_parses_paths_from_the_root_of_the_mount_namespace(tmp_path: Path, chroot_to: str, expected: bytes) -> None:
    root = busybox_tree(tmp_path / "root")
    process = subprocess.Popen(
        ["/bin/busybox", "sleep", "30"],
        preexec_fn=lambda: enter_new_root(root, chroot_to=chroot_to),  # noqa: PLW1509 (the test has no threads)
    )
    with directory_of(process) as fd:
        executable, place = read_executable(fd), read_root(fd)
    assert executable.path == expected
    assert place.file == identity(root / chroot_to.lstrip("/"))


@needs_root
def test_parses_paths_from_our_own_root_when_that_is_above(tmp_path: Path) -> None:
    root = busybox_tree(tmp_path / "root")
    process = subprocess.Popen(
        ["/bin/busybox", "sleep", "30"],
        preexec_fn=lambda: os.chroot(root),  # noqa: PLW1509 (the test has no threads)
    )
    with directory_of(process) as fd:
        assert read_executable(fd).path == bytes(root / "bin/busybox")
