"""Tests of ``collectors.proc.unix``."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.proc.unix import CONNECTED, UnixSocket, parse_listening, parse_unix, read_listening, read_unix

HEADER = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
UNNAMED = b"00000000da8e7d3d: 00000003 00000000 00000000 0001 03  1074\n"
LISTENER = b"0000000034389f21: 00000002 00000000 00010000 0001 01 152034 /run/docker.sock\n"


def test_parses_rows() -> None:
    unnamed, listener = parse_unix(HEADER + UNNAMED + LISTENER)
    assert unnamed == UnixSocket(0, 1, CONNECTED, 1074, b"")
    assert listener == UnixSocket(0x10000, 1, 1, 152034, b"/run/docker.sock")
    assert listener.is_listening
    assert not unnamed.is_listening


def test_parses_a_table_without_sockets() -> None:
    assert parse_unix(HEADER) == ()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"@abs@x", id="abstract"),
        pytest.param(b"/a b:c", id="path-holds-blank-and-colon"),
        pytest.param(b"/new\nline\n", id="path-holds-newlines"),
        pytest.param(b"/\xff\x85", id="path-is-not-utf-8"),
    ],
)
def test_parses_awkward_names(path: bytes) -> None:
    first, second = parse_unix(HEADER + LISTENER.replace(b"/run/docker.sock", path) + UNNAMED)
    assert (first.path, second.inode) == (path, 1074)


def test_parses_only_who_listens_at_a_path() -> None:
    abstract = LISTENER.replace(b"/run/docker.sock", b"@abs")
    broken = LISTENER.replace(b"152034", b"7").replace(b"docker.sock", b"a\nb")
    connected = UNNAMED.replace(b"1074\n", b"1074 /run/docker.sock\n")
    found = parse_listening(HEADER + UNNAMED + LISTENER + abstract + connected + broken)
    assert found == {(152034, b"/run/docker.sock"), (7, b"/run/a")}


def test_reads_a_socket_that_listens_here(tmp_path: Path) -> None:
    directory = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s"))
            assert os.fsencode(tmp_path / "s") not in {path for _, path in read_listening(directory)}
            server.listen()
            assert (os.fstat(server.fileno()).st_ino, os.fsencode(tmp_path / "s")) in read_listening(directory)
    finally:
        os.close(directory)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(LISTENER, id="no-header"),
        pytest.param(HEADER + LISTENER[:-1], id="no-end-of-line"),
        pytest.param(HEADER + b"nonsense\n", id="first-line-is-no-row"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_unix(data)


@given(st.binary() | st.binary().map(lambda data: HEADER + LISTENER + data))
def test_refuses_any_bytes_with_malformed_only(data: bytes) -> None:
    try:
        parse_unix(data)
    except Malformed:
        return


def test_parses_a_socket_of_our_own(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(bytes(tmp_path / "a\nb"))
        server.listen()
        inode = os.fstat(server.fileno()).st_ino
        directory = os.open("/proc/self", os.O_RDONLY)
        try:
            row = next(each for each in read_unix(directory) if each.inode == inode)
        finally:
            os.close(directory)
    assert row.is_listening
    assert row.path == bytes(tmp_path / "a\nb")
