"""What io_uring does for a child that is marked as a container's task is told as the system call would be."""

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.ebpf.acts import ActRecord, How, as_raw_socket
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.records import CAUSE_CHANGE, CAUSE_IO_URING
from collectors.events import WatchKind
from collectors.watched_objects import Pattern, Watch
from tests.support import io_uring
from tests.support.ebpf_kernel import BTF, Kernel, perform

CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # include/uapi/linux/capability.h, revision 2

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


@pytest.fixture
def watched(kernel: Kernel, tmp_path: Path) -> Path:
    """A directory of the host's, with a file in it; beside it one that nobody watches."""
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d/job").write_text("")
    (tmp_path / "plain").write_text("")
    patterns = (Pattern("/cron.d", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES),)
    ObjectWatch(patterns, str(tmp_path), 0, clock_ns=time.monotonic_ns).look(kernel.programs)
    return tmp_path


def asked(kernel: Kernel, act: Callable[[], int]) -> list[ActRecord]:
    """What is told of a request that succeeds, but for the ring itself."""

    def child() -> None:
        if (result := act()) < 0:
            raise OSError(-result, "the request")

    return [each for each in perform(kernel, child) if each.task.header.call in {CAUSE_IO_URING, CAUSE_CHANGE}]


@pytest.mark.parametrize("by_path", [True, False], ids=["by-path", "by-descriptor"])
def test_file_capabilities_are_told_and_no_other_attribute(kernel: Kernel, tmp_path: Path, *, by_path: bool) -> None:
    path = os.fsencode(tmp_path / "program")
    Path(os.fsdecode(path)).write_text("")

    def give(name: bytes, value: bytes) -> int:
        if by_path:
            return io_uring.set_attribute(name, value, path=path)
        return io_uring.set_attribute(name, value, fd=os.open(path, os.O_RDWR))

    (told,) = asked(kernel, lambda: give(b"security.capability", CAPABILITY))
    assert (told.act.how, told.act.path, told.task.header.call) == (How.CAPABILITIES, path, CAUSE_IO_URING)
    assert bool(told.act.inode) is not by_path
    assert asked(kernel, lambda: give(b"user.note", b"x")) == []


def test_capabilities_that_are_refused_are_not_told(kernel: Kernel, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "missing")

    def act() -> None:
        result = io_uring.set_attribute(b"security.capability", CAPABILITY, path=path)
        assert result == -errno.ENOENT

    assert [each.act.how for each in perform(kernel, act)] == [0]


@pytest.mark.parametrize("slot", [0, 1, io_uring.ANY_SLOT])
def test_a_raw_socket_is_told_and_an_ordinary_one_is_not(kernel: Kernel, slot: int) -> None:
    (told,) = asked(kernel, lambda: io_uring.make_socket(socket.AF_INET, socket.SOCK_RAW, 255, slot))
    assert (told.act.how, as_raw_socket(told.act)) == (How.SOCKET, ("raw", 255))
    assert told.act.inode
    (told,) = asked(kernel, lambda: io_uring.make_socket(socket.AF_PACKET, socket.SOCK_RAW, 0, slot))
    assert as_raw_socket(told.act) == ("packet", 0)
    assert asked(kernel, lambda: io_uring.make_socket(socket.AF_INET, socket.SOCK_STREAM, 0, slot)) == []


def test_what_is_put_into_a_watched_directory_or_taken_from_it_is_told(kernel: Kernel, watched: Path) -> None:
    if not kernel.has_changes:
        pytest.skip("this kernel tells no change of an inode (Linux 6.13)")
    plain, directory = os.fsencode(watched / "plain"), watched / "cron.d"
    new = [os.fsencode(directory / name) for name in ("linked", "symbolic", "renamed", "directory")]
    acts: tuple[Callable[[], int], ...] = (
        lambda: io_uring.put(io_uring.LINKAT, plain, new[0]),
        lambda: io_uring.put(io_uring.SYMLINKAT, plain, new[1]),
        lambda: io_uring.put(io_uring.RENAMEAT, plain, new[2]),
        lambda: io_uring.make_directory(new[3]),
        lambda: io_uring.unlink(os.fsencode(directory / "job")),
    )
    for act in acts:
        told = asked(kernel, act)
        assert [each.act.how for each in told] == [How.CHANGED]
        assert told[0].act.inode == directory.stat().st_ino
    assert all(os.path.lexists(each) for each in new)
