from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.go_program import parse_main_package, read_main_package
from tests.support.go_programs import build_information, program

DOCKERD = b"github.com/docker/docker/cmd/dockerd"


def read(tmp_path: Path, data: bytes) -> bytes | None:
    file = tmp_path / "program"
    file.write_bytes(data)
    fd = os.open(file, os.O_RDONLY)
    try:
        return read_main_package(fd)
    finally:
        os.close(fd)


def test_parses_the_package_of_the_program() -> None:
    assert parse_main_package(build_information(DOCKERD)) == DOCKERD


def test_tells_nothing_in_the_form_before_go_1_18() -> None:
    assert parse_main_package(build_information(DOCKERD, flags=0)) is None


def test_reads_it_whatever_the_file_is_called(tmp_path: Path) -> None:
    assert read(tmp_path, program(build_information(DOCKERD))) == DOCKERD


@pytest.mark.skipif(shutil.which("dockerd") is None, reason="dockerd is not installed (package docker.io)")
def test_reads_it_from_a_real_program() -> None:
    fd = os.open(shutil.which("dockerd") or "", os.O_RDONLY)
    try:
        assert read_main_package(fd) == DOCKERD
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\n" + b" " * 64, id="a-script"),
        pytest.param(program(build_information(DOCKERD), name=b".data"), id="no-such-section"),
        pytest.param(b"\x7fELF\x01" + program(b"")[5:], id="of-32-bits"),
    ],
)
def test_knows_nothing_of_what_is_not_go_s(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(program(b"nothing of the kind, but long enough"), id="no-mark"),
        pytest.param(program(build_information(DOCKERD)[:60]), id="a-text-that-is-cut-off"),
        pytest.param(program(build_information(DOCKERD))[:-64], id="a-table-that-is-cut-off"),
        pytest.param(program(b"")[:40] + b"\xff" * 8 + program(b"")[48:], id="a-table-nowhere"),
    ],
)
def test_refuses_what_makes_no_sense(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Malformed):
        read(tmp_path, data)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_raises_nothing_but_malformed(garbage: bytes, at: int) -> None:
    section = build_information(DOCKERD)
    for data in (garbage, section[:at] + garbage, section[:32] + garbage):
        try:
            parse_main_package(data)
        except Malformed:
            continue
