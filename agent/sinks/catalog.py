"""The one list of sinks, and what the configuration makes of it."""

from __future__ import annotations

from collections.abc import Callable

from agent.config_schema import Config
from agent.formats.catalog import FORMATS
from agent.sinks.base import Sink
from agent.sinks.stdout import StdoutSink
from detectors.base import Severity

__all__ = ["Sink", "open_sinks", "severity"]


def severity(name: str) -> Severity:
    """The severity that a ``min_severity`` of the configuration names."""
    return Severity[name.upper()]


def _stdout(config: Config) -> tuple[Sink, ...]:
    stdout = config.output.stdout
    if not stdout.enabled:
        return ()
    return (StdoutSink(FORMATS[stdout.format], severity(stdout.min_severity)),)


OPENERS: tuple[Callable[[Config], tuple[Sink, ...]], ...] = (_stdout,)
"""One function a kind of sink; each gives the sinks that the configuration asks for, or raises ``ConfigError``."""


def open_sinks(config: Config) -> tuple[Sink, ...]:
    """The sinks that the configuration asks for."""
    return tuple(sink for opened in OPENERS for sink in opened(config))
