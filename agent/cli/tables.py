"""Tables for a person, as ``kubectl`` has them: no borders, two spaces between columns, the last one gives way.

Laid out here, since rich needs half a second for a thousand rows of eight columns; of it only the widths of characters
are taken. Every cell is made visible here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.text import valid, visible

Span = tuple[str, str]
Cell = str | Sequence[Span]
"""The text of one cell of a table: plain, or in pieces that each have a style (``""`` for none)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``width`` is the most that a cell shows unless ``--no-trunc`` is given.

    ``is_wide`` columns are those of ``-o wide`` alone.
    """

    title: str
    width: int | None = None
    is_wide: bool = False


GAP = 2
_LEAST_WIDTH = 16  # of a last column that the terminal has no room for


_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36"}
"""Select Graphic Rendition (ECMA-48 8.3.117), by the words of a style."""


def render_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, no_trunc: bool, color: bool, width: int | None
) -> str:
    """The table as text, with escapes for colours where ``color`` says so; ``width`` is the terminal's, if any."""
    table = [
        [shown(cell, None if no_trunc else column.width) for cell, column in zip(row, columns, strict=True)]
        for row in rows
    ]
    # A container's name may be a title.
    titles = [shown(((column.title, "bold"),), None if no_trunc else column.width) for column in columns]
    widths = [max([title.width, *(row[index].width for row in table)]) for index, title in enumerate(titles)]
    if width is not None and not no_trunc:
        widths[-1] = min(widths[-1], max(width - sum(widths[:-1]) - GAP * (len(widths) - 1), _LEAST_WIDTH))
    return "".join(f"{line(cells, widths, color=color)}\n" for cells in (titles, *table))


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell as it will stand there: visible text in pieces, and the columns that it takes on a terminal."""

    pieces: tuple[Span, ...]
    width: int


def cell_len(text: str) -> int:
    """The columns that a text takes on a terminal: two for a wide character, none for one that combines."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len as wide_cell_len

    return wide_cell_len(text)


def _cropped(text: str, room: int) -> str:
    """As much of the text as there is room for."""
    if text.isascii():
        return text[:room]
    from rich.cells import set_cell_size

    return set_cell_size(text, room)


def shown(cell: Cell, limit: int | None) -> Shown:
    """A cell made visible, in at most ``limit`` columns."""
    spans = ((cell, ""),) if isinstance(cell, str) else cell
    pieces = tuple((visible(valid(text)), style) for text, style in spans)
    whole = Shown(pieces, sum(cell_len(text) for text, _ in pieces))
    return whole if limit is None else _cut(whole, limit)


def _cut(cell: Shown, limit: int) -> Shown:
    """The cell in at most ``limit`` columns, an ellipsis in place of what was cut off."""
    if cell.width <= limit:
        return cell
    kept: list[Span] = []
    room = limit - 1
    for text, style in cell.pieces:
        part = _cropped(text, room) if cell_len(text) > room else text
        kept.append((part, style))
        room -= cell_len(part)
        if room <= 0:
            break
    last, style = kept.pop()
    return Shown((*kept, (f"{last}\u2026", style)), limit)


def line(cells: Sequence[Shown], widths: Sequence[int], *, color: bool) -> str:
    """A row of a table, each cell cut and filled up to its width."""
    parts: list[str] = []
    for index, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
        kept = _cut(cell, wide)
        parts += (styled(text, style) if color else text for text, style in kept.pieces)
        if index < len(cells) - 1:
            parts.append(" " * (wide - kept.width + GAP))
    return "".join(parts).rstrip(" ")


def whole_line(cell: Cell, *, color: bool) -> str:
    """A line of its own, whole and visible."""
    return "".join(styled(text, style) if color else text for text, style in shown(cell, None).pieces).rstrip(" ")


def styled(text: str, style: str) -> str:
    """``text`` between the escapes of a style (``bold red``)."""
    codes = ";".join(_CODES[word] for word in style.split(" ")) if style else ""
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text
