"""What is on the screen: a page, a cursor, a filter; how keys change that, and the lines that it makes. Pure.

The terminal is another module's. Every text that comes from the node is made visible here, and fitted to the width by
the cells that it takes.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.cli.screen.picture import Card, Picture, Spans, severity_span
from agent.text import valid, visible

Line = Spans
LEAST_WIDTH, LEAST_HEIGHT = 40, 8
SELECTED = "reverse"
_CHROME = 4  # title, heading, message and keys
_DETAIL = 4  # lines in which the row under the cursor is shown whole, on the pages of a container
_MAX_TYPED = 64


class Page(StrEnum):
    """The pages; the last three are of one container."""

    CONTAINERS = "containers"
    PROCESSES = "processes"
    FINDINGS = "findings"
    WAYS = "ways out"


OF_CONTAINER = (Page.PROCESSES, Page.FINDINGS, Page.WAYS)


@dataclass(frozen=True, slots=True)
class View:
    """Where the person is. ``chosen`` is the id of the open container; ``typing`` is the key that asks for a text."""

    page: Page = Page.CONTAINERS
    cursor: int = 0
    chosen: str = ""
    filter: str = ""
    search: str = ""
    typing: str = ""
    typed: str = ""
    is_paused: bool = False
    is_over: bool = False


def press(view: View, key: str, picture: Picture) -> View:  # noqa: PLR0911 (one return a key)
    """The view after a key: a character, or ``up``, ``down``, ``page_up``, ``enter``, ``escape``, ..."""
    if view.typing:
        return _type(view, key, picture)
    last = max(len(rows(view, picture)) - 1, 0)
    match key:
        case "q":
            return replace(view, is_over=True)
        case "p" | " ":
            return replace(view, is_paused=not view.is_paused)
        case "f" | "/":
            return replace(view, typing=key, typed=view.filter if key == "f" else "")
        case "n":
            return _found(view, picture, view.cursor + 1)
        case "tab" if view.page in OF_CONTAINER:
            following = OF_CONTAINER[(OF_CONTAINER.index(view.page) + 1) % len(OF_CONTAINER)]
            return replace(view, page=following, cursor=0)
        case "enter" if view.page is Page.CONTAINERS:
            return _open(view, picture)
        case "escape" | "left":
            return _back(view, picture)
        case _:
            moved = _moved(key, min(view.cursor, last), last)
            return view if moved is None else replace(view, cursor=moved)


def _moved(key: str, cursor: int, last: int) -> int | None:
    """Where the cursor goes; ``None`` for a key that does not move it."""
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page_up": -10, "page_down": 10, "home": -last, "end": last}
    return max(0, min(last, cursor + steps[key])) if key in steps else None


def _open(view: View, picture: Picture) -> View:
    cards = shown(view, picture)
    if not cards:
        return view
    card = cards[min(view.cursor, len(cards) - 1)]
    return replace(view, page=Page.FINDINGS if card.findings else Page.PROCESSES, chosen=card.id, cursor=0)


def _back(view: View, picture: Picture) -> View:
    if view.page is Page.CONTAINERS:
        return replace(view, filter="", cursor=0)
    ids = [card.id for card in shown(view, picture)]
    return replace(view, page=Page.CONTAINERS, chosen="", cursor=ids.index(view.chosen) if view.chosen in ids else 0)


def _type(view: View, key: str, picture: Picture) -> View:
    match key:
        case "enter" if view.typing == "f":
            return replace(view, filter=view.typed, typing="", cursor=0)
        case "enter":
            return _found(replace(view, search=view.typed, typing=""), picture, view.cursor)
        case "escape":
            return replace(view, typing="", typed="")
        case "backspace":
            return replace(view, typed=view.typed[:-1])
        case _ if len(key) == 1 and key.isprintable():
            return replace(view, typed=(view.typed + key)[:_MAX_TYPED])
        case _:
            return view


def _found(view: View, picture: Picture, start: int) -> View:
    """The next row, from ``start`` on and around, in which the search is found."""
    texts = ["".join(text for text, _ in row).lower() for row in rows(view, picture)]
    wanted = view.search.lower()
    for index in (*range(start, len(texts)), *range(min(start, len(texts)))):
        if wanted and wanted in texts[index]:
            return replace(view, cursor=index)
    return view


def shown(view: View, picture: Picture) -> tuple[Card, ...]:
    """The containers that the filter leaves: by name, image and id."""
    wanted = view.filter.lower()
    return tuple(card for card in picture.cards if wanted in f"{card.name} {card.image} {card.id}".lower())


def rows(view: View, picture: Picture) -> list[Line]:
    """The rows of the page, untrimmed."""
    if view.page is Page.CONTAINERS:
        return [_card_row(card) for card in shown(view, picture)]
    card = next((each for each in picture.cards if each.id == view.chosen), None)
    if card is None:
        return []
    match view.page:
        case Page.PROCESSES:
            return [
                ((f"{each.pid:<9}{each.user:<7}", ""), *_padded(each.host, 24), (each.command, ""))
                for each in card.processes
            ]
        case Page.FINDINGS:
            return [
                (*_padded((severity_span(each.severity),), 10), (f"{each.rule:<8}{each.pid or '-':<9}{each.text}", ""))
                for each in card.findings
            ]
        case _:
            return [((each, ""),) for each in card.ways]


def _card_row(card: Card) -> Line:
    name = card.name if card.name != "-" else card.id[:12]
    counts = f"{len(card.processes):>5} {len(card.ways):>5} {len(card.findings):>5}  "
    return (
        ("OUT " if card.is_out else "    ", "bold red"),
        *_padded((severity_span(card.worst),), 10),
        *_padded(((name, ""),), 26),
        (counts, ""),
        *card.host,
    )


_HEADINGS = {
    Page.CONTAINERS: f"{'':4}{'WORST':10}{'CONTAINER':26}{'PROCS':>5} {'WAYS':>5} {'FOUND':>5}  HOST",
    Page.PROCESSES: f"{'PID':9}{'USER':7}{'HOST':24}COMMAND",
    Page.FINDINGS: f"{'SEVERITY':10}{'RULE':8}{'PID':9}FINDING",
    Page.WAYS: "TAKES, BY WHAT, AND THE STEPS",
}
_KEYS = {
    Page.CONTAINERS: "q quit  enter open  f filter  / search  n next  p pause  r look now",
    Page.PROCESSES: "q quit  esc back  tab processes/findings/ways out  / search  n next  p pause",
}


def render(view: View, picture: Picture, width: int, height: int, message: str = "") -> list[Line]:
    """The whole screen: ``height`` lines of at most ``width`` cells."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return [fit((("terminal too small", ""),), width)] + [() for _ in range(height - 1)]
    body = rows(view, picture)
    detail = _DETAIL if view.page in OF_CONTAINER and height >= LEAST_HEIGHT + _DETAIL else 0
    room = height - _CHROME - detail
    cursor = min(view.cursor, max(len(body) - 1, 0))
    first = max(0, min(cursor - room // 2, len(body) - room))
    lines = [fit(_title(view, picture), width), fit(((_HEADINGS[view.page], "bold"),), width)]
    for index in range(first, first + room):
        if index >= len(body):
            lines.append(())
        elif index == cursor:
            lines.append(_selected(fit(body[index], width), width))
        else:
            lines.append(fit(body[index], width))
    lines += _whole(body[cursor] if body else (), width, detail)
    lines.append(fit(((_message(view, picture, body, message), "yellow"),), width))
    lines.append(fit(((_KEYS.get(view.page, _KEYS[Page.PROCESSES]), SELECTED),), width))
    return lines


def _whole(line: Line, width: int, height: int) -> list[Line]:
    """A row on as many lines as it needs, and no more than there are."""
    text = " ".join(visible(valid("".join(text for text, _ in line))).split())
    found: list[Line] = []
    while text and len(found) < height:
        part = _cut(text, width)
        if len(part) < len(text) and " " in part[1:]:
            part = part[: part.rindex(" ") + 1]
        found.append(((part, ""),))
        text = text[len(part) :]
    return [*found, *[()] * (height - len(found))]


def _title(view: View, picture: Picture) -> Line:
    when = time.strftime("%H:%M:%S", time.gmtime(picture.at_ns // 1_000_000_000)) + " UTC"
    out = sum(card.is_out for card in picture.cards)
    state: list[tuple[str, str]] = [("  PAUSED", "bold red")] if view.is_paused else []
    if view.page is not Page.CONTAINERS:
        card = next((each for each in picture.cards if each.id == view.chosen), None)
        name = f"{card.name} ({card.id[:12]}, {card.image})" if card is not None else "this container is gone"
        return ((f"{view.page.value} of {name}  {when}", "bold"), *state)
    told = f"hullwatch  {when}  {len(picture.cards)} containers, "
    return ((told, "bold"), (f"{out} out", "bold red" if out else "bold"), *state)


def _message(view: View, picture: Picture, body: Sequence[Line], message: str) -> str:
    """One line for whatever is most urgent: what is being typed, trouble, the filter, what could not be seen."""
    if view.typing:
        return f"{'filter' if view.typing == 'f' else 'search'}: {view.typed}_"
    if message:
        return message
    if not body:
        return "nothing to show" + (f" for the filter {view.filter}" if view.filter else "")
    if view.filter and view.page is Page.CONTAINERS:
        return f"filter: {view.filter} (esc clears it)"
    if picture.of_node:
        worst = picture.of_node[0]
        return f"of the node: {worst.rule} {worst.text}"
    return picture.unseen[0] if picture.unseen else ""


def _selected(line: Line, width: int) -> Line:
    """The row under the cursor, in reverse to the edge; what was red stays red."""
    used = sum(cells(text) for text, _ in line)
    return (*((text, f"{style} {SELECTED}".strip()) for text, style in line), (" " * (width - used), SELECTED))


def _padded(spans: Iterable[tuple[str, str]], width: int) -> Line:
    """Spans cut and filled to ``width`` cells, the last of which stays blank."""
    line = fit(tuple(spans), width - 1)
    return (*line, (" " * (width - sum(cells(text) for text, _ in line)), ""))


def fit(line: Line, width: int) -> Line:
    """The spans, visible, cut to ``width`` cells."""
    found: list[tuple[str, str]] = []
    left = width
    for raw, style in line:
        text = visible(valid(raw))
        if cells(text) > left:
            text = _cut(text, left)
        if text:
            found.append((text, style))
            left -= cells(text)
        if left <= 0:
            break
    return tuple(found)


def cells(text: str) -> int:
    """How many cells of a terminal the text takes (Unicode Standard Annex 11)."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _cut(text: str, width: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return text[:index]
    return text
