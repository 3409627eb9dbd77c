from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from agent.assembly import new_state
from agent.capture.errors import CaptureError
from agent.capture.file import CaptureReader
from agent.capture.replay import new_core, pace, replay
from agent.config_schema import Config, DetectorsConfig
from agent.redaction import Redactor
from agent.report import AlertBuilder
from agent.state_schema import RedactionConfig
from agent.stored_alert import stored
from collectors.events import ContainerSeen, Event, Exec, HostSeen, MountTable, Seen, SweepDone
from detectors.base import Tier
from tests.agent import alerts
from tests.support import build, captures

SECRET = b"mysql\0--password=hunter2\0"
FIRST = build.first_process()
EVENTS: list[Event] = [
    HostSeen(build.NOW_NS, build.host_baseline()),
    ContainerSeen(build.NOW_NS + 1, build.container()),
    Seen(build.NOW_NS + 2, build.host_process(900, name=b"containerd-shim")),
    Seen(build.NOW_NS + 3, FIRST),
    MountTable(build.NOW_NS + 4, 4026532100, build.container_id(), FIRST.key, build.mount_table(1)),
    SweepDone(build.NOW_NS + 5, 1, 2, 1000),
    Exec(build.NOW_NS + 6, build.process(5000)),
    Exec(build.NOW_NS + 1_000_000_000, alerts.escaped(5000, parent_pid=FIRST.key.pid)),
    Exec(build.NOW_NS + 2_000_000_000, alerts.escaped(5001, parent_pid=FIRST.key.pid, arguments=SECRET)),
    SweepDone(build.NOW_NS + 3_000_000_000, 2, 4, 1000),
]
CAPTURE = captures.written(EVENTS)


def live() -> list[bytes]:
    """What the running core makes of the events, as the outbox would hold it."""
    config = Config()
    builder = AlertBuilder(alerts.HOST, "0.1.0")
    state = new_state(config, build.host_baseline(), Tier.NETLINK)
    core = new_core(config, state, builder, build.host_baseline().boot_id)
    redactor = Redactor(RedactionConfig())
    return [stored(redactor.alert(alert)).document for event in EVENTS for alert in core.feed(event)]


def replayed(data: bytes, config: Config | None = None) -> list[bytes]:
    reader = CaptureReader(io.BytesIO(data))
    return [stored(alert).document for alert in replay(reader, config or Config(), pace(None))]


def rules(documents: list[bytes]) -> set[str]:
    return {document.split(b'"rule":{"id":"')[1][:6].decode() for document in documents}


def test_gives_the_alerts_of_the_running_core_to_the_byte() -> None:
    expected = live()
    assert {"HW-101", "HW-107", "HW-001"} <= rules(expected)
    assert replayed(CAPTURE) == expected
    assert replayed(CAPTURE) == expected


@pytest.mark.parametrize("seed", ["1", "2"])
def test_gives_them_in_any_other_process_too(tmp_path: Path, seed: str) -> None:
    """Sets of bytes have another order there: no alert may hang on it."""
    file = tmp_path / "capture"
    file.write_bytes(CAPTURE)
    shown = subprocess.run(  # noqa: S603
        [sys.executable, "-c", "from agent.cli import main; main()", "replay", str(file), "-o", "ecs"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert shown.stdout.splitlines() == live()
    assert shown.returncode == 1


def test_masks_what_the_agent_masks() -> None:
    assert b"hunter2" in SECRET
    assert any(b"--password=[redacted]" in document for document in replayed(CAPTURE))
    assert not any(b"hunter2" in document for document in replayed(CAPTURE))


def test_shows_what_another_configuration_would_have_told() -> None:
    quiet = structs.replace(Config(), detectors=DetectorsConfig(disabled=("HW-101", "HW-001")))
    assert rules(replayed(CAPTURE, quiet)) == rules(live()) - {"HW-101", "HW-001"}


def test_a_cut_capture_gives_the_alerts_up_to_the_cut() -> None:
    data = captures.written(EVENTS, each_in_a_block=True)
    found = replayed(data[: len(data) * 9 // 10])
    assert 0 < len(found) < len(live())
    assert found == live()[: len(found)]


def test_a_damaged_capture_gives_the_alerts_before_the_damage() -> None:
    data = bytearray(captures.written(EVENTS, each_in_a_block=True))
    data[-60] ^= 1
    found: list[bytes] = []
    with pytest.raises(CaptureError, match="damaged"):
        collect(bytes(data), found)
    assert found == live()[: len(found)]
    assert found


def collect(data: bytes, into: list[bytes]) -> None:
    into.extend(stored(alert).document for alert in replay(CaptureReader(io.BytesIO(data)), Config(), pace(None)))


def test_goes_as_fast_as_it_is_told() -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    wait = pace(2.0, sleep, lambda: now[0])
    for at_ns in (5_000_000_000, 5_000_000_000, 7_000_000_000, 6_000_000_000, 9_000_000_000):
        wait(at_ns)
    assert slept == [1.0, 1.0]
    pace(None, sleep, lambda: now[0])(10**18)
    assert slept == [1.0, 1.0]
