"""The running agent and its taps: in this process, since nothing outside of it can add one."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest
from msgspec import convert

from agent.capture.file import CaptureWriter
from agent.capture.tap import Tap
from agent.config_schema import Config
from agent.daemon import Agent
from collectors.events import Event, HostSeen, NodeSeen, Seen, SweepDone
from tests.support import captures


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what other users' processes hold")
def test_a_tap_hears_what_the_agent_applies(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = convert(
        {
            "sensor": "poll",
            "containers": {"docker": {"enabled": False}},
            "state": {"directory": None},
            "metrics": {"address": None},
            "hardening": {"drop_capabilities": False, "syscall_filter": False},  # it would be the tests that lose them
            "output": {"file": {"path": str(tmp_path / "alerts")}, "stdout": {"enabled": False}},
        },
        Config,
    )
    agent = Agent(config, None)
    stream = io.BytesIO()

    def wanted(event: Event) -> bool:
        if isinstance(event, SweepDone):
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    tap = Tap(CaptureWriter(stream, captures.header()), wanted=wanted)
    tap.start(())
    agent.taps.add(tap)
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        assert agent.run() == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    tap.close(10)
    capfd.readouterr()
    reader, events = captures.read(stream.getvalue())
    assert reader.cut is None
    kinds = [type(event) for event in events]
    assert {NodeSeen, SweepDone} <= set(kinds)
    assert HostSeen not in kinds  # the baseline has not changed meanwhile
    own = [event for event in events if isinstance(event, Seen) and event.process.key.pid == os.getpid()]
    assert len(own) == 1
