"""What stops the agent at its start (``ConfigError``), and what an output meets at run time (``SinkError``)."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration is wrong: in which file and line, at which key, and what was wanted there.

    ``line`` counts from 1 and is ``None`` where the file could not be read; ``key`` is the dotted path of the key.
    """

    def __init__(self, file: str, line: int | None, key: str, problem: str) -> None:
        where = file if line is None else f"{file}:{line}"
        super().__init__(": ".join(each for each in (where, key, problem) if each))
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem


class SinkError(Exception):
    """A sink did not take a batch: nothing says that any of it arrived; the alerts are the caller's still.

    ``retry_after_seconds`` is the receiver's word on when to come again. ``rejected`` says that the receiver will
    never take this batch, however often it is sent.
    """

    def __init__(
        self, sink: str, detail: str, retry_after_seconds: float | None = None, *, rejected: bool = False
    ) -> None:
        super().__init__(f"{sink}: {detail}")
        self.sink = sink
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.rejected = rejected


class SinkGone(SinkError):
    """The receiver went away for good: nobody reads standard output any more."""
