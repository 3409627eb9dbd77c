from __future__ import annotations

import pytest

from collectors.events import Touch
from collectors.facts import Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.release_agent_written import DETECTOR
from tests.support import build, calls
from tests.support.values import changed, met
from tests.support.view import FakeView, run

WHERE = b"/sys/fs/cgroup/rdma/release_agent"
UPPER = b"/var/lib/docker/overlay2/" + build.container_id().encode() + b"/diff"


def node() -> FakeView:
    return FakeView().put_container(build.container(), build.first_process())


def test_fires_when_it_names_a_file_in_a_containers_layer() -> None:
    assert run(DETECTOR, changed("release_agent", b"", UPPER + b"/cmd", where=WHERE), node()) == [
        Finding(
            "the release_agent is a container's file: it lies in the layer of the container",
            build.container_id(),
            evidence=(
                ("value", "release_agent"),
                ("file", WHERE),
                ("before", b""),
                ("after", UPPER + b"/cmd"),
            ),
            severity=Severity.CRITICAL,
        )
    ]


def test_fires_when_it_names_a_containers_file_at_the_start() -> None:
    (found,) = run(DETECTOR, met("release_agent", UPPER + b"/cmd", where=WHERE), node())
    assert isinstance(found, Finding)
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("program", "severity"), [(b"/tmp/cmd", Severity.CRITICAL), (b"/usr/lib/agent", Severity.MEDIUM)]
)
def test_fires_when_it_is_set_by_nobody_knows_whom(program: bytes, severity: Severity) -> None:
    (found,) = run(DETECTOR, changed("release_agent", b"", program, where=WHERE), node())
    assert isinstance(found, Finding)
    assert (found.severity, found.confidence, found.container_id) == (severity, Confidence.LIKELY, None)


def test_fires_when_a_container_asks_for_notification() -> None:
    event = changed("notify_on_release", b"0", b"1", container_id=build.container_id())
    (found,) = run(DETECTOR, event, node())
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id) == (Severity.HIGH, build.container_id())


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(met("release_agent", b"/usr/lib/systemd/systemd-cgroups-agent"), id="systemds-own-at-start"),
        pytest.param(met("release_agent", b""), id="none-at-start"),
        pytest.param(changed("release_agent", b"/tmp/x", b""), id="emptied"),
        pytest.param(changed("release_agent", b"/tmp/x", b"/usr/a", at_start=b"/usr/a"), id="back-to-the-start"),
        pytest.param(met("notify_on_release", b"1"), id="flag-that-was-there"),
        pytest.param(changed("notify_on_release", b"1", b"0"), id="flag-taken-away"),
        pytest.param(changed("modprobe", b"", b"/tmp/x"), id="another-value"),
    ],
)
def test_silent_when_nothing_is_set(event: object) -> None:
    assert run(DETECTOR, event, node()) == []  # type: ignore[arg-type]


def test_blind_when_the_value_cannot_be_read() -> None:
    assert run(DETECTOR, met("release_agent", Unknown("denied: x")), node()) == [Blind("denied: x")]


@pytest.mark.parametrize(
    ("name", "severity"), [("release_agent", Severity.CRITICAL), ("notify_on_release", Severity.HIGH)]
)
def test_fires_when_a_container_opens_it_for_writing(name: str, severity: Severity) -> None:
    assert calls.one(DETECTOR, calls.touched(Touch.KERNEL, path=f"/mnt/{name}".encode())).severity == severity


def test_silent_when_another_file_is_opened() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.KERNEL, path=b"/mnt/cgroup.procs")) == []
    assert calls.told(DETECTOR, calls.touched(Touch.READ, path=b"/mnt/release_agent")) == []


def test_blind_when_the_writer_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.KERNEL, path=b"/mnt/release_agent")) == calls.NOT_KNOWN
