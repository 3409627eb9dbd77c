"""Tests of ``collectors.proc.attr``."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import CollectorError, Gone
from collectors.proc.attr import parse_label, read_label
from tests.support.proctree import build_tree


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"docker-default (enforce)\n", b"docker-default (enforce)", id="apparmor"),
        pytest.param(b"unconfined\n", b"unconfined", id="apparmor-unconfined"),
        pytest.param(
            b"system_u:system_r:container_t:s0:c1,c2\0", b"system_u:system_r:container_t:s0:c1,c2", id="selinux"
        ),
        pytest.param(b"\xff\xfe (complain)\n", b"\xff\xfe (complain)", id="profile-is-not-utf-8"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_parses_a_label(data: bytes, expected: bytes | None) -> None:
    assert parse_label(data) == expected


@given(st.binary())
def test_parses_any_bytes(data: bytes) -> None:
    label = parse_label(data)
    assert label is None or data.startswith(label)


def test_parses_the_file_of_a_task(tmp_path: Path) -> None:
    directory = os.open(build_tree(tmp_path, {"attr": {"current": b"unconfined\n"}}), os.O_RDONLY)
    try:
        assert read_label(directory) == b"unconfined"
    finally:
        os.close(directory)


def test_refuses_a_process_that_ended(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(Gone):
            read_label(directory)
    finally:
        os.close(directory)


def test_parses_our_own_as_none_exactly_where_the_kernel_labels_nothing() -> None:
    directory = os.open("/proc/self", os.O_RDONLY)
    try:
        Path("/proc/self/attr/current").read_bytes()
        labelled = True
    except OSError:
        labelled = False
    try:
        assert (read_label(directory) is not None) == labelled
    except CollectorError:
        assert not labelled
    finally:
        os.close(directory)
