from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.capabilities import ALL, CAPABILITIES, NUMBERS, mask, names


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("CAP_CHOWN", 0),
        ("CAP_NET_ADMIN", 12),
        ("CAP_SYS_PTRACE", 19),
        ("CAP_SYS_ADMIN", 21),
        ("CAP_SYSLOG", 34),
        ("CAP_PERFMON", 38),
        ("CAP_BPF", 39),
        ("CAP_CHECKPOINT_RESTORE", 40),
    ],
)
def test_numbers_are_the_kernels(name: str, number: int) -> None:
    assert NUMBERS[name] == number
    assert mask([name]) == 1 << number


def test_all_is_the_full_set_of_the_newest_kernel() -> None:
    assert ALL == 0x1FFFFFFFFFF
    assert names(ALL) == CAPABILITIES


def test_a_bit_without_a_name_is_shown_by_number() -> None:
    assert names(1 << 21 | 1 << 41) == ("CAP_SYS_ADMIN", "CAP_41")


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        mask(["CAP_CAP_BPF"])


@given(st.integers(0, ALL))
def test_a_mask_survives_being_named(bits: int) -> None:
    assert mask(names(bits)) == bits
