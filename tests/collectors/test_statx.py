"""Tests of ``collectors.statx``."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Gone, Malformed
from collectors.facts import FileId, Place
from collectors.statx import (
    FileStatus,
    decode_statx,
    parse_fdinfo_mount,
    read_file_status,
    read_file_status_by_fdinfo,
)


@pytest.mark.parametrize("name", ["file", "directory", "null"])
def test_parses_the_same_by_both_ways(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        found = read_file_status(name.encode(), directory, "test")
        assert found == read_file_status_by_fdinfo(name.encode(), directory, "test")
    finally:
        os.close(directory)
    status = (tmp_path / name).stat()
    assert found.place.file == FileId(status.st_dev, status.st_ino)
    assert (found.mode, found.links, found.changed_ns, found.rdev) == (
        status.st_mode,
        status.st_nlink,
        status.st_ctime_ns,
        status.st_rdev,
    )


def test_refuses_a_file_that_is_gone(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        for read in (read_file_status, read_file_status_by_fdinfo):
            with pytest.raises(Gone):
                read(b"nowhere", directory, "test")
    finally:
        os.close(directory)


def encoded(mask: int) -> bytes:
    head = struct.pack("=IIQIIIHHQQQQ", mask, 4096, 0, 2, 1000, 100, 0o100755, 0, 77, 5, 8, 0)
    times = b"".join(struct.pack("=qIi", second, 7, 0) for second in (1, 2, 3, 4))
    return (head + times + struct.pack("=IIIIQ", 8, 1, 254, 3, 42)).ljust(256, b"\0")


def test_parses_the_kernels_struct() -> None:
    assert decode_statx(encoded(0x17FF)) == FileStatus(
        Place(FileId(os.makedev(254, 3), 77), 42), 0o100755, 1000, 2, 3_000_000_007, os.makedev(8, 1)
    )


def test_parses_as_unknown_what_the_kernel_did_not_fill_in() -> None:
    assert decode_statx(encoded(0x7FF)) is None


@given(st.binary(max_size=300))
def test_refuses_any_bytes_with_malformed_only(data: bytes) -> None:
    try:
        decode_statx(data)
    except Malformed:
        return


def test_parses_fdinfo() -> None:
    assert parse_fdinfo_mount(b"pos:\t0\nflags:\t0100000\nmnt_id:\t24\nino:\t3\n") == 24


@given(st.binary())
def test_refuses_fdinfo_with_malformed_only(data: bytes) -> None:
    try:
        parse_fdinfo_mount(data)
    except Malformed:
        return
