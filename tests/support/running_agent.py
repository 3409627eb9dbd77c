"""The real agent as a subprocess: its configuration, its alerts as they come, its own log, and its orderly end.

Concurrency: two threads read stdout and stderr to their ends and append to lists under one condition; the test's thread
waits on it. Nothing is dropped: a live test raises some thousands of lines at most.
"""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from tests.support.engine import DEFAULT_EXEC_ROOT, Engine
from tests.support.patience import patient
from tests.support.processes import wait_until

READY_SECONDS = patient(30.0)
STOP_SECONDS = patient(5.0)
ALERT_SECONDS = patient(15.0)
# Quicker than the default, so that silence is proved in less time.
SWEEP_SECONDS = patient(0.25)
FULL_EVERY = 4
SETTLE_SWEEPS = FULL_EVERY + 2
SETTLE_SECONDS = SWEEP_SECONDS * SETTLE_SWEEPS
METRICS_SECONDS = patient(10.0)

Alert = dict[str, Any]
T = TypeVar("T")


class AgentError(AssertionError):
    """The agent did not do what the test waited for; the message tells what it did instead."""


def rule(alert: Alert) -> str:
    """The id of the detector that raised the alert."""
    return str(alert["rule"]["id"])


def container_id(alert: Alert) -> str:
    """The id of the container that the alert is about; empty when it names none."""
    return str(alert.get("container", {}).get("id", ""))


def severity(alert: Alert) -> int:
    """How bad it is, 0 to 100."""
    return int(alert["event"]["severity"])


def process_ids(alert: Alert) -> frozenset[int]:
    """The host pids that the alert names: of the process and, where one thread acted, of the thread."""
    process = alert.get("process", {})
    found = {process.get("pid"), process.get("thread", {}).get("id")}
    return frozenset(int(pid) for pid in found if pid is not None)


def process_names(alert: Alert) -> frozenset[str]:
    """What the acting process of an alert is called: its name, and those of its program and argument 0."""
    process = alert.get("process", {})
    words = (process.get("name", ""), process.get("executable", ""), *process.get("args", [])[:1])
    return frozenset(word.rsplit("/", 1)[-1] for word in words)


def shown(alert: Alert) -> str:
    """The alert in one line, for a failed test's message."""
    process = alert.get("process", {})
    where = container_id(alert)[:12] or "host"
    evidence = alert.get("hullwatch", {}).get("evidence")
    return f"{rule(alert)} {severity(alert)} {where} {process.get('pid')} {alert.get('message')} {evidence}"


def settle(seconds: float = SETTLE_SECONDS) -> None:
    """Give the agents the time in which they have read everything anew at least once."""
    time.sleep(seconds)


def settle_all(agents: Sequence["RunningAgent"]) -> None:
    """Wait until each agent has read everything anew at least once, however long its sweeps take on this machine."""
    wanted = [(agent, agent.sweeps() + SETTLE_SWEEPS) for agent in agents]
    settle()
    for agent, number in wanted:
        wait_until(
            lambda agent=agent, number=number: agent.sweeps() >= number,  # type: ignore[misc]
            f"{SETTLE_SWEEPS} sweeps of the agent of tier {agent.tier}",
            every_seconds=SWEEP_SECONDS / 4,
        )


