"""The file of a capture: docs/capture-format.md. Reading and writing, over streams that the caller opened.

A file is blocks: a header, events in compressed blocks, an end. A block is whole or it is not there: what a crash or a
full disk cut off is at the end, and everything before it is read. Every length is bounded before anything is read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgpack

from agent.capture.codec import Decoder, Encoder
from agent.capture.errors import CaptureError
from agent.report import HostFacts
from collectors.events import Event
from collectors.facts import HostBaseline
from detectors.base import Tier

MAGIC = b"\x89HWC\r\n\x1a\n"
VERSION = 1
HEADER, EVENTS, END = 1, 2, 3
BLOCK_BYTES = 256 << 10
MAX_EVENT_BYTES = 16 << 20
MAX_BLOCK_BYTES = MAX_EVENT_BYTES + BLOCK_BYTES + 1024

_START = struct.Struct(">8sH")
_BLOCK = struct.Struct(">BII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where and when: the node's facts, the sensor's tier, and the number that the first alert had."""

    hullwatch: str
    started_ns: int
    tier: Tier
    host: HostBaseline
    facts: HostFacts
    first_sequence: int = 1
    container: str | None = None  # only this one's events, and the host's
    beginning: int = 0  # so many of the first events are what was known already, not what happened


@dataclass(frozen=True, slots=True)
class Ending:
    """How many events the capture holds, and how many it had to leave out."""

    events: int
    lost: int


class CaptureWriter:
    """Appends to ``stream``, which nobody else writes to. Raises ``OSError``; owned by one thread."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self.events = 0
        self.lost = 0
        self.size_bytes = 0
        self._stream = stream
        self._encoder = Encoder()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._write(_START.pack(MAGIC, VERSION))
        described = {
            "hullwatch": header.hullwatch,
            "started_ns": header.started_ns,
            "tier": header.tier.value,
            "first_sequence": header.first_sequence,
            "container": header.container,
            "beginning": header.beginning,
            "classes": self._encoder.table(),
            "host": self._encoder.encode(header.host),
            "facts": self._encoder.encode(header.facts),
        }
        self._write_block(HEADER, msgpack.packb(described))

    def add(self, event: Event) -> None:
        """One event; one that cannot be written is counted as lost."""
        try:
            data = self._encoder.encode(event)
        except CaptureError:
            self.lost += 1
            return
        if len(data) > MAX_EVENT_BYTES:
            self.lost += 1
            return
        self._pending.append(data)
        self._pending_bytes += len(data)
        self.events += 1
        if self._pending_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what was added to the kernel: from now on it survives the end of this process."""
        if self._pending:
            data, self._pending, self._pending_bytes = b"".join(self._pending), [], 0
            self._write_block(EVENTS, zlib.compress(data))
        self._stream.flush()

    def finish(self) -> None:
        """Write the end; the stream stays open."""
        self.flush()
        self._write_block(END, msgpack.packb({"events": self.events, "lost": self.lost}))
        self._stream.flush()

    def _write_block(self, kind: int, payload: bytes) -> None:
        self._write(_BLOCK.pack(kind, len(payload), zlib.crc32(payload)) + payload)

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self.size_bytes += len(data)


