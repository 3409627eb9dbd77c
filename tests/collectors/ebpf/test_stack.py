from pathlib import Path

import pytest

import collectors.ebpf
from tests.support.ebpf_stack import MAX_FRAMES, STACK_BYTES, deepest, functions

FUNCTIONS = functions((Path(collectors.ebpf.__file__).parent / "sensor.bpf.o").read_bytes())
PROGRAMS = {each.name: at for at, each in FUNCTIONS.items() if each.is_program}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_chain_of_calls_fits_the_stack_of_older_kernels(program: str) -> None:
    used, chain = deepest(FUNCTIONS, PROGRAMS[program])
    assert used <= STACK_BYTES, chain
    assert len(chain) <= MAX_FRAMES, chain
