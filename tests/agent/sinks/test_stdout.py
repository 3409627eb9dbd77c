from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import pytest

from agent.errors import SinkError, SinkGone
from agent.formats.catalog import FORMATS
from agent.sinks.stdout import StdoutSink
from tests.agent import alerts

ALERT = alerts.stored_whole()
OTHER = alerts.stored(2)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):  # the test closed it
            os.close(descriptor)


def test_writes_one_line_an_alert(pipe: tuple[int, int]) -> None:
    sink = StdoutSink(FORMATS["ecs"], descriptor=pipe[1])
    sink.send((ALERT, OTHER))
    sink.send((ALERT,))
    assert os.read(pipe[0], 1 << 20) == b"".join(each.document + b"\n" for each in (ALERT, OTHER, ALERT))


def test_says_that_the_reader_is_gone(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(SinkGone, match="stdout: nobody reads"):
        StdoutSink(FORMATS["ecs"], descriptor=pipe[1]).send((ALERT,))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this node")
def test_says_that_the_disk_is_full() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(SinkError, match="stdout: No space left on device"):
            StdoutSink(FORMATS["ecs"], descriptor=full).send((ALERT,))
    finally:
        os.close(full)


def test_ends_a_torn_line_before_the_next(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    size = 100_000  # more than a pipe holds (64 KiB)
    sink = StdoutSink(FORMATS["ecs"], descriptor=writer, timeout_seconds=0.01)
    with pytest.raises(SinkError, match="took nothing"):
        sink.send((alerts.stored(document=b"x" * size),))
    torn = os.read(reader, 1 << 20)
    sink.send((ALERT,))
    assert 0 < len(torn) < size
    assert os.read(reader, 1 << 20) == b"\n" + ALERT.document + b"\n"


def test_waits_for_a_slow_reader_that_made_the_descriptor_not_block(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    line = b"y" * 300_000
    large = alerts.stored(document=line)
    got = bytearray()

    def read() -> None:
        while not got.endswith(b"\n"):
            got.extend(os.read(reader, 4096))

    thread = threading.Thread(target=read)
    thread.start()
    StdoutSink(FORMATS["ecs"], descriptor=writer).send((large,))
    thread.join(10)
    assert bytes(got) == line + b"\n"


def test_a_reader_that_stands_still_is_told_of_where_the_descriptor_blocks(pipe: tuple[int, int]) -> None:
    said: list[SinkError] = []

    def send() -> None:
        with pytest.raises(SinkError, match="took nothing") as error:
            StdoutSink(FORMATS["ecs"], descriptor=pipe[1], timeout_seconds=0.01).send(
                (alerts.stored(document=b"x" * 100_000),)
            )
        said.append(error.value)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(10)
    assert said
