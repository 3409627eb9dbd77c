"""A recording of this machine as it is now, with whatever happens on it, replayed to the same alerts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec import convert

from agent.capture.file import CaptureReader
from agent.capture.recording import record
from agent.capture.replay import pace, replay
from agent.config_schema import Config
from agent.redaction import Redactor
from agent.report import Alert
from agent.state_schema import RedactionConfig
from agent.stored_alert import stored
from collectors.events import ContainerSeen, Seen, SweepDone

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what other users' processes hold")

RECORD_SECONDS = 2.0


@pytest.mark.parametrize("sensor", ["poll", "auto"])
def test_a_recording_of_this_machine_is_replayed_to_the_same_alerts(sensor: str, tmp_path: Path) -> None:
    config = convert(
        {"sensor": sensor, "sweep": {"interval_seconds": 0.5}, "containers": {"docker": {"enabled": False}}}, Config
    )
    told: list[Alert] = []
    ends_at = [float("inf")]

    def ready(_: object) -> None:
        ends_at[0] = time.monotonic() + RECORD_SECONDS

    with (tmp_path / "capture").open("wb") as target:
        done = record(
            config,
            target,
            is_over=lambda: time.monotonic() >= ends_at[0],
            on_ready=ready,
            on_alert=told.append,
        )
    redactor = Redactor(RedactionConfig())
    with (tmp_path / "capture").open("rb") as stream:
        reader = CaptureReader(stream)
        replayed = [stored(alert).document for alert in replay(reader, config, pace(None))]
    assert replayed == [stored(redactor.alert(alert)).document for alert in told]
    assert reader.cut is None
    assert (reader.events_read, len(told), 0) == (done.events, done.alerts, done.lost)
    with (tmp_path / "capture").open("rb") as stream:
        events = list(CaptureReader(stream).events())
    assert sum(isinstance(event, SweepDone) for event in events) >= 3
    assert os.getpid() in {event.process.key.pid for event in events if isinstance(event, Seen)}
    assert done.size_bytes == (tmp_path / "capture").stat().st_size


def test_of_one_container_only_its_own_and_the_host_s_are_recorded(tmp_path: Path) -> None:
    config = convert({"sensor": "poll", "containers": {"docker": {"enabled": False}}}, Config)
    with (tmp_path / "capture").open("wb") as target:
        over = [False]

        def ready(_: object) -> None:
            over[0] = True

        record(config, target, is_over=lambda: over[0], container="f" * 64, on_ready=ready)
    with (tmp_path / "capture").open("rb") as stream:
        reader = CaptureReader(stream)
        events = list(reader.events())
    assert reader.header.container == "f" * 64
    assert not any(isinstance(event, ContainerSeen) for event in events)
    assert os.getpid() in {event.process.key.pid for event in events if isinstance(event, Seen)}
