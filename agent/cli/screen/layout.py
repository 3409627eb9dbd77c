"""The screen as lines that fit the terminal: title, heading, the page, what is urgent, and the keys. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from agent.cli import told
from agent.cli.output import BAD
from agent.cli.screen.cells import Line, cells, fit, used, wrapped
from agent.cli.screen.pages import OF_CONTAINER, Page, Shown, View
from agent.cli.screen.picture import OUT, Card
from agent.cli.screen.rows import Row, card_of, event_row, rows, story_of
from agent.cli.story import Story

LEAST_WIDTH, LEAST_HEIGHT = 40, 8
SELECTED = "reverse"
_CHROME = 4  # title, heading, message and keys
_DETAIL = 3  # lines in which the row under the cursor is shown whole
_PANE = 6  # lines of the pane of live events, its heading among them
_ROOM_FOR_PANE = 18

_HEADINGS = {
    Page.CONTAINERS: f"{'NOW':9}{'WORST':10}{'CONTAINER':23}{'PROCS':>5} {'WAYS':>4} {'FOUND':>5}  HOST",
    Page.INCIDENTS: f"{'START':13}{'SEVERITY':10}{'STATE':6}{'CONTAINER':23}{'FOUND':>5}  WHY",
    Page.EVENTS: f"{'TIME':10}{'EVENT':15}{'CONTAINER':16}{'PID':8}WHAT",
    Page.DOINGS: f"{'TIME':10}{'EVENT':15}{'PID':8}WHAT",
    Page.PROCESSES: f"{'NOW':6}{'PID':8}{'USER':6}{'HOST':24}COMMAND",
    Page.FINDINGS: f"{'TIME':10}{'SEVERITY':10}{'RULE':8}{'PID':8}FINDING",
    Page.STORY: f"{'TIME':10}{'SEVERITY':10}{'RULE':8}{'PID':8}WHAT HAPPENED",
    Page.WAYS: "TAKES, BY WHAT, AND THE STEPS",
    Page.HELP: f"{'KEY':14}WHAT IT DOES",
}
_COMMON = (("f", "filter"), ("/", "find"), ("p", "pause"), ("?", "keys"))
_KEYS: dict[Page, tuple[tuple[str, str], ...]] = {
    Page.CONTAINERS: (("q", "quit"), ("2", "incidents"), ("3", "events"), ("enter", "open"), *_COMMON),
    Page.INCIDENTS: (("q", "quit"), ("1", "containers"), ("3", "events"), ("enter", "open"), *_COMMON),
    Page.EVENTS: (("q", "quit"), ("1", "containers"), ("2", "incidents"), *_COMMON),
    Page.FINDINGS: (("q", "quit"), ("esc", "back"), ("tab", "ways out"), ("enter", "incident"), *_COMMON),
    Page.PROCESSES: (("q", "quit"), ("esc", "back"), ("tab", "findings"), *_COMMON),
    Page.WAYS: (("q", "quit"), ("esc", "back"), ("tab", "doings"), *_COMMON),
    Page.DOINGS: (("q", "quit"), ("esc", "back"), ("tab", "processes"), *_COMMON),
    Page.STORY: (("q", "quit"), ("esc", "back"), ("1", "containers"), *_COMMON),
    Page.HELP: (("q", "quit"), ("esc", "back")),
}


def render(view: View, shown: Shown, width: int, height: int) -> list[Line]:
    """The whole screen: ``height`` lines of at most ``width`` cells."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        why = f"terminal too small: {width}x{height}, wanted {LEAST_WIDTH}x{LEAST_HEIGHT}"
        return wrapped(((why, ""),), width, height)
    body = rows(view, shown)
    cursor = min(view.cursor, max(len(body) - 1, 0))
    below = _below(view, shown, body[cursor] if body else None, width, height)
    room = height - _CHROME - len(below)
    first = max(0, min(cursor - room // 2, len(body) - room))
    lines = [fit(_title(view, shown), width), fit(((_HEADINGS[view.page], "bold"),), width)]
    for index in range(first, first + room):
        line = fit(body[index].line, width) if index < len(body) else ()
        lines.append(_selected(line, width) if body and index == cursor else line)
    lines += below
    lines.append(fit(((_message(view, shown, body), "yellow"),), width))
    lines.append(_keys(view, shown, width))
    return lines


def _below(view: View, shown: Shown, row: Row | None, width: int, height: int) -> list[Line]:
    """What stands below the rows: live events under the containers, elsewhere the row under the cursor, whole."""
    if view.page is Page.CONTAINERS:
        if not view.has_pane or height < _ROOM_FOR_PANE:
            return []
        latest = shown.events[1 - _PANE :]
        heading = "LIVE EVENTS" + ("" if latest else ": none yet")
        lines = [fit(((heading, "bold"),), width)]
        lines += (fit(event_row(each, with_container=True).line, width) for each in latest)
        return lines + [()] * (_PANE - len(lines))
    if view.page is Page.HELP or height < LEAST_HEIGHT + _DETAIL:
        return []
    return wrapped(row.line if row is not None else (), width, _DETAIL)


def _title(view: View, shown: Shown) -> Line:
    picture = shown.picture
    name = "" if view.page is Page.STORY or view.page in OF_CONTAINER else "hullwatch "
    clock = time.strftime("%H:%M:%S", time.gmtime(picture.at_ns // 1_000_000_000))
    when: Line = ((name + clock, "bold"),)
    if view.is_paused:
        when = (*when, (" PAUSED", BAD))
    if view.page is Page.STORY:
        return (*when, *_of_story(story_of(view, shown)))
    if view.page in OF_CONTAINER:
        return (*when, *_of_container(view.page, card_of(view, shown)))
    return (*when, *_of_node(shown))


def _of_story(story: Story | None) -> Line:
    if story is None:
        return (("  this incident is no longer known", "bold"),)
    whose = told.called(story.about) if story.container_id else "the node"
    state = "open" if story.is_open else "over"
    what = f"  incident {story.id[: told.SHORT]}, {state}, {_counted(story.findings, 'finding')}, of {whose}"
    return ((what, "bold"),)


def _of_container(page: Page, card: Card | None) -> Line:
    if card is None:
        return (("  this container is gone", "bold"),)
    name = f"  {page.value} of {card.name} ({card.id[:12]}, {card.image})"
    return (*(((f"  {OUT}", BAD),) if card.standing == OUT else ()), (name, "bold"))


def _of_node(shown: Shown) -> Line:
    picture = shown.picture
    out = sum(card.standing == OUT for card in picture.cards)
    is_open = sum(each.is_open for each in picture.stories)
    return (
        (f"  {_counted(len(picture.cards), 'container')}, ", "bold"),
        (f"{out} out", BAD if out else "bold"),
        (f", {_counted(is_open, 'incident')}", "bold"),
        (f"  {picture.origin}", ""),
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _message(view: View, shown: Shown, body: Sequence[Row]) -> str:
    """One line for whatever is most urgent: what is being typed, trouble, the filter, what could not be seen."""
    if view.typing:
        return f"{'filter' if view.typing == 'f' else 'find'}: {view.typed}_"
    if shown.message:
        return shown.message
    if not body:
        return "nothing to show" + (f" for the filter {view.filter}" if view.filter else "")
    if view.filter:
        return f"filter: {view.filter} (esc clears it)"
    picture = shown.picture
    if picture.of_node:
        worst = picture.of_node[0]
        return f"of the node: {worst.rule} {worst.text}"
    return picture.unseen[0] if picture.unseen else ""


def _keys(view: View, shown: Shown, width: int) -> Line:
    """The keys of the page, as many as there is room for; the last ones, which tell of all others, always."""
    keys = [*_KEYS[view.page]]
    if shown.picture.can_play and view.page is not Page.HELP:
        keys[-1:-1] = [("+-", "speed")]
    while len(keys) > 2 and sum(cells(f"{key} {word}  ") for key, word in keys) - 2 > width:  # noqa: PLR2004
        del keys[-2]
    return fit(tuple(_spans(keys)), width)


def _spans(keys: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for index, (key, word) in enumerate(keys):
        yield ("  " if index else "", "")
        yield (key, f"bold {SELECTED}")
        yield (f" {word}", "")


def _selected(line: Line, width: int) -> Line:
    """The row under the cursor, in reverse to the edge; what was red stays red."""
    return (*((text, f"{style} {SELECTED}".strip()) for text, style in line), (" " * (width - used(line)), SELECTED))
