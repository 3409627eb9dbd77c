"""A token bucket: how often something that others can provoke is done, whatever they do. Pure."""

from __future__ import annotations


class Tokens:
    """``a_second`` tokens are earned each second, up to ``at_once``, with which it begins."""

    def __init__(self, a_second: int, at_once: int, now_ns: int) -> None:
        self._a_second = a_second
        self._at_once = float(at_once)
        self._left = self._at_once
        self._counted_ns = now_ns

    def take(self, now_ns: int) -> bool:
        """Take one, if there is one. A clock that was set back earns nothing."""
        earned = max(0, now_ns - self._counted_ns) * self._a_second / 1e9
        self._left = min(self._at_once, self._left + earned)
        self._counted_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True