class CaptureReader:
    """Reads ``stream`` from its beginning. ``cut`` and ``ending`` are known when all events were taken.

    Raises ``CaptureError`` for what is no capture, is damaged or of another version, and ``OSError``.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.cut: str | None = None
        self.ending: Ending | None = None
        self.events_read = 0
        self._stream = stream
        self._rest: bytes | None = None
        self._at = 0
        start = self._take(_START.size)
        if len(start) < _START.size or _START.unpack(start)[0] != MAGIC:
            raise CaptureError("it is no capture of hullwatch")
        version = _START.unpack(start)[1]
        if version != VERSION:
            raise CaptureError(f"it is a capture of version {version}; this hullwatch reads version {VERSION}")
        block = self._block()
        if block is None:
            raise CaptureError("it is cut in its header: nothing of it can be read")
        kind, payload = block
        if kind != HEADER:
            raise CaptureError("its header is missing")
        self.header, self._decoder = _header(payload)

    def events(self) -> Iterator[Event]:
        """Every event up to the end, or to the cut."""
        while (block := self._block()) is not None:
            kind, payload = block
            match kind:
                case 2:
                    yield from self._events_in(_inflated(payload), may_be_cut=False)
                case 3:
                    self.ending = _ending(payload)
                    if self._take(1):
                        raise CaptureError(f"it goes on behind its end, at byte {self._at - 1}")
                    return
                case _:
                    raise CaptureError(f"it is damaged: there is a block of kind {kind} before byte {self._at}")
        if self._rest is not None:
            yield from self._events_in(_inflated(self._rest), may_be_cut=True)

    def _events_in(self, data: bytes, *, may_be_cut: bool) -> Iterator[Event]:
        for value in self._decoder.decode_all(data, may_be_cut=may_be_cut):
            if not isinstance(value, Event):
                raise CaptureError(f"it is damaged before byte {self._at}: {type(value).__name__} is no event")
            self.events_read += 1
            yield value

    def _block(self) -> tuple[int, bytes] | None:
        """The next block; ``None`` where the file is cut, with what is left of a block of events in ``_rest``."""
        began = self._at
        head = self._take(_BLOCK.size)
        if len(head) < _BLOCK.size:
            self.cut = f"the file is cut at byte {self._at}: its end is missing"
            return None
        kind, length, checksum = _BLOCK.unpack(head)
        if length > MAX_BLOCK_BYTES:
            raise CaptureError(f"it is damaged at byte {began}: no block is that long")
        payload = self._take(length)
        if len(payload) < length:
            self.cut = f"the file is cut at byte {self._at}: its end is missing"
            self._rest = payload if kind == EVENTS else None
            return None
        if zlib.crc32(payload) != checksum:
            raise CaptureError(f"it is damaged at byte {began}: its checksum is another")
        return kind, payload

    def _take(self, count: int) -> bytes:
        data = self._stream.read(count)
        self._at += len(data)
        return data


def _inflated(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload, MAX_BLOCK_BYTES)
    except zlib.error as error:
        raise CaptureError(f"it is damaged: {error}") from error
    if inflater.unconsumed_tail:
        raise CaptureError("it is damaged: a block holds more than any does")
    return data


def _header(payload: bytes) -> tuple[Header, Decoder]:
    plain = _plain(payload)
    match plain:
        case {
            "hullwatch": str(version),
            "started_ns": int(started_ns),
            "tier": str(tier),
            "first_sequence": int(first_sequence),
            "container": str() | None as container,
            "classes": classes,
            "host": bytes(host_data),
            "facts": bytes(facts_data),
        }:
            decoder = Decoder(classes)
            host, facts = decoder.decode(host_data), decoder.decode(facts_data)
            if not isinstance(host, HostBaseline) or not isinstance(facts, HostFacts) or tier not in set(Tier):
                raise CaptureError("its header says nothing of the node")
            beginning = plain.get("beginning", 0)  # one that began with an empty state has none
            if not isinstance(beginning, int) or beginning < 0:
                raise CaptureError("its header is none")
            header = Header(
                hullwatch=version,
                started_ns=started_ns,
                tier=Tier(tier),
                host=host,
                facts=facts,
                first_sequence=first_sequence,
                container=container,
                beginning=beginning,
            )
            return header, decoder
        case _:
            raise CaptureError("its header is none")


def _ending(payload: bytes) -> Ending:
    match _plain(payload):
        case {"events": int(events), "lost": int(lost)}:
            return Ending(events, lost)
        case _:
            raise CaptureError("its end is none")


def _plain(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CaptureError(f"it is damaged: {error}") from error
