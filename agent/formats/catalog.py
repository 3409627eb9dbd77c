"""The one list of formats. The outbox keeps the native document; every other format is a rendering of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agent.formats import falco, ocsf
from agent.stored_alert import Render, StoredAlert
from agent.text import visible_line

Record = dict[str, Any]


def _native(document: Record) -> Record:
    return document


RENDERINGS: Mapping[str, Callable[[Record], Record]] = {
    "ecs": _native,
    "falco": falco.render,
    "ocsf": ocsf.render,
}


def record_of(alert: StoredAlert, format_name: str) -> Record:
    """The alert in a format, as an object."""
    document: Record = msgspec.json.decode(alert.document)
    return RENDERINGS[format_name](document)


def _stored_line(alert: StoredAlert) -> bytes:
    """The document as it was raised, byte for byte."""
    return alert.document


def _rendered_line(format_name: str) -> Render:
    def line(alert: StoredAlert) -> bytes:
        return visible_line(msgspec.json.encode(record_of(alert, format_name)))

    return line


FORMATS: Mapping[str, Render] = {
    name: _stored_line if rendering is _native else _rendered_line(name) for name, rendering in RENDERINGS.items()
}
"""What each format makes of an alert: one line of JSON without its line feed, safe on a terminal."""
