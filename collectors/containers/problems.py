"""What was wrong with bundles and state files: each problem once, and a count of all. Not thread-safe."""

from __future__ import annotations

MAX_PROBLEMS = 256

Problem = tuple[str, str]
"""(source, why)."""


class Problems:
    """Remembers the latest problems; ``count`` is how often there was one, ``forgotten`` how many were dropped."""

    def __init__(self, limit: int = MAX_PROBLEMS) -> None:
        self._limit = limit
        self._known: dict[Problem, None] = {}
        self._untold: list[Problem] = []
        self.count = 0
        self.forgotten = 0

    def note(self, problem: Problem) -> None:
        """Counts a problem, and remembers it if it is new."""
        self.count += 1
        if problem in self._known:
            return
        self._known[problem] = None
        self._untold.append(problem)
        del self._untold[: -self._limit]
        if len(self._known) > self._limit:
            self._known.pop(next(iter(self._known)))
            self.forgotten += 1

    def known(self) -> tuple[Problem, ...]:
        """All that are remembered, the latest last."""
        return tuple(self._known)

    def take(self) -> tuple[Problem, ...]:
        """Those that were not taken before."""
        taken, self._untold = tuple(self._untold), []
        return taken
