"""The pages of the screen, where the person is on them, and what there is to show. Values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.cli.screen.picture import Picture
from agent.cli.screen.ticker import EventLine


class Page(StrEnum):
    """The pages: three of the node, four of one container, one of an incident, and the keys."""

    CONTAINERS = "containers"
    INCIDENTS = "incidents"
    EVENTS = "live events"
    PROCESSES = "processes"
    FINDINGS = "findings"
    WAYS = "ways out"
    DOINGS = "doings"
    STORY = "story"
    HELP = "keys"


OF_NODE = {"1": Page.CONTAINERS, "2": Page.INCIDENTS, "3": Page.EVENTS}
OF_CONTAINER = (Page.PROCESSES, Page.FINDINGS, Page.WAYS, Page.DOINGS)
GROWING = frozenset({Page.EVENTS, Page.DOINGS})
"""Pages whose last line is the newest: who stands on it goes along."""
NEWS_ON_TOP = frozenset({Page.CONTAINERS, Page.INCIDENTS})
"""Pages whose first line is the worst or the latest: who stands on it stays at the top."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to show at one moment."""

    picture: Picture
    events: tuple[EventLine, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Where the person is. ``chosen`` is the id of the open container or incident.

    ``back`` is where ``escape`` leads: views of other pages. ``typing`` is the key that asks for a text.
    """

    page: Page = Page.CONTAINERS
    cursor: int = 0
    chosen: str = ""
    back: tuple[View, ...] = ()
    filter: str = ""
    search: str = ""
    typing: str = ""
    typed: str = ""
    has_pane: bool = True
    is_paused: bool = False
    is_over: bool = False
