"""The one list of sinks, and what the configuration makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.config_schema import Config
from agent.errors import ConfigError, SinkError
from agent.formats.catalog import FORMATS
from agent.output_schema import (
    AnySinkConfig,
    ForwardConfig,
    HttpConfig,
    KubernetesConfig,
    OtlpConfig,
    SyslogConfig,
)
from agent.sinks.base import Sink
from agent.sinks.file import FileSink
from agent.sinks.journald import JournaldSink
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


def _file(config: Config) -> tuple[Sink, ...]:
    file = config.output.file
    if file.path is None:
        return ()
    sink = FileSink(
        Path(file.path),
        FORMATS[file.format],
        severity(file.min_severity),
        max_bytes=file.max_bytes,
        rotate_seconds=file.rotate_seconds,
        keep=file.keep,
        clock_ns=time.time_ns,
    )
    return (sink,)


def _journald(config: Config) -> tuple[Sink, ...]:
    journald = config.output.journald
    if not journald.enabled:
        return ()
    return (JournaldSink(journald.socket, FORMATS[journald.format], severity(journald.min_severity)),)


def _receivers(config: Config) -> tuple[Sink, ...]:
    """The entries of ``output.sinks``; a file of theirs that cannot be used stops the agent here."""
    found = []
    for index, entry in enumerate(config.output.sinks):
        receiver = _receiver(entry)
        try:
            receiver.check()
        except SinkError as error:
            raise ConfigError("", None, f"output.sinks[{index}]", str(error)) from error
        found.append(receiver)
    return tuple(found)


class _Receiver(Sink, Protocol):
    def check(self) -> None:
        """Raise ``SinkError`` where a file that the sink needs cannot be used."""


def _receiver(entry: AnySinkConfig) -> _Receiver:
    """The sink of an entry; the libraries of those that nobody wants are not loaded."""
    match entry:
        case ForwardConfig():
            from agent.sinks.forward import ForwardSink

            return ForwardSink(entry)
        case HttpConfig():
            from agent.sinks.http import HttpSink

            return HttpSink(entry)
        case OtlpConfig():
            from agent.sinks.otlp import OtlpSink

            return OtlpSink(entry)
        case SyslogConfig():
            from agent.sinks.syslog import SyslogSink

            return SyslogSink(entry)
        case KubernetesConfig():
            from agent.sinks.kubernetes import KubernetesSink

            return KubernetesSink(entry)


OPENERS: tuple[Callable[[Config], tuple[Sink, ...]], ...] = (_stdout, _file, _journald, _receivers)
"""One function a kind of sink; each gives the sinks that the configuration asks for, or raises ``ConfigError``."""


def open_sinks(config: Config) -> tuple[Sink, ...]:
    """The sinks that the configuration asks for."""
    return tuple(sink for opened in OPENERS for sink in opened(config))
