from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import CollectorError, Denied, Gone, Malformed, TooLarge
from collectors.node.build_info import MAX_SECTION_BYTES, parse_build_info, read_build_version

HEAD = b"\xff Go buildinf:\x08\x02" + b"\0" * 16
DEBIAN = HEAD + b"\x08go1.19.8\xdc\x010w\xafpath\tgithub.com/opencontainers/runc\nbuild\t-trimpath=true\n"
DOCKER = HEAD + (
    b'path\tx\nbuild\t-ldflags=" -X \\"github.com/docker/cli/cli/version.GitCommit=abc\\"'
    b' -X \\"github.com/docker/cli/cli/version.Version=28.2.2\\""\n'
)
CONTAINERD = HEAD + b"path\tx\nbuild\t-ldflags=-X github.com/containerd/containerd/version.Version=v1.7.20 -s\n"
MODULE = HEAD + b"path\tgithub.com/x/y\nmod\tgithub.com/x/y\tv1.2.3\th1:abc\n"


@pytest.mark.parametrize(
    ("section", "version"),
    [(DOCKER, "28.2.2"), (CONTAINERD, "1.7.20"), (MODULE, "1.2.3")],
    ids=["docker", "containerd", "module"],
)
def test_parses_the_version_that_was_linked(section: bytes, version: str) -> None:
    assert parse_build_info(section) == version


@pytest.mark.parametrize("section", [DEBIAN, HEAD, b"", b"\x7fELF"], ids=["trimmed", "empty", "nothing", "elf"])
def test_refuses_what_says_no_version(section: bytes) -> None:
    with pytest.raises(Malformed):
        parse_build_info(section)


def program(section: bytes, name: bytes = b".go.buildinfo", claimed: int | None = None) -> bytes:
    """An ELF file of three section headers: none, the section, the names."""
    names = b"\0" + name + b"\0.shstrtab\0"
    table = 64 + len(section) + len(names)
    elf = bytearray(b"\x7fELF\x02\x01" + b"\0" * 58)
    struct.pack_into("<Q", elf, 40, table)
    struct.pack_into("<HHH", elf, 58, 64, 3, 2)

    def entry(name_at: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQIIQQ", name_at, 1, 0, 0, offset, size, 0, 0, 0, 0)

    sections = (
        entry(0, 0, 0)
        + entry(1, 64, len(section) if claimed is None else claimed)
        + entry(len(name) + 2, 64 + len(section), len(names))
    )
    return bytes(elf) + section + names + sections


def version_of(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "runc").write_bytes(data)
    return read_build_version(str(tmp_path), b"/runc")


def test_reads_the_section_of_a_program(tmp_path: Path) -> None:
    assert version_of(tmp_path, program(CONTAINERD)) == "1.7.20"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Malformed),
        (b"#!/bin/sh\n" * 20, Malformed),
        (program(CONTAINERD)[:70], Malformed),
        (program(CONTAINERD, b".data"), Malformed),
        (program(CONTAINERD, claimed=MAX_SECTION_BYTES + 1), TooLarge),
    ],
    ids=["empty", "script", "cut", "not-go", "large"],
)
def test_refuses_another_file(tmp_path: Path, data: bytes, error: type[CollectorError]) -> None:
    with pytest.raises(error):
        version_of(tmp_path, data)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "runc").mkdir()
    with pytest.raises(Denied):
        read_build_version(str(tmp_path), b"/runc")
    with pytest.raises(Gone):
        read_build_version(str(tmp_path), b"/crun")


@given(st.binary(max_size=300))
def test_refuses_with_nothing_but_malformed(section: bytes) -> None:
    try:
        parse_build_info(HEAD + section)
    except Malformed:
        return
