"""One object for many equal values: what the tasks of a container have in common is in memory once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


def flyweight(limit: int) -> Callable[[T], T]:
    """A function that returns the first of equal values; it knows ``limit`` of them, and forgets the least used."""

    @lru_cache(maxsize=limit)
    def first_of(value: T) -> T:
        return value

    return first_of
