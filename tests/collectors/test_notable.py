from __future__ import annotations

import pytest

from collectors.facts import Descriptor, DescriptorKind, FileId, Place
from collectors.notable import anonymous_name, is_notable, shared_streams
from tests.support import build, held

TABLE = frozenset(each.mnt_id for each in build.mount_table())
PROC = frozenset(each.mnt_id for each in build.mount_table() if each.fs_type == b"proc")
SOCKET = Place(FileId(build.SOCKFS_DEVICE, 555), 8)


def judged(descriptor: Descriptor) -> bool:
    return is_notable(descriptor, build.host_baseline(), mnt_ids=TABLE, proc_mnt_ids=PROC)


def socket(number: int, inode: int = 555) -> Descriptor:
    return Descriptor(number, DescriptorKind.SOCKET, Place(FileId(build.SOCKFS_DEVICE, inode), 8), b"socket:[555]")


@pytest.mark.parametrize(
    "descriptor",
    [
        pytest.param(held.namespace("mnt", 5), id="namespace"),
        pytest.param(held.block(8, 0), id="block-device"),
        pytest.param(held.character(1, 1), id="memory"),
        pytest.param(held.character(4, 1), id="console"),
        pytest.param(held.anonymous(b"bpf-prog"), id="bpf"),
        pytest.param(held.anonymous(b"[io_uring]"), id="io-uring"),
        pytest.param(held.file(Place(FileId(build.HOST_DEVICE, 600_001), build.root_mount())), id="runtime"),
        pytest.param(held.proc_file(b"/proc/kcore"), id="kcore"),
        pytest.param(held.proc_file(b"/proc/7/mem"), id="memory-of-a-process"),
        pytest.param(held.file(build.host_directory()), id="file-elsewhere"),
    ],
)
def test_keeps_what_may_lead_out(descriptor: Descriptor) -> None:
    assert judged(descriptor)


@pytest.mark.parametrize(
    "descriptor",
    [
        pytest.param(held.character(1, 3), id="null"),
        pytest.param(held.character(136, 0), id="own-terminal"),
        pytest.param(held.anonymous(b"[eventfd]"), id="eventfd"),
        pytest.param(held.anonymous(b""), id="nameless"),
        pytest.param(held.file(build.directory(), b"/kcore"), id="own-file-of-that-name"),
        pytest.param(held.proc_file(b"/proc/meminfo"), id="another-file-of-proc"),
        pytest.param(socket(5), id="socket"),
    ],
)
def test_leaves_what_is_nobodys_business(descriptor: Descriptor) -> None:
    assert not judged(descriptor)


def test_keeps_a_terminal_of_another_devpts() -> None:
    place = Place(FileId(0x18, 7), 4711)
    assert judged(Descriptor(0, DescriptorKind.CHARACTER_DEVICE, place, b"/dev/pts/4", 0x8804))


def test_only_the_kernel_names_inodes_without_a_file_system() -> None:
    assert anonymous_name(held.anonymous(b"bpf-map")) == b"bpf-map"
    assert anonymous_name(held.file(build.directory(), b"anon_inode:bpf-map")) == b""


@pytest.mark.parametrize(
    ("descriptors", "numbers"),
    [
        ((socket(0), socket(1), socket(2)), [0, 1, 2]),
        ((socket(0), socket(2)), [0, 2]),
        ((socket(0), socket(1, 556)), []),
        ((socket(1), socket(2)), []),
        ((socket(0), held.file(build.directory(), number=1), socket(5)), []),
    ],
)
def test_streams_are_shared_when_input_and_an_output_are_one(
    descriptors: tuple[Descriptor, ...], numbers: list[int]
) -> None:
    assert [each.number for each in shared_streams(descriptors)] == numbers
