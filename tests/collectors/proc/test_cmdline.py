"""Tests of ``collectors.proc.cmdline``."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Gone
from collectors.proc.cmdline import MAX_BYTES, parse_cmdline, read_cmdline
from tests.support.proctree import build_tree


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"sleep\x0060\x00", (b"sleep", b"60"), id="plain"),
        pytest.param(b"", (), id="kernel-thread"),
        pytest.param(b"nginx: worker process", (b"nginx: worker process",), id="title-without-end"),
        pytest.param(b"a\x00\x00b\x00", (b"a", b"", b"b"), id="empty-argument"),
        pytest.param(b"\x00", (b"",), id="one-empty-argument"),
        pytest.param(b"\xff\n\x1b[2J\x00", (b"\xff\n\x1b[2J",), id="argument-is-not-utf-8"),
    ],
)
def test_parses_arguments(data: bytes, expected: tuple[bytes, ...]) -> None:
    assert parse_cmdline(data) == expected


@given(st.lists(st.binary().filter(lambda word: b"\0" not in word), min_size=1))
def test_parses_back_what_was_written(words: list[bytes]) -> None:
    assert parse_cmdline(b"".join(word + b"\0" for word in words)) == tuple(words)


@given(st.binary())
def test_parses_any_bytes(data: bytes) -> None:
    assert b"\0".join(parse_cmdline(data)) == data.removesuffix(b"\0")


def test_parses_a_long_one_as_its_beginning(tmp_path: Path) -> None:
    directory = os.open(build_tree(tmp_path, {"cmdline": b"x" * (MAX_BYTES + 1)}), os.O_RDONLY)
    try:
        assert read_cmdline(directory) == b"x" * MAX_BYTES
    finally:
        os.close(directory)


def test_refuses_a_process_that_ended(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(Gone):
            read_cmdline(directory)
    finally:
        os.close(directory)
