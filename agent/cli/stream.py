"""Rows that come one after the other: a table whose columns are as wide as was agreed before the first row."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.output import Format, Output, write
from agent.cli.tables import Cell, Column, styled
from agent.text import clipped, valid, visible

_GAP = "  "
_LEAST_WIDTH = 16


class Stream:
    """A table that grows. ``widths`` are of all columns but the last, which takes what the terminal leaves."""

    def __init__(self, columns: Sequence[Column], widths: Sequence[int], output: Output) -> None:
        is_wide = output.format is Format.WIDE
        self._shown = [index for index, column in enumerate(columns) if is_wide or not column.is_wide]
        self._titles = [columns[index].title for index in self._shown]
        self._widths = [widths[index] for index in self._shown if index < len(widths)]
        self._output = output

    def heading(self) -> None:
        """The titles."""
        self._write([((title, "bold"),) for title in self._titles])

    def row(self, cells: Sequence[Cell]) -> None:
        """One row."""
        self._write([cells[index] for index in self._shown])

    def _write(self, cells: Sequence[Cell]) -> None:
        parts: list[str] = []
        used = 0
        for index, cell in enumerate(cells):
            text, style = _joined(cell)
            is_last = index == len(cells) - 1
            limit = self._limit(index, used, is_last=is_last)
            shown = text if limit is None else clipped(text, limit)
            padding = "" if is_last else " " * max(0, self._widths[index] - len(shown))
            used += len(shown) + len(padding) + len(_GAP)
            parts.append(styled(shown, style) + padding if self._output.color else shown + padding)
        write(_GAP.join(parts).rstrip(" ") + "\n")

    def _limit(self, index: int, used: int, *, is_last: bool) -> int | None:
        if self._output.no_trunc:
            return None
        if not is_last:
            return self._widths[index]
        return None if self._output.width is None else max(self._output.width - used, _LEAST_WIDTH)


def _joined(cell: Cell) -> tuple[str, str]:
    """The text of a cell, visible, and its first style."""
    spans = ((cell, ""),) if isinstance(cell, str) else cell
    style = next((style for _, style in spans if style), "")
    return "".join(visible(valid(text)) for text, _ in spans), style
