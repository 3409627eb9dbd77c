"""Tests of ``collectors.proc.cgroup``."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed, TooLarge
from collectors.facts import CgroupMembership
from collectors.proc.cgroup import MAX_BYTES, parse_cgroup, read_cgroup
from tests.support.proctree import build_tree


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            b"0::/system.slice/docker-0123.scope\n",
            CgroupMembership(0, b"", b"/system.slice/docker-0123.scope"),
            id="v2",
        ),
        pytest.param(b"4:memory:/docker/0123\n", CgroupMembership(4, b"memory", b"/docker/0123"), id="v1"),
        pytest.param(b"2:cpu,cpuacct:/\n", CgroupMembership(2, b"cpu,cpuacct", b"/"), id="v1-two-controllers"),
        pytest.param(b"9:name=systemd:/a\n", CgroupMembership(9, b"name=systemd", b"/a"), id="named-hierarchy"),
        pytest.param(
            b"0::/system.slice:cri-containerd:4f5\n",
            CgroupMembership(0, b"", b"/system.slice:cri-containerd:4f5"),
            id="path-holds-colons",
        ),
        pytest.param(b"0::/\xff\xfe\n", CgroupMembership(0, b"", b"/\xff\xfe"), id="path-is-not-utf-8"),
        pytest.param(
            b"0::/a\x0b\x1c\x85\xe2\x80\xa8\r\n", CgroupMembership(0, b"", b"/a\x0b\x1c\x85\xe2\x80\xa8\r"), id="ends"
        ),
        pytest.param(b"0::/../../x\n", CgroupMembership(0, b"", b"/../../x"), id="seen-from-another-cgroup-namespace"),
        pytest.param(b"0::/a (deleted)\n", CgroupMembership(0, b"", b"/a (deleted)"), id="deleted-suffix-stays"),
    ],
)
def test_parses_one_line(line: bytes, expected: CgroupMembership) -> None:
    assert parse_cgroup(line) == (expected,)


def test_parses_a_hybrid_of_both_versions_in_the_kernels_order() -> None:
    data = b"9:name=systemd:/\n4:memory:/supervisor/d57f\n0::/\n"
    assert parse_cgroup(data) == (
        CgroupMembership(9, b"name=systemd", b"/"),
        CgroupMembership(4, b"memory", b"/supervisor/d57f"),
        CgroupMembership(0, b"", b"/"),
    )


def test_parses_no_hierarchy_at_all() -> None:
    assert parse_cgroup(b"") == ()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"0::/a", id="no-end-of-line"),
        pytest.param(b"0:/a\n", id="two-fields"),
        pytest.param(b"x::/a\n", id="hierarchy-is-no-number"),
        pytest.param(b"0::a\n", id="path-is-not-absolute"),
        pytest.param(b"0::/a\n\n", id="empty-line"),
        pytest.param(b"9" * 5000 + b"::/a\n", id="number-too-long-for-int"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_cgroup(data)


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"0:", b":", b"/", b"\n", b"\xb2", b"1"])).map(b"".join))
def test_refuses_any_bytes_with_malformed_only(data: bytes) -> None:
    try:
        parse_cgroup(data)
    except Malformed:
        return


NAMES = st.binary(max_size=50).filter(lambda name: b"\n" not in name)


@given(st.lists(st.tuples(st.integers(0, 50), NAMES)))
def test_parses_back_what_was_written(entries: list[tuple[int, bytes]]) -> None:
    data = b"".join(b"%d:cpu:/%s\n" % entry for entry in entries)
    assert parse_cgroup(data) == tuple(CgroupMembership(number, b"cpu", b"/" + name) for number, name in entries)


def test_refuses_a_file_beyond_the_bound(tmp_path: Path) -> None:
    directory = os.open(build_tree(tmp_path, {"cgroup": b"0::/" + b"x" * MAX_BYTES + b"\n"}), os.O_RDONLY)
    try:
        with pytest.raises(TooLarge):
            read_cgroup(directory)
    finally:
        os.close(directory)


def test_parses_equal_files_to_one_shared_value(tmp_path: Path) -> None:
    directory = os.open(build_tree(tmp_path, {"cgroup": b"0::/shared-by-many\n"}), os.O_RDONLY)
    try:
        assert read_cgroup(directory) is read_cgroup(directory)
    finally:
        os.close(directory)
