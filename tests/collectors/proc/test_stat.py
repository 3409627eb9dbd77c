"""Tests of ``collectors.proc.stat``."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Gone, Malformed
from collectors.facts import Unknown
from collectors.proc.stat import Stat, image_mark, parse_stat, read_stat
from tests.support.proctree import build_tree, stat_line

CAPTURED = (
    b"1 (supervisor) S 0 0 0 0 -1 4194560 39575 411169 0 155 63 252 666 430 10 -10 13 0 22 52133888 4830 "
    b"18446744073709551615 1 1 0 0 0 0 0 4096 1256 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
CAPTURED_KTHREADD = (
    b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 1 0 22 0 0 18446744073709551615 "
    b"0 0 0 0 0 0 0 2147483647 0 1 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


def test_parses_a_process_whose_addresses_are_hidden() -> None:
    assert parse_stat(CAPTURED) == Stat(
        1, b"supervisor", b"S", 0, 4194560, 13, 22, Unknown("denied: proc/stat hides addresses")
    )


def test_parses_a_kernel_thread() -> None:
    stat = parse_stat(CAPTURED_KTHREADD)
    assert stat.is_kernel_thread
    assert stat.image_mark == Unknown("gone: no address space")


def test_parses_the_controlling_terminal() -> None:
    assert parse_stat(stat_line(7)).tty == 0
    assert parse_stat(stat_line(7).replace(b" 7 7 0 -1 ", b" 7 7 34816 -1 ")).tty == 34816


def test_parses_the_exec_mark() -> None:
    assert parse_stat(stat_line(7, image_mark=(4096, 8192, 140000))).image_mark == image_mark(4096, 8192, 140000)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"a) R 1 1 1 (b", id="name-ends-early"),
        pytest.param(b") ", id="name-is-parenthesis-and-space"),
        pytest.param(b"two\nlines", id="name-holds-newline"),
        pytest.param(b"\xff\xfe", id="name-is-not-utf-8"),
        pytest.param(b"", id="name-is-empty"),
        pytest.param(b"((((", id="name-opens-only"),
    ],
)
def test_parses_names_that_pretend_to_be_fields(name: bytes) -> None:
    stat = parse_stat(stat_line(42, name, parent_pid=7))
    assert (stat.pid, stat.name, stat.parent_pid) == (42, name, 7)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"1 name S 0", id="no-parentheses"),
        pytest.param(CAPTURED[:40], id="truncated"),
        pytest.param(CAPTURED.replace(b" 22 ", b" x "), id="start-is-no-number"),
        pytest.param(b"x" + CAPTURED, id="pid-is-no-number"),
        pytest.param(CAPTURED.replace(b" 22 ", b" " + b"9" * 5000 + b" "), id="number-too-long-for-int"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(line: bytes) -> None:
    with pytest.raises(Malformed):
        parse_stat(line)


@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda name: CAPTURED.replace(b"supervisor", name)))
def test_refuses_any_bytes_with_malformed_only(data: bytes) -> None:
    try:
        parse_stat(data)
    except Malformed:
        return


@given(st.integers(1, 2**22), st.binary(max_size=64), st.integers(0, 2**63), st.integers(2, 2**47))
def test_parses_back_what_was_written(pid: int, name: bytes, start: int, code: int) -> None:
    stat = parse_stat(stat_line(pid, name, start_ticks=start, image_mark=(code, code, code)))
    assert (stat.pid, stat.name, stat.start_ticks, stat.image_mark) == (pid, name, start, image_mark(code, code, code))


def test_refuses_a_process_that_ended_after_its_directory_was_opened(tmp_path: Path) -> None:
    directory = os.open(build_tree(tmp_path, {}), os.O_RDONLY)
    try:
        with pytest.raises(Gone):
            read_stat(directory)
    finally:
        os.close(directory)
