"""The agent's own log: structlog on stderr, one record a line, JSON unless a terminal looks.

Every record has ``event``, ``level``, ``timestamp`` and ``logger``. What a container named may stand in any value, so
every text is made valid, and what a terminal would obey is escaped. A stderr that is closed or full costs the record
(counted in ``lost``) and nothing else. What libraries say through ``logging`` is written the same way, from the level
warning on.

Concurrency: any thread may log; a record is written in one call under a lock.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

from agent.config_schema import LogConfig
from agent.text import clipped, to_text, valid, visible, visible_json

MAX_TEXT = 8192
MAX_DEPTH = 6

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

EventDict = MutableMapping[str, Any]
Processor = Callable[[Any, str, EventDict], Mapping[str, Any] | str | bytes | bytearray | tuple[Any, ...]]


class LogStream:
    """Where records are written. ``lost`` counts the records that the stream did not take."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = 0

    def write(self, record: str) -> None:
        """Write one record as one line; never raises what a closed, full or broken stream raises."""
        with self._lock:
            try:
                if self._stream is None:  # no stderr at all: Python started with descriptor 2 closed
                    self.lost += 1
                    return
                self._stream.write(record + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                self.lost += 1

    def logger(self, name: str = "hullwatch", *_: Any) -> _NamedLogger:
        """The factory that structlog calls with what ``structlog.get_logger`` was given: the logger's name."""
        return _NamedLogger(name, self)


class _NamedLogger:
    """What structlog hands rendered records to; ``name`` is in every record as ``logger``."""

    def __init__(self, name: str, stream: LogStream) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = self.log = stream.write


def configure_log(
    config: LogConfig,
    *,
    environment: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
) -> LogStream:
    """Set up the log of this program, also anew (SIGHUP). Loggers are had by ``structlog.get_logger(name)``.

    ``NO_COLOR`` (https://no-color.org) is heeded. ``environment`` and ``stream`` are the process' own by default.
    """
    environment = os.environ if environment is None else environment
    target = sys.stderr if stream is None else stream
    is_terminal = _is_terminal(target)
    as_json = config.format == "json" or (config.format == "auto" and not is_terminal)
    log_stream = LogStream(target)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            plain,
            *(
                [_json]
                if as_json
                else [_on_one_line, _console(colours=is_terminal and not environment.get("NO_COLOR"))]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[config.level]),
        logger_factory=log_stream.logger,
        cache_logger_on_first_use=False,
    )
    _take_over_logging()
    return log_stream


def plain(logger: Any, _method: str, record: EventDict) -> EventDict:
    """A processor: all that a record holds as valid, bounded text, numbers and lists; and the logger's name."""
    named = {**record, "logger": getattr(logger, "name", "hullwatch")}
    return {valid(str(key)): _plain(value, MAX_DEPTH) for key, value in named.items()}


def _plain(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 64 else str(value)
        case bytes():
            return clipped(to_text(value), MAX_TEXT)
        case Mapping() if depth:
            return {valid(str(key)): _plain(each, depth - 1) for key, each in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            return [_plain(each, depth - 1) for each in value]
        case _:
            return clipped(valid(str(value)), MAX_TEXT)


def _json(_logger: Any, _method: str, record: EventDict) -> str:
    """``event``, ``level`` and ``timestamp`` first, where the eye looks."""
    first = {key: record[key] for key in ("timestamp", "level", "event") if key in record}
    return visible_json(msgspec.json.encode({**first, **record}).decode("utf-8"))


def _on_one_line(_logger: Any, _method: str, record: EventDict) -> EventDict:
    """For people: every text visible, and a traceback as a value like any other, since a record is a line."""
    if "exception" in record:
        record["traceback"] = record.pop("exception")
    return {visible(key): _seen(value) for key, value in record.items()}


def _seen(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else visible(str(value))


def _console(*, colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):  # closed
        return False


def _take_over_logging() -> None:
    """Libraries' records go through a handler that makes records of ours of them."""
    handler = logging.Handler()
    handler.emit = _forward  # type: ignore[method-assign]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


def _forward(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except (TypeError, ValueError):  # a library's wrong format string
        message = str(record.msg)
    structlog.get_logger(record.name).log(record.levelno, message)
