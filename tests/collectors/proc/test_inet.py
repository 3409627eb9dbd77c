from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.facts import Connection
from collectors.proc.inet import InetSocket, connection_of, parse_inet, parse_packet, read_inet, read_packet
from tests.support.proctree import build_tree

HEADER = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEADER + (
    b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n"
    b"   1: 020011AC:9C40 057100CB:115C 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1\n"
    b"   2: 0100007F:1F90 0100007F:9C42 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1\n"
)
TCP6 = HEADER + (
    b"   0: 0000000000000000FFFF0000020011AC:9C44 0000000000000000FFFF0000FEA9FEA9:0050 01 "
    b"00000000:00000000 00:00000000 00000000     0        0 14 1 0 20 4 30 10 -1\n"
)
PACKET = (
    b"sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n00000000 3      3    0003   2     1 0      0      77\n"
)


def test_parses_addresses_ports_and_states() -> None:
    assert parse_inet(TCP, "tcp") == (
        InetSocket("tcp", "127.0.0.1", 8080, "0.0.0.0", 0, 10, 11),
        InetSocket("tcp", "172.17.0.2", 40000, "203.0.113.5", 4444, 1, 12),
        InetSocket("tcp", "127.0.0.1", 8080, "127.0.0.1", 40002, 1, 13),
    )


def test_parses_ipv4_in_ipv6_as_ipv4() -> None:
    (row,) = parse_inet(TCP6, "tcp")
    assert (row.local, row.remote, row.remote_port) == ("172.17.0.2", "169.254.169.254", 80)


def test_parses_packet_sockets() -> None:
    assert parse_packet(PACKET) == (77,)


@pytest.mark.parametrize(
    ("inode", "connection"),
    [
        (12, Connection("tcp", "172.17.0.2", 40000, "203.0.113.5", 4444, is_incoming=False)),
        (13, Connection("tcp", "127.0.0.1", 8080, "127.0.0.1", 40002, is_incoming=True)),
        (11, None),
        (99, None),
    ],
)
def test_finds_the_connection_of_a_socket(inode: int, connection: Connection | None) -> None:
    assert connection_of(parse_inet(TCP, "tcp"), inode) == connection


def test_reads_what_the_kernel_has(tmp_path: Path) -> None:
    root = build_tree(tmp_path, {"net": {"tcp": TCP, "tcp6": TCP6, "packet": PACKET}})
    directory = os.open(root, os.O_RDONLY)
    try:
        assert [row.inode for row in read_inet(directory)] == [11, 12, 13, 14]
        assert read_packet(directory) == (77,)
    finally:
        os.close(directory)


@pytest.mark.parametrize("data", [HEADER + b"1: 2\n", HEADER + TCP.split(b"\n")[1].replace(b"1F90", b"XXXX") + b"\n"])
def test_refuses_what_is_no_row(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_inet(data, "tcp")


@given(st.binary(max_size=400))
def test_raises_nothing_but_malformed(data: bytes) -> None:
    for parse in (lambda: parse_inet(HEADER + data, "tcp"), lambda: parse_packet(data)):
        try:
            parse()
        except Malformed:
            continue
