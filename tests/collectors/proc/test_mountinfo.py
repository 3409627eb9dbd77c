"""Tests of ``collectors.proc.mountinfo``."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.facts import Mount
from collectors.proc.mountinfo import parse_mountinfo, read_mountinfo, unescape

OVERLAY = (
    b"560 480 0:62 / / rw,relatime master:210 - overlay overlay "
    b"rw,lowerdir=/var/lib/docker/overlay2/l/AB:/var/lib/docker/overlay2/l/CD,"
    b"upperdir=/var/lib/docker/overlay2/0f/diff,workdir=/var/lib/docker/overlay2/0f/work\n"
)


def mount(**fields: object) -> Mount:
    values: dict[str, object] = {
        "mnt_id": 22,
        "parent_id": 1,
        "device": os.makedev(254, 0),
        "root": b"/",
        "point": b"/",
        "options": (b"rw", b"relatime"),
        "shared": None,
        "master": None,
        "fs_type": b"ext4",
        "source": b"/dev/vda",
        "super_options": (b"rw",),
    }
    return Mount(**(values | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n", mount(), id="plain"),
        pytest.param(
            b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n", mount(shared=1), id="one-optional-field"
        ),
        pytest.param(
            b"22 1 254:0 / / rw,relatime shared:5 master:7 propagate_from:2 unbindable - ext4 /dev/vda rw\n",
            mount(shared=5, master=7),
            id="all-optional-fields",
        ),
        pytest.param(
            rb"22 1 254:0 /a\040b /c\134d\012e\011f\043g rw,relatime - ext4 /dev/vda rw" + b"\n",
            mount(root=b"/a b", point=b"/c\\d\ne\tf#g"),
            id="octal-escapes",
        ),
        pytest.param(
            b"22 1 254:0 / /\xff\x85\x0b rw,relatime - ext4 /dev/vda rw\n",
            mount(point=b"/\xff\x85\x0b"),
            id="path-is-not-utf-8",
        ),
        pytest.param(
            b"22 1 254:0 / /x:y:z rw,relatime - ext4 /dev/vda rw\n", mount(point=b"/x:y:z"), id="path-holds-colons"
        ),
        pytest.param(
            b"22 1 254:0 /../../x//deleted / rw,relatime - ext4 /dev/vda rw\n",
            mount(root=b"/../../x//deleted"),
            id="root-outside-and-deleted",
        ),
        pytest.param(b"22 1 254:0 / / rw,relatime - ext4  rw\n", mount(source=b""), id="empty-source"),
        pytest.param(
            b"22 1 0:4 mnt:[4026532500] /n rw,relatime - nsfs nsfs rw\n",
            mount(device=4, root=b"mnt:[4026532500]", point=b"/n", fs_type=b"nsfs", source=b"nsfs"),
            id="bound-namespace",
        ),
        pytest.param(
            b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,data=a b\n",
            mount(super_options=(b"rw", b"data=a b")),
            id="option-with-a-raw-space",
        ),
    ],
)
def test_parses_one_line(line: bytes, expected: Mount) -> None:
    assert parse_mountinfo(line) == (expected,)


def test_parses_the_overlay_of_a_container() -> None:
    (found,) = parse_mountinfo(OVERLAY)
    assert found.super_options[2] == b"upperdir=/var/lib/docker/overlay2/0f/diff"
    assert (found.master, found.shared, found.device) == (210, None, 62)


def test_parses_a_comma_in_an_overlay_path() -> None:
    (found,) = parse_mountinfo(OVERLAY.replace(b"0f/diff", rb"0f\054x/diff"))
    assert found.super_options[2] == b"upperdir=/var/lib/docker/overlay2/0f,x/diff"
    assert len(found.super_options) == 4


def test_parses_equal_parts_to_shared_values() -> None:
    first, second = parse_mountinfo(OVERLAY + OVERLAY.replace(b"560", b"561", 1))
    assert first.super_options is second.super_options
    assert first.fs_type is second.fs_type


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OVERLAY[:-1], id="no-end-of-line"),
        pytest.param(b"\n", id="empty-line"),
        pytest.param(b"22 1 254:0 / / rw,relatime ext4 /dev/vda rw\n", id="no-separator"),
        pytest.param(b"22 1 254:0 / / - ext4 /dev/vda rw\n", id="no-options"),
        pytest.param(b"22 1 254:0 / / rw - ext4 /dev/vda\n", id="no-super-options"),
        pytest.param(b"x 1 254:0 / / rw - ext4 /dev/vda rw\n", id="id-is-no-number"),
        pytest.param(b"22 1 254 / / rw - ext4 /dev/vda rw\n", id="device-without-minor"),
        pytest.param(b"22 1 9999999999:0 / / rw - ext4 /dev/vda rw\n", id="device-too-large"),
        pytest.param(b"22 1 254:0 / / rw shared:x - ext4 /dev/vda rw\n", id="peer-group-is-no-number"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_mountinfo(data)


@given(st.binary(max_size=200), st.integers(0, len(OVERLAY)), st.integers(0, len(OVERLAY)))
def test_refuses_any_bytes_with_malformed_only(data: bytes, start: int, end: int) -> None:
    try:
        parse_mountinfo(OVERLAY[:start] + data + OVERLAY[end:])
    except Malformed:
        return


def escape(path: bytes) -> bytes:
    return b"".join(rb"\%03o" % byte if byte in b" \t\n\\#" else bytes((byte,)) for byte in path)


@given(st.binary(), st.binary())
def test_parses_back_what_was_escaped(point: bytes, source: bytes) -> None:
    line = b"22 1 254:0 / /%s rw,relatime - ext4 %s rw\n" % (escape(point), escape(source))
    (found,) = parse_mountinfo(line)
    assert (found.point, found.source) == (b"/" + point, source)


def test_parses_a_backslash_that_is_no_escape() -> None:
    assert unescape(rb"a\b\0\999") == rb"a\b\0\999"


def test_parses_our_own_table() -> None:
    fd = os.open("/proc/self", os.O_RDONLY)
    try:
        mounts = read_mountinfo(fd)
    finally:
        os.close(fd)
    assert any(each.point == b"/" for each in mounts)
    proc = next(each for each in mounts if each.point == b"/proc")
    assert (proc.fs_type, proc.device) == (b"proc", os.stat("/proc").st_dev)
