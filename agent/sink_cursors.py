"""How far each sink of an outbox has come, and what of that the file does not know yet.

Every call is made under the lock that guards the outbox's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agent.outbox_rows import MAX_SEQUENCE


class SinkCursors:
    """By the sink's name: the number of the last alert that it has acknowledged."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._left_at: dict[str, int] = {}  # when the file was lost

    def __getitem__(self, sink: str) -> int:
        return self._at[sink]

    def begin(self, sinks: Iterable[str], known: Mapping[str, int], beginning: int) -> None:
        """The sinks of this run, where the file knows them; one that is new begins at ``beginning``."""
        self._at = {sink: known.get(sink, beginning) for sink in sinks}
        self._unsaved = set(self._at)

    def advance(self, sink: str, sequence: int) -> None:
        """The sink has everything up to ``sequence``; a cursor never goes back by this."""
        if sequence > self._at[sink]:
            self._at[sink] = sequence
            self._unsaved.add(sink)

    @property
    def delivered(self) -> int:
        """What every sink has; without a sink, everything."""
        return min(self._at.values(), default=MAX_SEQUENCE)

    @property
    def unsaved(self) -> dict[str, int]:
        """Those that the file does not know yet; empty when it knows all."""
        return {sink: self._at[sink] for sink in self._unsaved}

    def saved(self, written: Mapping[str, int]) -> None:
        """These are in the file; who has moved on meanwhile is to be written again."""
        self._unsaved -= {sink for sink, sequence in written.items() if self._at[sink] == sequence}

    def lost_file(self) -> None:
        """The file is gone: what sinks take from here on is not out of it."""
        self._left_at = dict(self._at)

    def go_back(self, known: Mapping[str, int], holds: Callable[[int], bool], *, is_new: bool) -> None:
        """There is a file (again), which knows these. Sinks that have not had all of it go back to where they left.

        ``holds`` says whether it has alerts behind a number; ``is_new`` that it took the place of one that was no use.
        """
        for sink, cursor in self._at.items():
            stored = self._left_at.get(sink, known.get(sink, 0 if is_new else cursor))
            if stored < cursor and holds(stored):
                self._at[sink] = stored
        self._unsaved = set(self._at)
