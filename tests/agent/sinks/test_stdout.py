from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator

import pytest

from agent.errors import SinkError
from agent.formats.ecs import encode
from agent.report import Alert
from agent.sinks.stdout import StdoutSink
from detectors.base import Severity
from tests.agent import alerts

ALERT = alerts.alert()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):  # the test closed it
            os.close(descriptor)


def test_writes_one_line_an_alert(pipe: tuple[int, int]) -> None:
    sink = StdoutSink(encode, descriptor=pipe[1])
    assert sink.write(ALERT)
    assert sink.write(ALERT)
    assert os.read(pipe[0], 1 << 20) == (encode(ALERT) + b"\n") * 2


def test_leaves_out_what_is_below_its_severity(pipe: tuple[int, int]) -> None:
    process = alerts.escaped()
    low = alerts.alert(process, finding=alerts.drift(process, severity=Severity.LOW))
    os.set_blocking(pipe[0], False)
    assert not StdoutSink(encode, Severity.MEDIUM, descriptor=pipe[1]).write(low)
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)


def test_says_that_the_reader_is_gone(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(SinkError, match="stdout: Broken pipe"):
        StdoutSink(encode, descriptor=pipe[1]).write(ALERT)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this node")
def test_says_that_the_disk_is_full() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(SinkError, match="stdout: No space left on device"):
            StdoutSink(encode, descriptor=full).write(ALERT)
    finally:
        os.close(full)


def test_ends_a_torn_line_before_the_next(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    size = 100_000  # more than a pipe holds (64 KiB)
    sink = StdoutSink(lambda _: b"x" * size, descriptor=writer, timeout_seconds=0.01)
    with pytest.raises(SinkError, match="took nothing"):
        sink.write(ALERT)
    torn = os.read(reader, 1 << 20)
    small = StdoutSink(lambda _: b"small", descriptor=writer)
    small._is_torn = sink._is_torn
    assert small.write(ALERT)
    assert 0 < len(torn) < size
    assert os.read(reader, 1 << 20) == b"\nsmall\n"


def test_waits_for_a_slow_reader_that_made_the_descriptor_not_block(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    line = b"y" * 300_000
    got = bytearray()

    def read() -> None:
        while not got.endswith(b"\n"):
            got.extend(os.read(reader, 4096))

    thread = threading.Thread(target=read)
    thread.start()
    StdoutSink(lambda _: line, descriptor=writer).write(ALERT)
    thread.join(10)
    assert bytes(got) == line + b"\n"


def test_lines_of_many_threads_stay_whole(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    names = [chr(ord("a") + number) for number in range(8)]

    def encoded(alert: Alert) -> bytes:
        return json.dumps(alert.message * 200).encode()

    sink = StdoutSink(encoded, descriptor=writer)
    told = [alerts.alert(alerts.escaped(name=name.encode())) for name in names]
    threads = [threading.Thread(target=lambda each=each: [sink.write(each) for _ in range(20)]) for each in told]
    got = bytearray()

    def read() -> None:
        while block := os.read(reader, 65_536):
            got.extend(block)

    drain = threading.Thread(target=read)
    for thread in (drain, *threads):
        thread.start()
    for thread in threads:
        thread.join(10)
    os.close(writer)
    drain.join(10)
    lines = bytes(got).splitlines()
    assert sorted(lines) == sorted(encoded(each) for each in told for _ in range(20))
