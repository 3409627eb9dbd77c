"""Lines of a screen fitted to its cells. Pure.

Every text that comes from the node is made visible here, and cut by the cells that it takes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from agent.cli.tables import Span
from agent.text import valid, visible

Line = tuple[Span, ...]


def fit(line: Line, width: int) -> Line:
    """The spans, visible, cut to ``width`` cells."""
    found: list[Span] = []
    left = width
    for raw, style in line:
        text = visible(valid(raw))
        if cells(text) > left:
            text = cut(text, left)
        if text:
            found.append((text, style))
            left -= cells(text)
        if left <= 0:
            break
    return tuple(found)


def padded(spans: Iterable[Span], width: int) -> Line:
    """Spans cut and filled to ``width`` cells, the last of which stays blank."""
    line = fit(tuple(spans), width - 1)
    return (*line, (" " * (width - used(line)), ""))


def wrapped(line: Line, width: int, height: int) -> list[Line]:
    """A line on as many lines as it needs, and no more than there are; blank ones fill them up."""
    text = " ".join(visible(valid("".join(text for text, _ in line))).split())
    found: list[Line] = []
    while text and len(found) < height:
        part = cut(text, width)
        if len(part) < len(text) and " " in part[1:]:
            part = part[: part.rindex(" ") + 1]
        found.append(((part, ""),))
        text = text[len(part) :]
    return [*found, *[()] * (height - len(found))]


def used(line: Line) -> int:
    """How many cells a visible line takes."""
    return sum(cells(text) for text, _ in line)


def cells(text: str) -> int:
    """How many cells of a terminal the text takes (Unicode Standard Annex 11)."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """As much of a visible text as fits."""
    taken = 0
    for index, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return text[:index]
    return text


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
