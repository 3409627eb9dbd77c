"""What was opened is closed again where the steps that make it of use fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol


class Closeable(Protocol):
    """A socket, a file, or what holds one."""

    def close(self) -> object:
        """Give it back."""


@contextmanager
def closed_on_failure(resource: Closeable) -> Iterator[None]:
    """Close it when the block raises, whatever that is (Ctrl-C too); it stays open when the block gets to its end."""
    with ExitStack() as unless_done:
        unless_done.callback(resource.close)
        yield
        unless_done.pop_all()
