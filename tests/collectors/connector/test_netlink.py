import os
import socket
import time

import pytest

from collectors.connector.decode import CN_IDX_PROC, AckRecord, decode
from collectors.connector.loss import LossTracker
from collectors.connector.netlink import NETLINK_CONNECTOR, ConnectorSocket
from collectors.errors import CollectorError
from tests.support.namespaces import output_of_python

OPEN = """
from collectors.connector.netlink import ConnectorSocket
from collectors.errors import CollectorError
try:
    ConnectorSocket.open(receive_buffer_bytes=65536, ack_timeout_seconds=0.3).close()
    print("opened")
except CollectorError as error:
    print(error.kind, error)
"""


@pytest.fixture(autouse=True)
def _skip_without_connector() -> None:
    try:
        ConnectorSocket.open(receive_buffer_bytes=65536).close()
    except CollectorError as error:
        pytest.skip(str(error))


def test_refuses_with_a_reason_outside_the_nodes_network_namespace() -> None:
    assert output_of_python(OPEN, "--net") == (
        "unsupported netlink: no process connector in this network namespace: it needs the node's (hostNetwork)"
    )


@pytest.mark.parametrize("options", [("--pid", "--fork"), ("--user",)], ids=["pid-namespace", "user-namespace"])
def test_refuses_with_a_reason_when_the_kernel_does_not_answer(options: tuple[str, ...]) -> None:
    output = output_of_python(OPEN, *options)
    assert output.startswith(("unsupported netlink: the process connector did not answer: ", "denied netlink: "))


def test_each_cpu_sends_one_record_when_probed() -> None:
    connection = ConnectorSocket.open(receive_buffer_bytes=1 << 20)
    try:
        connection.probe()
        records = [record for datagram in connection.receive(10_000).datagrams for record in decode(datagram)]
    finally:
        connection.close()
    assert {each.cpu for each in records if isinstance(each, AckRecord)} == os.sched_getaffinity(0)


def test_refuses_datagrams_that_the_kernel_did_not_send() -> None:
    connection = ConnectorSocket.open(receive_buffer_bytes=1 << 20)
    try:
        port = connection._socket.getsockname()[0]
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR) as stranger:
            stranger.bind((0, 0))
            stranger.sendto(b"\0" * 76, (port, 0))
            stranger.sendto(b"\0" * 76, (0, CN_IDX_PROC))
        datagrams = connection.receive(10_000).datagrams
    finally:
        connection.close()
    assert connection.strangers == 2
    assert b"\0" * 76 not in datagrams


def test_takes_the_receive_buffer_that_was_asked_for() -> None:

    reopened = ConnectorSocket.open(receive_buffer_bytes=8 << 20)
    try:
        assert reopened.receive_buffer_bytes == 16 << 20
    finally:
        reopened.close()


def test_says_that_the_queue_is_empty_without_waiting() -> None:
    connection = ConnectorSocket.open(receive_buffer_bytes=1 << 20)
    try:
        started = time.monotonic()
        batch = connection.receive(100_000)
        assert batch.is_drained
        assert not batch.is_overrun
        assert time.monotonic() - started < 1
    finally:
        connection.close()


def _numbers(connection: ConnectorSocket) -> tuple[list[tuple[int, int]], bool]:
    """(cpu, seq) of everything that is queued, and whether the kernel said that it dropped some."""
    batch = connection.receive(100_000)
    assert batch.is_drained
    return [(each.cpu, each.seq) for datagram in batch.datagrams for each in decode(datagram)], batch.is_overrun


def test_what_came_and_what_is_counted_as_lost_is_what_was_sent() -> None:
    """A witness with a large buffer has everything that the one with the small buffer should have had."""
    witness = ConnectorSocket.open(receive_buffer_bytes=8 << 20)
    small = ConnectorSocket.open(receive_buffer_bytes=16384)
    try:
        small.probe()
        came, is_overrun = _numbers(small)
        assert not is_overrun
        for _ in range(100):
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        burst, is_overrun = _numbers(small)
        assert is_overrun
        small.probe()
        settled, _ = _numbers(small)
        sent, was_witness_overrun = _numbers(witness)
    finally:
        small.close()
        witness.close()
    assert not was_witness_overrun
    came += burst + settled
    tracker = LossTracker()
    gaps = [tracker.observe(cpu, seq) for cpu, seq in came]
    lost = sum(gap.missing for gap in gaps if gap)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for cpu, seq in came:
        first.setdefault(cpu, seq)
        last[cpu] = seq
    assert lost >= 100
    assert len([1 for cpu, seq in sent if first[cpu] <= seq <= last[cpu]]) == len(came) + lost
