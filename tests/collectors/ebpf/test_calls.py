import re
from pathlib import Path

import pytest

from collectors.ebpf import calls
from collectors.ebpf.calls import CALLS, Meaning, calls_by_number
from collectors.errors import Unsupported

NEWER = {"open_tree_attr"}  # Linux 6.15


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_two_calls_have_one_number(machine: str) -> None:
    assert len(calls_by_number(machine)) == len(CALLS)


def test_meanings_are_those_of_the_header_file() -> None:
    header = Path(calls.__file__).parent / "kernel" / "maps.h"
    names = dict(re.findall(r"\bCALL_([A-Z_]+) = (\d+)", header.read_text()))
    assert {each.name: str(int(each)) for each in Meaning} == names


def test_refuses_a_machine_whose_numbers_are_not_known() -> None:
    with pytest.raises(Unsupported, match="mips"):
        calls_by_number("mips")


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    path = Path(header)
    if not path.exists():
        pytest.skip(f"{header} is not installed")
    text = path.read_text()
    words = (line.split() for line in text.splitlines() if line.startswith("#define __NR"))
    known = {word[1].removeprefix("__NR3264_").removeprefix("__NR_"): word[2] for word in words if len(word) == 3}
    for number, call in calls_by_number(machine).items():
        assert known.get(call.name, str(number)) == str(number)
        assert call.name in known or call.name in NEWER
