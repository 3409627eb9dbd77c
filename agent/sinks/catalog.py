"""The one list of sinks and formats, and what the configuration makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.config_schema import Config
from agent.formats import ecs
from agent.report import Alert
from agent.sinks.base import Sink
from agent.sinks.stdout import StdoutSink
from detectors.base import Severity

__all__ = ["FORMATS", "Sink", "open_sinks"]

FORMATS: Mapping[str, Callable[[Alert], bytes]] = {"ecs": ecs.encode}


def open_sinks(config: Config) -> tuple[Sink, ...]:
    """The sinks that the configuration asks for."""
    stdout = config.output.stdout
    return (StdoutSink(FORMATS[stdout.format], Severity[stdout.min_severity.upper()]),)
