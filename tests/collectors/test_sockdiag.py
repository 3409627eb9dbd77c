from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import CollectorError, Gone, Malformed
from collectors.sockdiag import UnixPeer, decode_unix, read_unix_peers


def message(kind: int, payload: bytes) -> bytes:
    data = struct.pack("=IHHII", 16 + len(payload), kind, 2, 1, 0) + payload
    return data + b"\0" * (-len(data) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    data = struct.pack("=HH", 4 + len(value), kind) + value
    return data + b"\0" * (-len(data) % 4)


ROW = message(
    20, struct.pack("=BBBBIII", 1, 1, 1, 0, 77, 0, 0) + attribute(0, b"\0abs") + attribute(2, struct.pack("=I", 78))
)
DONE = message(3, struct.pack("=i", 0))


def test_parses_sockets_with_name_and_peer() -> None:
    assert decode_unix(ROW + ROW) == ((UnixPeer(77, 78, b"\0abs"),) * 2, False)
    assert decode_unix(DONE) == ((), True)


def test_refuses_what_the_kernel_refused() -> None:
    with pytest.raises(Gone):
        decode_unix(message(2, struct.pack("=i", -2) + b"\0" * 16))


@pytest.mark.parametrize("data", [ROW[:10], ROW[:-4], message(20, b"short"), ROW.replace(b"\x08\0\0\0\0abs", b"\x03")])
def test_refuses_what_is_cut_off(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_unix(data)


@given(st.binary(max_size=200))
def test_raises_nothing_but_errors_of_collectors(data: bytes) -> None:
    for each in (data, message(20, data), message(2, data)):
        try:
            decode_unix(each)
        except CollectorError:
            continue


def test_reads_both_ends_of_a_connection() -> None:
    name = f"\0hullwatch-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        client.connect(name)
        accepted, _ = server.accept()
        with accepted:
            try:
                peers = {each.inode: each for each in read_unix_peers()}
            except CollectorError as error:
                pytest.skip(f"no sock_diag here: {error}")
            end = peers[os.fstat(accepted.fileno()).st_ino]
            assert end.peer == os.fstat(client.fileno()).st_ino
            assert end.name.startswith(name.encode())
