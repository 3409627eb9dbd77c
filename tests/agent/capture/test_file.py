from __future__ import annotations

import dataclasses
import io
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.capture.errors import CaptureError
from agent.capture.file import MAGIC, MAX_BLOCK_BYTES, VERSION, CaptureReader, CaptureWriter, Ending
from agent.capture.schema import event_classes
from collectors.events import Event, Exec, Lost, SweepDone
from collectors.facts import ProcessKey
from tests.support import build, captures

EVENTS: list[Event] = [Exec(build.NOW_NS + number, build.process(5000 + number)) for number in range(20)]
WHOLE = captures.written(EVENTS)
IN_BLOCKS = captures.written(EVENTS, each_in_a_block=True)
HEADER = captures.written([], is_finished=False)


@pytest.mark.parametrize("data", [WHOLE, IN_BLOCKS])
def test_holds_the_node_and_every_event_in_order(data: bytes) -> None:
    reader, events = captures.read(data)
    assert events == EVENTS
    assert reader.header == captures.header()
    assert reader.ending == Ending(20, 0)
    assert reader.cut is None
    assert reader.events_read == 20


def test_begins_with_its_mark_and_its_version() -> None:
    assert WHOLE[:10] == MAGIC + VERSION.to_bytes(2, "big")
    assert b"\r\n" in MAGIC  # a transfer as text destroys it


def test_a_cut_file_is_read_up_to_the_cut_wherever_that_is() -> None:
    few = captures.written(EVENTS[:4], each_in_a_block=True)
    least = 0
    refused = set()
    for size in [*range(0, len(HEADER), 61), *range(len(HEADER), len(few))]:
        try:
            reader, events = captures.read(few[:size])
        except CaptureError as error:
            refused.add(str(error))
            continue
        assert events == EVENTS[: len(events)]
        assert len(events) >= least
        assert reader.cut == f"the file is cut at byte {size}: its end is missing"
        assert reader.ending is None
        least = len(events)
    assert least == 4
    assert refused == {"it is no capture of hullwatch", "it is cut in its header: nothing of it can be read"}


def test_of_a_block_that_is_cut_what_is_there_is_read() -> None:
    many: list[Event] = [SweepDone(number, number, number * 7919 % 65_521, number) for number in range(5000)]
    data = captures.written(many)
    reader, events = captures.read(data[: len(data) * 2 // 3])
    assert 1000 < len(events) < 5000
    assert events == many[: len(events)]
    assert reader.cut is not None


def test_a_capture_that_was_not_finished_is_cut_at_its_end() -> None:
    reader, events = captures.read(captures.written(EVENTS, is_finished=False))
    assert events == EVENTS
    assert reader.cut is not None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "no capture", id="empty"),
        pytest.param(b"PK\x03\x04" * 100, "no capture", id="another-format"),
        pytest.param(WHOLE.replace(b"\r\n", b"\n"), "no capture", id="transferred-as-text"),
        pytest.param(MAGIC + b"\x00\x07" + WHOLE[10:], "of version 7; this hullwatch reads version 1", id="version"),
        pytest.param(WHOLE[:40], "cut in its header", id="cut-in-its-header"),
        pytest.param(WHOLE[:60] + b"\xff" + WHOLE[61:], "damaged at byte 10: its checksum", id="header-is-damaged"),
        pytest.param(WHOLE[:-30] + b"\xff" + WHOLE[-29:], "damaged at byte [0-9]+: its checksum", id="damaged"),
        pytest.param(WHOLE + b"x", "goes on behind its end", id="goes-on"),
        pytest.param(WHOLE[:10] + b"\x01\xff\xff\xff\xff" + bytes(4), "no block is that long", id="length"),
        pytest.param(WHOLE[:10] + IN_BLOCKS[len(HEADER) :], "its header is missing", id="no-header"),
    ],
)
def test_says_what_is_wrong(data: bytes, problem: str) -> None:
    with pytest.raises(CaptureError, match=problem):
        captures.read(data)


def block(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(HEADER + block(9, b""), "a block of kind 9", id="kind"),
        pytest.param(HEADER + block(2, b"no zlib"), "damaged", id="not-compressed"),
        pytest.param(HEADER + block(2, zlib.compress(b"\x07")), "int is no event", id="no-event"),
        pytest.param(HEADER + block(2, zlib.compress(b"\xda\xff\xffx")), "not whole", id="half-a-value"),
        pytest.param(HEADER + block(2, zlib.compress(bytes(MAX_BLOCK_BYTES + 1), 1)), "more than any does", id="bomb"),
        pytest.param(HEADER + block(3, b"\x01"), "its end is none", id="end"),
        pytest.param(HEADER[:10] + block(1, b"\x80"), "its header is none", id="header"),
    ],
)
def test_refuses_what_was_made_by_somebody_else(data: bytes, problem: str) -> None:
    with pytest.raises(CaptureError, match=problem):
        captures.read(data)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_happens_to_a_file_only_a_capture_error_comes(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([WHOLE, IN_BLOCKS])))
    for _ in range(data.draw(st.integers(1, 4))):
        if not damaged:
            break
        at = data.draw(st.integers(0, len(damaged) - 1))
        act = data.draw(st.sampled_from(["flip", "insert", "cut", "drop"]))
        if act == "flip":
            damaged[at] ^= data.draw(st.integers(1, 255))
        elif act == "insert":
            damaged[at:at] = data.draw(st.binary(max_size=9))
        elif act == "drop":
            del damaged[at : at + data.draw(st.integers(1, 9))]
        elif at:
            del damaged[at:]
    try:
        _, events = captures.read(bytes(damaged))
    except CaptureError:
        return
    assert events == EVENTS[: len(events)]  # a checksum stands over each block, so nothing false is read


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_event_that_somebody_made_up_does_harm(noise: bytes, at: int) -> None:
    """Behind a checksum that is right: what is in a block may still be anything."""
    inner = _inner()
    made_up = inner[:at] + noise + inner[at + len(noise) :]
    try:
        captures.read(HEADER + block(2, zlib.compress(made_up)))
    except CaptureError:
        return


def _inner() -> bytes:
    encoder_block = WHOLE[len(HEADER) :]
    length = int.from_bytes(encoder_block[1:5], "big")
    return zlib.decompress(encoder_block[9 : 9 + length])


def test_what_cannot_be_written_is_counted() -> None:
    stream = io.BytesIO()
    writer = CaptureWriter(stream, captures.header())
    writer.add(EVENTS[0])
    writer.add(Exec(1, replace(build.process(), key=ProcessKey(1, 1 << 70))))
    writer.add(Exec(1, build.process(arguments=bytes(17 << 20))))
    writer.finish()
    reader, events = captures.read(stream.getvalue())
    assert events == EVENTS[:1]
    assert reader.ending == Ending(1, 2)


def test_the_page_names_every_event() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "capture-format.md").read_text(encoding="utf-8")
    for each in event_classes():
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(each))
        assert f"| `{each.__name__}` | {fields} |" in page


def test_the_size_that_the_writer_names_is_the_size_of_the_file() -> None:
    stream = io.BytesIO()
    writer = CaptureWriter(stream, captures.header())
    writer.add(Lost(1, "a", "b", 2))
    writer.finish()
    assert writer.size_bytes == len(stream.getvalue())
    assert CaptureReader(io.BytesIO(stream.getvalue())).header.tier is captures.header().tier
