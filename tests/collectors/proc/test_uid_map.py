"""Tests of ``collectors.proc.uid_map``."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.proc.uid_map import IdRange, parse_id_map, read_gid_map, read_uid_map

INITIAL = b"         0          0 4294967295\n"


def test_parses_the_initial_user_namespace() -> None:
    (found,) = parse_id_map(INITIAL)
    assert found == IdRange(0, 0, 4294967295)
    assert found.is_identity_of_all


def test_parses_several_ranges() -> None:
    found = parse_id_map(b"         0     100000      65536\n     65536          0          1\n")
    assert found == (IdRange(0, 100000, 65536), IdRange(65536, 0, 1))
    assert not found[0].is_identity_of_all


def test_parses_a_map_that_nobody_wrote() -> None:
    assert parse_id_map(b"") == ()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(INITIAL[:-1], id="no-end-of-line"),
        pytest.param(b"0 0\n", id="two-numbers"),
        pytest.param(b"0 0 x\n", id="not-a-number"),
        pytest.param(b"0 0 -1\n", id="negative"),
        pytest.param(b"0 0 " + b"9" * 5000 + b"\n", id="number-too-long-for-int"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_id_map(data)


@given(st.binary() | st.text("0123456789 \n").map(str.encode))
def test_refuses_any_bytes_with_malformed_only(data: bytes) -> None:
    try:
        parse_id_map(data)
    except Malformed:
        return


ID = st.integers(0, 2**32 - 1)


@given(st.lists(st.builds(IdRange, ID, ID, ID)))
def test_parses_back_what_was_written(ranges: list[IdRange]) -> None:
    data = b"".join(b"%10d %10d %10d\n" % each for each in ranges)
    assert parse_id_map(data) == tuple(ranges)


def test_parses_our_own() -> None:
    directory = os.open("/proc/self", os.O_RDONLY)
    try:
        assert read_uid_map(directory)
        assert read_gid_map(directory)
    finally:
        os.close(directory)
