"""Waits for what an agent says: the lines of a file that a running agent writes, or an agent of our own.

Alerts are read as anybody downstream would read them: JSON, a line each.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from agent.selftest.container import SelftestError

READY_SECONDS = 120.0  # a slow node takes a while to verify the eBPF programs; an agent that ends is not waited for
POLL_SECONDS = 0.005
STOP_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Heard:
    """An alert, the line it came as, and when we read it (wall time, nanoseconds)."""

    alert: dict[str, Any]
    line: str
    at_ns: int


class AlertSource(Protocol):
    """Where alerts are heard. A context manager: alerts raised before it was entered are not heard."""

    def __enter__(self) -> Self:
        """Begin to listen."""

    def __exit__(self, *_: object) -> None:
        """Stop listening."""

    def hear(self, seconds: float) -> Iterator[Heard]:
        """Every alert that comes within so many seconds."""


class AlertFile:
    """The file that a running agent's stdout is written to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise SelftestError(f"{self._path}: {error.strerror}") from error
        self._file.seek(0, os.SEEK_END)
        self._rest = b""
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def hear(self, seconds: float) -> Iterator[Heard]:
        """See ``AlertSource``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            data = self._rest + self._file.read()
            *lines, self._rest = data.split(b"\n")
            yield from (each for line in lines if (each := _heard(line.decode("utf-8", "replace"))) is not None)
            if not lines:
                time.sleep(POLL_SECONDS)


class OwnAgent:
    """An agent that is started for the purpose, with the same configuration, and stopped again."""

    def __init__(self, config_path: Path | None) -> None:
        self._command = [sys.executable, "-m", "agent", "run", "--memory-only"]
        if config_path is not None:
            self._command += ["--config", str(config_path)]
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ready = threading.Event()
        self.sensor = "unknown"
        self.reason = ""  # why that sensor, and how it watches

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603  ourselves
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._readers = [threading.Thread(target=each, daemon=True) for each in (self._read_alerts, self._read_log)]
        for reader in self._readers:
            reader.start()
        if not self._ready.wait(READY_SECONDS) or self.sensor == "unknown":
            self.__exit__()
            raise SelftestError(f"the agent did not get ready: {self.sensor}")
        return self

    @property
    def pid(self) -> int:
        """The agent's process."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(STOP_SECONDS)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def hear(self, seconds: float) -> Iterator[Heard]:
        """See ``AlertSource``."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                heard = _heard(self._lines.get(timeout=left))
            except queue.Empty:
                return
            if heard is not None:
                yield heard

    def _read_alerts(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def _read_log(self) -> None:
        """Wait for the record that says ready; if the log ends before, its last line is why."""
        assert self._process.stderr is not None
        last = ""
        for line in self._process.stderr:
            last = line.strip() or last
            record = _parse(line)
            if record is not None and record.get("event") == "ready":
                self.sensor, self.reason = str(record.get("sensor")), str(record.get("reason"))
                self._ready.set()
        if not self._ready.is_set():
            sys.stderr.write(last + "\n")
            self._ready.set()


def _heard(line: str) -> Heard | None:
    alert = _parse(line)
    return Heard(alert, line.strip(), time.time_ns()) if alert is not None else None


def _parse(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
