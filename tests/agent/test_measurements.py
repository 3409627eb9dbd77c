from __future__ import annotations

import pytest

from agent.measurements import MAX_LOSSES, OTHER, Measurements, Sweeps
from collectors.events import CredentialChange, Exec, Lost, SweepDone
from detectors.base import Severity
from tests.agent import alerts
from tests.support import build


def test_counts_events_by_kind() -> None:
    measurements = Measurements()
    for event in (Exec(1, alerts.escaped()), CredentialChange(2, alerts.escaped()), Exec(3, alerts.escaped())):
        measurements.handled(event)
    assert measurements.read().events == {"exec": 2, "credential_change": 1}


def test_sums_losses_by_source_and_reason_but_those_of_the_queue() -> None:
    measurements = Measurements()
    for source, reason, count in (("netlink", "gap", 3), ("netlink", "gap", 4), ("inbox", "queue_full", 9)):
        measurements.handled(Lost(1, source, reason, count))
    assert measurements.read().lost == {("netlink", "gap"): 7}


def test_kinds_of_losses_are_bounded() -> None:
    measurements = Measurements()
    for number in range(MAX_LOSSES + 5):
        measurements.handled(Lost(1, "netlink", f"reason {number}", 2))
    lost = measurements.read().lost
    assert len(lost) == MAX_LOSSES + 1
    assert lost[OTHER] == 10


def test_measures_sweeps() -> None:
    measurements = Measurements()
    measurements.handled(SweepDone(10, 1, 100, 2_000_000))
    measurements.handled(SweepDone(20, 2, 110, 30_000_000))
    measured = measurements.read()
    assert measured.sweeps == Sweeps(looked_at=210, processes=110, ended_ns=20)
    assert measured.sweep_cpu.total == pytest.approx(0.032)
    assert sum(measured.sweep_cpu.counts) == 2


@pytest.mark.parametrize(("late_ns", "seconds"), [(250_000_000, 0.25), (-5_000_000_000, 0.0)])
def test_measures_from_act_to_alert_and_never_less_than_nothing(late_ns: int, seconds: float) -> None:
    measurements = Measurements()
    alert = alerts.alert(declaration=alerts.detector(severity=Severity.HIGH))
    measurements.raised(alert, build.NOW_NS + late_ns)
    measured = measurements.read()
    assert measured.act_to_alert.total == pytest.approx(seconds)
    assert measured.alerts == {("HW-101", "high"): 1}