class RunningAgent:
    """An agent of one sensor tier that runs until `stop`."""

    def __init__(self, command: Sequence[str], tier: str) -> None:
        self.tier = tier
        self.config = command[-1]
        self.alerts: list[Alert] = []
        self.log: list[dict[str, Any]] = []
        self.garbage: list[bytes] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self.alerts), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stderr, self.log), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def is_running(self) -> bool:
        """False once it has ended, in whatever way."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The agent's own pid."""
        return self._process.pid

    def _read(self, stream: IO[bytes], lines: list[dict[str, Any]]) -> None:
        for line in stream:
            with self._changed:
                try:
                    lines.append(json.loads(line.decode("utf-8")))
                except ValueError:
                    self.garbage.append(line)
                self._changed.notify_all()

    def wait_until_ready(self, timeout_seconds: float = READY_SECONDS) -> dict[str, Any]:
        """The log record that says that sensors are attached and the first sweep is done."""

        def ready() -> dict[str, Any] | None:
            return next((record for record in self.log if record.get("event") == "ready"), None)

        return self._wait(ready, timeout_seconds, "the agent to be ready")

    def metric(self, sample: str) -> int:
        """What the agent itself counted: a sample of its metrics, by its name with the labels."""
        listening = next(each for each in self.log if each["event"] == "endpoint_listening")
        with urllib.request.urlopen(f"http://127.0.0.1:{listening['port']}/metrics", timeout=METRICS_SECONDS) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{re.escape(sample)} (\d+)", text, re.MULTILINE)
        assert found is not None, text
        return int(found[1])

    def sweeps(self) -> int:
        """How many sweeps have ended and were judged."""
        return self.metric("hullwatch_sweep_cpu_seconds_count")

    def mark(self) -> int:
        """A place in the stream of alerts, for `alerts_since` and `wait_for`."""
        with self._changed:
            return len(self.alerts)

    def alerts_since(self, mark: int) -> list[Alert]:
        """The alerts that came after the mark."""
        with self._changed:
            return self.alerts[mark:]

    def wait_for(
        self,
        wanted: str,
        *,
        container: str | None,
        pids: Sequence[int] = (),
        at_least: int = 0,
        since: int = 0,
        timeout_seconds: float = ALERT_SECONDS,
    ) -> Alert:
        """The first alert of a rule after the mark, about this container and one of these processes where given."""

        def found() -> Alert | None:
            for alert in self.alerts[since:]:
                if rule(alert) != wanted or severity(alert) < at_least:
                    continue
                if container is not None and container_id(alert) != container:
                    continue
                if not pids or process_ids(alert) & set(pids):
                    return alert
            return None

        what = f"{wanted} of {(container or 'anybody')[:12]}, pids {list(pids)}, severity {at_least} or more"
        return self._wait(found, timeout_seconds, what, since)

    def stop(self) -> list[str]:
        """End it as an operator would; what was wrong with its end or its log, a line each."""
        problems = []
        if self._process.poll() is not None:
            problems.append(f"it ended by itself with {self._process.returncode}: {self.log[-3:]}")
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout=STOP_SECONDS)
            if status != 0:
                problems.append(f"it exited with {status} on SIGTERM: {self.log[-3:]}")
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=STOP_SECONDS)
            problems.append(f"it did not exit within {STOP_SECONDS} s of SIGTERM")
        for reader in self._readers:
            reader.join(timeout=STOP_SECONDS)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        problems += [f"it wrote what is no JSON: {line!r}" for line in self.garbage[-10:]]
        errors = [record for record in self.log if record.get("level") in ("error", "critical")]
        return problems + [f"it logged an error: {record}" for record in errors[:10]]

    def _wait(self, probe: Callable[[], T | None], timeout_seconds: float, what: str, since: int = 0) -> T:
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                if (value := probe()) is not None:
                    return value
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    raise AgentError(self._story(what, timeout_seconds, since))
                self._changed.wait(min(left, 0.2))

    def _story(self, what: str, timeout_seconds: float, since: int) -> str:
        state = "runs" if self._process.poll() is None else f"ended with {self._process.returncode}"
        lines = [f"{self.tier}: waited {timeout_seconds} s for {what}; the agent {state}; it said since:"]
        lines += [shown(alert) for alert in self.alerts[since:][-30:]] or ["nothing"]
        lines += [f"log: {record}" for record in self.log[-5:]]
        return "\n  ".join(lines + [f"no JSON: {line!r}" for line in self.garbage[-20:]])


def find_command() -> str:
    """The installed `hullwatch`, beside the Python that runs the tests; empty when it is not installed."""
    path = Path(sys.executable).with_name("hullwatch")
    return str(path) if path.exists() else ""


def write_config(path: Path, engine: Engine, tier: str) -> None:
    """The agent's configuration: one tier, quick sweeps, and where this engine is if it is not where all others are.

    Agents of several tiers run side by side, so none takes the address of metrics that others could want.
    """
    lines = [f"sensor: {tier}", "sweep:", f"  interval_seconds: {SWEEP_SECONDS}", f"  full_every: {FULL_EVERY}"]
    lines += ["log:", "  format: json", "containers:", "  docker:", f"    socket: {json.dumps(str(engine.socket))}"]
    if engine.exec_root != DEFAULT_EXEC_ROOT:
        places = (engine.task_root, engine.runtime_root)
        lines += ["  state_directories:", *(f"    - {json.dumps(str(place))}" for place in places)]
    lines += [
        "metrics:",
        "  address: 127.0.0.1:0",
        "state:",
        f"  directory: {json.dumps(str(path.with_suffix('.state')))}",
    ]
    path.write_text("\n".join(lines) + "\n")


def start(engine: Engine, tier: str, directory: Path, *, through: Sequence[str] = (), more: str = "") -> RunningAgent:
    """An agent of this tier, ready, started by a command that executes its arguments (``through``).

    `more` is added to its configuration. AgentError says why it is not ready; it runs no more then.
    """
    config = directory / f"{tier}.yaml"
    write_config(config, engine, tier)
    with config.open("a") as file:
        file.write(more)
    agent = RunningAgent((*through, find_command(), "run", "--config", str(config)), tier)
    try:
        agent.wait_until_ready()
    except AgentError:
        agent.stop()
        raise
    return agent
