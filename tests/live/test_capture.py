"""A real break-out is captured, and replayed to the same alerts, in this process and in another one."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from msgspec import structs

from agent.capture.file import CaptureReader
from agent.capture.recording import Recorded, record
from agent.capture.replay import pace, replay
from agent.config_schema import Config
from agent.redaction import Redactor
from agent.report import Alert
from agent.selftest.container import ThrowawayContainer
from agent.selftest.trial import ACT, host_victim
from agent.state_schema import RedactionConfig
from agent.stored_alert import stored
from tests.support.patience import patient
from tests.support.running_agent import RunningAgent, find_command

WAIT_SECONDS = patient(30.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a container and look at it")
@pytest.mark.parametrize("sensor", ["netlink", "poll"])
def test_a_capture_of_a_break_out_is_replayed_to_the_same_alerts(sensor: str, tmp_path: Path) -> None:
    file = tmp_path / "node.capture"
    config = structs.replace(Config(), sensor=sensor)
    told: list[Alert] = []
    ready, seen, over = threading.Event(), threading.Event(), threading.Event()
    done: list[Recorded] = []

    def heard(alert: Alert) -> None:
        told.append(alert)
        if alert.detector.id == "HW-101":
            seen.set()

    def run() -> None:
        with file.open("wb") as stream:
            done.append(record(config, stream, is_over=over.is_set, on_ready=lambda _: ready.set(), on_alert=heard))

    recorder = threading.Thread(target=run)
    recorder.start()
    try:
        assert ready.wait(WAIT_SECONDS)
        with ThrowawayContainer(ACT, (str(host_victim()), f"{patient(1.5)}", f"{patient(20)}")) as container:
            assert container.read_line().startswith("escaped ")
            assert seen.wait(WAIT_SECONDS)
            time.sleep(patient(1.5))  # what else is told of it
    finally:
        over.set()
        recorder.join(WAIT_SECONDS)
    redactor = Redactor(RedactionConfig())
    expected = [stored(redactor.alert(alert)).document for alert in told]
    assert any(alert.container_id == container.id for alert in told)
    with file.open("rb") as stream:
        reader = CaptureReader(stream)
        replayed = [stored(alert).document for alert in replay(reader, config, pace(None))]
    assert replayed == expected
    assert (reader.cut, reader.events_read, done[0].lost) == (None, done[0].events, 0)
    shown = subprocess.run(
        [sys.executable, "-c", "from agent.cli import main; main()", "replay", str(file), "-o", "ecs"],
        env={**os.environ, "PYTHONHASHSEED": "4242"},
        capture_output=True,
        check=False,
        timeout=patient(60),
    )
    assert shown.stdout.splitlines() == expected


@pytest.mark.skipif(os.geteuid() != 0 or not find_command(), reason="needs root and an installed hullwatch")
@pytest.mark.parametrize("sensor", ["ebpf", "netlink", "poll"])
def test_a_capture_of_the_running_agent_is_replayed_to_what_it_told(sensor: str, tmp_path: Path) -> None:
    """One break-out was over when the capture was asked for (``--since``), another one happens while it is made."""
    config, file = tmp_path / "agent.yaml", tmp_path / "node.capture"
    # A memory that holds whatever else this machine does meanwhile.
    lines = [f"sensor: {sensor}", "control: {history_bytes: 67108864}"]
    lines += [f"state: {{directory: {json.dumps(str(tmp_path / 'state'))}}}"]
    config.write_text("\n".join((*lines, "metrics: {address: null}", "log: {format: json}")) + "\n")
    hullwatch = find_command()
    agent = RunningAgent((hullwatch, "run", "--config", str(config)), sensor)
    try:
        agent.wait_until_ready()
        time.sleep(patient(2))  # so that there is a past before what is asked for
        since = dt.datetime.now(dt.UTC).isoformat()
        past = _broken_out(agent)
        capture = (hullwatch, "capture", str(file), "--since", since, "--config", str(config))
        with subprocess.Popen(capture, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            assert "records through the running agent" in running.stderr.readline()
            live = _broken_out(agent)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=WAIT_SECONDS)
        assert running.returncode == 0, said
        time.sleep(patient(1))  # the last of it is on its way
        told = [alert for alert in agent.alerts if alert.get("container", {}).get("id") in {past, live}]
    finally:
        agent.stop()
    shown = subprocess.run(
        (hullwatch, "replay", str(file), "-o", "ecs", "--config", str(config)),
        capture_output=True,
        check=False,
        timeout=patient(60),
    )
    with file.open("rb") as stream:
        reader = CaptureReader(stream)
        assert sum(1 for _ in reader.events()) > reader.header.beginning > 10
    replayed = [json.loads(line) for line in shown.stdout.splitlines()]
    replayed = [alert for alert in replayed if alert.get("container", {}).get("id") in {past, live}]
    assert {alert["container"]["id"] for alert in replayed if alert["rule"]["id"] == "HW-101"} == {past, live}
    assert [json.dumps(alert) for alert in replayed] == [json.dumps(alert) for alert in told[: len(replayed)]]


def _broken_out(agent: RunningAgent) -> str:
    """A container that breaks out and ends; its id, when that was told."""
    mark = agent.mark()
    with ThrowawayContainer(ACT, (str(host_victim()), f"{patient(1.5)}", f"{patient(20)}")) as container:
        assert container.read_line().startswith("escaped ")
        agent.wait_for("HW-101", container=container.id, since=mark)
        time.sleep(patient(1.5))  # what else is told of it
        return container.id
