from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.device_numbers import dangerous, is_console, is_pseudo_terminal, major, minor, text


@given(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF))
def test_numbers_are_glibcs(first: int, second: int) -> None:
    rdev = os.makedev(first, second)
    assert (major(rdev), minor(rdev), text(rdev)) == (first, second, f"{first}:{second}")


@pytest.mark.parametrize(
    ("numbers", "name"), [((1, 1), "mem"), ((10, 232), "kvm"), ((21, 9), "sg"), ((202, 77), "msr")]
)
def test_knows_dangerous_devices(numbers: tuple[int, int], name: str) -> None:
    device = dangerous(os.makedev(*numbers))
    assert device is not None
    assert device.name == name


@pytest.mark.parametrize("numbers", [(1, 3), (1, 9), (5, 0), (10, 229), (136, 1)])
def test_knows_harmless_devices(numbers: tuple[int, int]) -> None:
    assert dangerous(os.makedev(*numbers)) is None


def test_tells_terminals_from_consoles() -> None:
    assert is_pseudo_terminal(os.makedev(136, 0))
    assert is_pseudo_terminal(os.makedev(143, 5))
    assert not is_pseudo_terminal(os.makedev(4, 0))
    assert is_console(os.makedev(4, 64))
    assert is_console(os.makedev(5, 1))
    assert not is_console(os.makedev(5, 0))
