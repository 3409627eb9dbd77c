"""A real break-out is captured, and replayed to the same alerts, in this process and in another one."""

from __future__ import annotations

import os
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
        with ThrowawayContainer(ACT, (str(host_victim()), "1.5", "20")) as container:
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
