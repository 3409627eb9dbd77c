"""Captures for tests: written into memory from given events."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from agent.capture.file import CaptureReader, CaptureWriter, Header
from collectors.events import Event
from detectors.base import Tier
from tests.agent import alerts
from tests.support import build


def header(**overrides: Any) -> Header:
    """Of the node of ``tests.support.build``."""
    parts: dict[str, Any] = {
        "hullwatch": "0.1.0",
        "started_ns": build.NOW_NS,
        "tier": Tier.NETLINK,
        "host": build.host_baseline(),
        "facts": alerts.HOST,
    }
    return Header(**{**parts, **overrides})


def written(events: Iterable[Event], *, is_finished: bool = True, each_in_a_block: bool = False) -> bytes:
    """The bytes of a capture."""
    stream = io.BytesIO()
    writer = CaptureWriter(stream, header())
    for event in events:
        writer.add(event)
        if each_in_a_block:
            writer.flush()
    if is_finished:
        writer.finish()
    else:
        writer.flush()
    return stream.getvalue()


def read(data: bytes) -> tuple[CaptureReader, list[Event]]:
    """A reader that has read everything, and what it read."""
    reader = CaptureReader(io.BytesIO(data))
    return reader, list(reader.events())
