"""Captured on kernel 6.18 (x86_64, little endian) from an AF_NETLINK socket."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.connector.decode import (
    RECORD_BYTES,
    AckRecord,
    ExecRecord,
    ExitRecord,
    ForkRecord,
    IdRecord,
    OtherRecord,
    PtraceRecord,
    Record,
    decode,
)
from collectors.errors import Malformed

CAPTURED: dict[str, tuple[str, Record]] = {
    "acknowledgement": (
        (
            "4c00000003000000bad90000000000000100000001000000bad900006812000028000000000000000000000047247861ba010000"
            "000000000000000000000000000000000000000000000000"
        ),
        AckRecord(timestamp_ns=1900010808391, cpu=0, seq=55738, answers=4712, error=0),
    ),
    "fork-of-a-thread": (
        (
            "4c00000003000000bbd90000000000000100000001000000bbd90000000000002800000001000000000000006ba37961ba010000"
            "e1520000e1520000ea520000e95200000000000000000000"
        ),
        ForkRecord(
            timestamp_ns=1900010906475,
            cpu=0,
            seq=55739,
            parent_pid=21217,
            parent_tgid=21217,
            child_pid=21226,
            child_tgid=21225,
        ),
    ),
    "fork": (
        (
            "4c00000003000000bcd90000000000000100000001000000bcd90000000000002800000001000000000000008a6a7f61ba010000"
            "ea520000e9520000eb520000eb5200000000000000000000"
        ),
        ForkRecord(
            timestamp_ns=1900011285130,
            cpu=0,
            seq=55740,
            parent_pid=21226,
            parent_tgid=21225,
            child_pid=21227,
            child_tgid=21227,
        ),
    ),
    "comm-is-not-utf-8": (
        (
            "4c00000003000000bdd90000000000000100000001000000bdd9000000000000280000000002000000000000f55b8f61ba010000"
            "eb520000eb52000061ff6200000000000000000000000000"
        ),
        OtherRecord(timestamp_ns=1900012329973, cpu=0, seq=55741, what=512),
    ),
    "session": (
        (
            "4c00000003000000bed90000000000000100000001000000bed9000000000000280000008000000000000000efc68f61ba010000"
            "eb520000eb52000000000000000000000000000000000000"
        ),
        OtherRecord(timestamp_ns=1900012357359, cpu=0, seq=55742, what=128),
    ),
    "gid": (
        (
            "4c00000003000000bfd90000000000000100000001000000bfd90000000000002800000040000000000000005da69161ba010000"
            "eb520000eb52000007000000070000000000000000000000"
        ),
        IdRecord(timestamp_ns=1900012480093, cpu=0, seq=55743, pid=21227, tgid=21227, real=7, effective=7, is_gid=True),
    ),
    "uid": (
        (
            "4c00000003000000c0d90000000000000100000001000000c0d9000000000000280000000400000000000000f4cf9161ba010000"
            "eb520000eb520000feff0000feff00000000000000000000"
        ),
        IdRecord(
            timestamp_ns=1900012490740,
            cpu=0,
            seq=55744,
            pid=21227,
            tgid=21227,
            real=65534,
            effective=65534,
            is_gid=False,
        ),
    ),
    "exec": (
        (
            "4c00000003000000c1d90000000000000100000001000000c1d9000000000000280000000200000000000000f2ed9761ba010000"
            "eb520000eb52000000000000000000000000000000000000"
        ),
        ExecRecord(timestamp_ns=1900012891634, cpu=0, seq=55745, pid=21227, tgid=21227),
    ),
    "ptrace": (
        (
            "4c00000003000000c2d90000000000000100000001000000c2d90000000000002800000000010000000000007c477c67ba010000"
            "eb520000eb520000ea520000e95200000000000000000000"
        ),
        PtraceRecord(
            timestamp_ns=1900111742844, cpu=0, seq=55746, pid=21227, tgid=21227, tracer_pid=21226, tracer_tgid=21225
        ),
    ),
    "exit": (
        (
            "4c00000003000000c3d90000000000000100000001000000c3d90000000000002800000000000080000000002c3b8b73ba010000"
            "eb520000eb5200000000000011000000ea520000e9520000"
        ),
        ExitRecord(
            timestamp_ns=1900314049324,
            cpu=0,
            seq=55747,
            pid=21227,
            tgid=21227,
            code=0,
            signal=17,
            parent_pid=21226,
            parent_tgid=21225,
        ),
    ),
    "exit-of-a-thread": (
        (
            "4c00000003000000c4d90000000000000100000001000000c4d9000000000000280000000000008000000000499a8d73ba010000"
            "ea520000e952000000000000ffffffff0000000000000000"
        ),
        ExitRecord(
            timestamp_ns=1900314204745,
            cpu=0,
            seq=55748,
            pid=21226,
            tgid=21225,
            code=0,
            signal=4294967295,
            parent_pid=0,
            parent_tgid=0,
        ),
    ),
}


@pytest.mark.parametrize(("captured", "record"), CAPTURED.values(), ids=CAPTURED)
def test_parses_what_the_kernel_sent(captured: str, record: Record) -> None:
    assert decode(bytes.fromhex(captured)) == (record,)


def test_parses_a_datagram_of_several_records() -> None:
    datagram = b"".join(bytes.fromhex(captured) for captured, _ in CAPTURED.values())
    assert decode(datagram) == tuple(record for _, record in CAPTURED.values())


def test_parses_a_record_that_a_later_kernel_made_longer() -> None:
    fork = bytearray.fromhex(CAPTURED["fork"][0]) + b"\xff" * 8
    struct.pack_into("=I", fork, 0, len(fork))
    struct.pack_into("=H", fork, 32, 48)
    assert decode(bytes(fork)) == (CAPTURED["fork"][1],)


def _with(offset: int, layout: str, value: int) -> bytes:
    fork = bytearray.fromhex(CAPTURED["fork"][0])
    struct.pack_into(layout, fork, offset, value)
    return bytes(fork)


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(b"", id="empty"),
        pytest.param(_with(0, "=I", RECORD_BYTES)[:-1], id="cut-short"),
        pytest.param(_with(0, "=I", RECORD_BYTES) + b"\0", id="bytes-left-over"),
        pytest.param(_with(0, "=I", 0), id="length-is-zero"),
        pytest.param(_with(0, "=I", 0xFFFFFFFF), id="length-is-huge"),
        pytest.param(_with(4, "=H", 2), id="netlink-error-message"),
        pytest.param(_with(16, "=I", 3), id="another-connector"),
        pytest.param(_with(32, "=H", 39), id="event-too-short"),
        pytest.param(_with(32, "=H", 41), id="event-longer-than-message"),
    ],
)
def test_refuses_what_the_kernel_does_not_send(datagram: bytes) -> None:
    with pytest.raises(Malformed):
        decode(datagram)


@given(st.binary(max_size=400))
def test_raises_nothing_but_malformed(datagram: bytes) -> None:
    try:
        records = decode(datagram)
    except Malformed:
        return
    assert records


@given(
    st.lists(st.sampled_from([bytes.fromhex(captured) for captured, _ in CAPTURED.values()]), min_size=1, max_size=4),
    st.integers(0, 303),
    st.binary(min_size=1, max_size=8),
)
def test_raises_nothing_but_malformed_when_captured_bytes_are_garbled(
    datagrams: list[bytes], offset: int, noise: bytes
) -> None:
    joined = b"".join(datagrams)
    garbled = joined[:offset] + noise + joined[offset + len(noise) :]
    try:
        records = decode(garbled)
    except Malformed:
        return
    assert 1 <= len(records) <= len(datagrams) + 1
