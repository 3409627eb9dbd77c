from pathlib import Path

import pytest

from collectors.ebpf.acts import ACT_CALLS
from collectors.ebpf.calls import CALLS
from collectors.ebpf.foreign_calls import I386, OF_16_BITS, translate

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_32.h")
NEWER = {"fchmodat2", "open_tree_attr", "setxattrat"}
WITHOUT_32_BITS = {"kexec_file_load"}  # syscall_32.tbl has no such call


def test_numbers_are_those_of_the_kernels_header() -> None:
    if not HEADER.exists():
        pytest.skip(f"{HEADER} is not installed")
    words = (line.split() for line in HEADER.read_text().splitlines() if line.startswith("#define __NR_"))
    known = {word[1].removeprefix("__NR_"): int(word[2]) for word in words if len(word) == 3}
    assert {name: known.get(name, I386[name]) for name in I386} == I386
    assert set(I386) - set(known) <= NEWER
    assert {known[name.removesuffix("2")] for name in OF_16_BITS.values()} == set(OF_16_BITS)


def test_every_watched_call_has_one() -> None:
    watched = {call.name for call in CALLS} | {call.name for call in ACT_CALLS}
    assert {name.removesuffix("32") for name in I386} == watched - WITHOUT_32_BITS


def test_leads_to_the_kernels_own_number() -> None:
    assert translate({"setns": 308, "setuid": 105}, "x86_64") == {346: 308, 213: 105, 23: 105}


def test_is_empty_where_no_such_programs_run() -> None:
    assert translate({"setns": 268}, "aarch64") == {}
