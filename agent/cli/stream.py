"""Rows that come one after the other: a table whose columns are as wide as was agreed before the first row."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.output import Format, Output, write
from agent.cli.tables import GAP, Cell, Column, line, shown

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
        found = [shown(cell, None) for cell in cells]
        if self._output.no_trunc:
            widths = [*map(max, self._widths, (each.width for each in found)), found[-1].width]
        else:
            widths = [*self._widths, self._rest(found[-1].width)]
        write(line(found, widths, color=self._output.color) + "\n")

    def _rest(self, wanted: int) -> int:
        """What is left for the last column."""
        if self._output.width is None:
            return wanted
        used = sum(self._widths) + GAP * len(self._widths)
        return max(self._output.width - used, _LEAST_WIDTH)
