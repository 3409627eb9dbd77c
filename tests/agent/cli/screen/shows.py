"""What there is to show, for the tests of the screen: pictures of made-up nodes, and events."""

from __future__ import annotations

from typing import Any

from agent.cli.filters import Filter
from agent.cli.node import Look
from agent.cli.screen.layout import render
from agent.cli.screen.of_node import LookSource
from agent.cli.screen.pages import Shown, View
from agent.cli.screen.picture import Picture
from agent.cli.screen.ticker import EventLine, event_line
from agent.config_schema import Config
from tests.support import build


def picture(look: Look, only: Filter | None = None) -> Picture:
    return LookSource(Config(), look, only or Filter(), lambda: build.NOW_NS).take()


def event(number: int, what: str = "sh -c id", container: int = 1) -> EventLine:
    document: dict[str, Any] = {
        "timestamp": f"2026-11-22T04:40:{number % 60:02}.000Z",
        "kind": "exec",
        "container": {"id": build.container_id(container), "name": f"web-{container}"},
        "process": {"pid": 4000 + number, "command_line": what},
    }
    return event_line(number, document)


def text(view: View, shown: Shown, width: int = 80, height: int = 24) -> list[str]:
    return ["".join(part for part, _ in line) for line in render(view, shown, width, height)]
