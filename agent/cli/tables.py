"""Tables for a person, as ``kubectl`` has them: no borders, two spaces between columns, the last one gives way.

rich lays them out and is imported when the first one is drawn. Every cell is made visible here.
"""

from __future__ import annotations

import io
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


_GAP = 2
_LEAST_WIDTH = 16  # of a last column that the terminal has no room for


def render_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, no_trunc: bool, color: bool, width: int | None
) -> str:
    """The table as text, with escapes for colours where ``color`` says so; ``width`` is the terminal's, if any."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def text_of(cell: Cell, limit: int | None) -> Text:
        spans = ((cell, ""),) if isinstance(cell, str) else cell
        text = Text(no_wrap=True)
        for piece, style in spans:
            text.append(visible(valid(piece)), style or None)
        if limit is not None and not no_trunc:
            text.truncate(limit, overflow="ellipsis")
        return text

    cells = [[text_of(cell, column.width) for cell, column in zip(row, columns, strict=True)] for row in rows]
    titles = [text_of(column.title, column.width) for column in columns]  # a container's name may be one
    widths = [max([title.cell_len, *(row[index].cell_len for row in cells)]) for index, title in enumerate(titles)]
    if width is not None and not no_trunc:
        widths[-1] = min(widths[-1], max(width - sum(widths[:-1]) - _GAP * (len(widths) - 1), _LEAST_WIDTH))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", highlight=False)
    for title, wide in zip(titles, widths, strict=True):
        table.add_column(title, width=wide, no_wrap=True, overflow="ellipsis")
    for row in cells:
        table.add_row(*row)
    out = io.StringIO()
    console = Console(
        file=out,
        width=sum(widths) + _GAP * len(widths) + 1,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    console.print(table)
    return "".join(f"{line.rstrip(' ')}\n" for line in out.getvalue().removesuffix("\n").split("\n"))
