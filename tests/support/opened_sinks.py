"""Sinks that a test opened, and that its end closes, however it ended."""

from __future__ import annotations

from typing import TypeVar

from agent.sinks.base import Sink

Opened = TypeVar("Opened", bound=Sink)

_opened: list[Sink] = []


def opened(sink: Opened) -> Opened:
    """The sink, which ``close_all`` closes."""
    _opened.append(sink)
    return sink


def close_all() -> None:
    """Close them."""
    while _opened:
        _opened.pop().close()
