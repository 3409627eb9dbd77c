"""What stops the agent at its start (``ConfigError``), and what an output meets at run time (``SinkError``)."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration is wrong: in which file and line, at which key, and what was wanted there.

    ``line`` counts from 1 and is ``None`` where the file could not be read; ``key`` is the dotted path of the key.
    """

    def __init__(self, file: str, line: int | None, key: str, problem: str) -> None:
        where = file if line is None else f"{file}:{line}"
        super().__init__(f"{where}: {key}: {problem}" if key else f"{where}: {problem}")
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem


class SinkError(Exception):
    """A sink did not take an alert: nothing says that any of it arrived; the alert is the caller's still."""

    def __init__(self, sink: str, detail: str) -> None:
        super().__init__(f"{sink}: {detail}")
        self.sink = sink
        self.detail = detail
