import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.ebpf import acts
from collectors.ebpf.acts import How, decode_act, event_of
from collectors.ebpf.mounting import MOUNTED_BYTES, decode_mount
from collectors.errors import Malformed
from collectors.events import MountMade, Standing
from collectors.facts import Mount
from tests.collectors.ebpf.test_acts import NUMBERS, act_bytes
from tests.support import build

HEADER = Path(acts.__file__).parent / "kernel" / "techniques.h"
DISK = 8 << 20 | 1  # as the kernel numbers it


def mount_bytes(
    *,
    root: tuple[bytes, ...] = (b"/",),
    fs_type: bytes = b"ext4",
    subtype: bytes = b"",
    source: bytes = b"/dev/sda1",
    flags: int = 0,
    groups: tuple[int, int] = (0, 0),
) -> bytes:
    """As the kernel's programs write it: the root's components, the last first."""
    joined = b"".join(part + b"\0" for part in root)
    return struct.pack("<6I32s32s256s512s", 77, 30, flags, *groups, len(joined), fs_type, subtype, source, joined)


def mount(data: bytes, point: bytes = b"/mnt") -> Mount:
    return decode_mount(data, device=DISK, point=point)


def test_parses_a_disk_as_its_table_shows_it() -> None:
    assert mount(mount_bytes()) == Mount(77, 30, 0x801, b"/", b"/mnt", (b"rw",), None, None, b"ext4", b"/dev/sda1", ())


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        pytest.param(mount_bytes(root=(b"cron.d", b"etc", b"/")), "root", b"/etc/cron.d", id="directory"),
        pytest.param(mount_bytes(root=(b"null", b"/")), "root", b"/null", id="file"),
        pytest.param(mount_bytes(flags=0x1040), "options", (b"ro",), id="read-only"),
        pytest.param(mount_bytes(groups=(7, 0)), "shared", 7, id="shared"),
        pytest.param(mount_bytes(groups=(0, 9)), "master", 9, id="receives"),
        pytest.param(mount_bytes(fs_type=b"fuse", subtype=b"sshfs"), "fs_type", b"fuse.sshfs", id="subtype"),
        pytest.param(mount_bytes(source=b""), "source", b"none", id="no-source"),
        pytest.param(mount_bytes(source=b"\xff\n"), "source", b"\xff\n", id="source-is-not-utf-8"),
    ],
)
def test_parses_what_a_table_tells_apart(data: bytes, field: str, value: object) -> None:
    assert getattr(mount(data), field) == value


def test_refuses_a_mount_that_is_cut_or_longer_than_its_room() -> None:
    with pytest.raises(Malformed):
        mount(mount_bytes()[:-1])
    with pytest.raises(Malformed):
        mount(mount_bytes().replace(struct.pack("<I", 2), struct.pack("<I", 513), 1))


@given(st.binary(max_size=MOUNTED_BYTES + 8))
def test_anything_is_a_mount_or_malformed(data: bytes) -> None:
    try:
        assert mount(data).point == b"/mnt"
    except Malformed:
        assert len(data) < MOUNTED_BYTES or int.from_bytes(data[20:24], "little") > 512


@pytest.mark.parametrize(
    ("how", "point", "standing"),
    [(How.MOUNTED, b"/mnt/disk", Standing.ATTACHED), (How.DETACHED, b"", Standing.DETACHED)],
)
def test_an_act_becomes_the_event_of_its_mount(how: How, point: bytes, standing: Standing) -> None:
    path = (b"disk", b"mnt") if how is How.MOUNTED else ()
    data = act_bytes(NUMBERS["openat"], 3, path=path, device=DISK, how=how) + mount_bytes()
    record = decode_act(data)
    made = event_of(record, acts.Context({}, 1, lambda _: (), lambda file: file))(build.NOW_NS, build.process())
    assert made == MountMade(build.NOW_NS, build.process(), mount(mount_bytes(), point), standing)


def test_a_mount_on_the_root_has_a_point() -> None:
    record = decode_act(act_bytes(NUMBERS["openat"], 0, device=DISK, how=How.MOUNTED) + mount_bytes())
    assert record.mount is not None
    assert record.mount.point == b"/"


def test_the_layout_is_that_of_the_header_file() -> None:
    (body,) = re.findall(r"struct mounted \{(.*?)\n\};", HEADER.read_text(), re.DOTALL)
    names = re.findall(r"\t(?:__u32|char) (\w+)", body)
    assert names == [
        *("id", "parent_id", "flags", "group", "master_group", "root_size"),
        *("type", "subtype", "source", "root"),
    ]
    assert re.findall(r"\[(\w+)\]", body) == ["32", "32", "NAME_BYTES", "PATH_BYTES"]
