from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.proc.tracer import parse_tracer, read_tracer
from tests.support.proctree import build_tree, status_lines

TRACED = status_lines(7).replace(b"TracerPid:\t0", b"TracerPid:\t4711")


def test_parses_the_tracer() -> None:
    assert parse_tracer(status_lines(7)) == 0
    assert parse_tracer(TRACED) == 4711


def test_reads_our_own(tmp_path: Path) -> None:
    assert read_tracer(build_tree(tmp_path, {"self": {"status": TRACED}})) == 4711
    assert read_tracer(str(tmp_path / "missing")) == 0


@pytest.mark.parametrize("data", [b"", b"Name:\tTracerPid:\t1 x\n", b"TracerPid:\tx\n"])
def test_refuses_a_status_without_it(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_tracer(data)


@given(st.binary())
def test_raises_nothing_but_malformed(data: bytes) -> None:
    try:
        parse_tracer(data)
    except Malformed:
        return
