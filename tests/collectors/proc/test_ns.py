"""Tests of ``collectors.proc.ns``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.facts import NAMESPACE_KINDS, Namespaces, Unknown
from collectors.proc.ns import parse_ns_link, read_namespaces
from tests.support.proctree import HOST_NAMESPACES, Link, Tree, build_tree, namespace_links


@contextmanager
def opened(root: Path, tree: Tree) -> Iterator[int]:
    fd = os.open(build_tree(root, tree), os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def test_parses_a_link() -> None:
    assert parse_ns_link(b"mnt:[4026531832]", "mnt") == 4026531832


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"net:[4026531832]", id="another-kind"),
        pytest.param(b"mnt:[]", id="no-number"),
        pytest.param(b"mnt:[12", id="not-closed"),
        pytest.param(b"mnt:[-1]", id="negative"),
        pytest.param(b"mnt:[" + b"9" * 5000 + b"]", id="number-too-long-for-int"),
        pytest.param(b"/mnt:[1]", id="a-path"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_ns_link(text, "mnt")


@given(st.binary(max_size=50) | st.binary(max_size=30).map(lambda inner: b"mnt:[" + inner + b"]"))
def test_refuses_any_bytes_with_malformed_only(text: bytes) -> None:
    try:
        parse_ns_link(text, "mnt")
    except Malformed:
        return


@given(st.sampled_from(NAMESPACE_KINDS), st.integers(0, 2**64 - 1))
def test_parses_back_what_was_written(kind: str, inode: int) -> None:
    assert parse_ns_link(f"{kind}:[{inode}]".encode(), kind) == inode


def test_parses_all_kinds_and_shares_equal_values(tmp_path: Path) -> None:
    with opened(tmp_path, {"ns": namespace_links(mnt=4026532500)}) as fd:
        found = read_namespaces(fd)
        assert found == Namespaces(**(HOST_NAMESPACES | {"mnt": 4026532500}))
        assert read_namespaces(fd) is found


def test_parses_the_others_when_the_kernel_has_no_time_namespaces(tmp_path: Path) -> None:
    links = namespace_links()
    del links["time"]
    with opened(tmp_path, {"ns": links}) as fd:
        found = read_namespaces(fd)
    assert (found.mnt, found.time) == (HOST_NAMESPACES["mnt"], Unknown("unsupported: proc/ns"))


def test_refuses_one_garbled_link_and_keeps_the_others(tmp_path: Path) -> None:
    with opened(tmp_path, {"ns": namespace_links() | {"net": Link("nonsense"), "uts": b"a file"}}) as fd:
        found = read_namespaces(fd)
    assert (found.net, found.uts) == (Unknown("malformed: proc/ns"), Unknown("malformed: proc/ns"))
    assert found.pid == HOST_NAMESPACES["pid"]


def test_refuses_every_kind_of_a_process_that_ended(tmp_path: Path) -> None:
    with opened(tmp_path, {}) as fd:
        assert read_namespaces(fd) == Namespaces(*[Unknown("gone: proc/ns")] * 8)


def test_parses_our_own_as_stat_shows_them() -> None:
    fd = os.open("/proc/self", os.O_RDONLY)
    try:
        found = read_namespaces(fd)
    finally:
        os.close(fd)
    assert found.mnt == os.stat("/proc/self/ns/mnt").st_ino
    assert found.user == os.stat("/proc/self/ns/user").st_ino
