"""Every capture beside this file gives exactly the alerts that it should, and is what ``stories`` says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.capture.file import CaptureReader
from agent.capture.replay import pace, replay
from agent.config_schema import Config
from tests.scenarios.stories import HERE, SCENARIOS, Scenario, read_story
from tests.support.acts.catalog import WITHOUT_ACT

BASE = HERE / "base.capture"
NAMED = [pytest.param(each, id=each.name) for each in SCENARIOS]
WITH_NEIGHBOUR = [pytest.param(each, id=each.name) for each in SCENARIOS if each.near is not None]


def told(path: Path) -> list[tuple[str, int]]:
    """All alerts of a capture, in their order."""
    with path.open("rb") as stream:
        return [(alert.detector.id, alert.severity) for alert in replay(CaptureReader(stream), Config(), pace(None))]


def test_says_nothing_of_what_was_recorded() -> None:
    assert told(BASE) == []


@pytest.mark.parametrize("scenario", NAMED)
def test_alerts_on(scenario: Scenario) -> None:
    assert told(scenario.file) == list(scenario.expected)


@pytest.mark.parametrize("scenario", WITH_NEIGHBOUR)
def test_silent_on_the_neighbour_of(scenario: Scenario) -> None:
    assert told(scenario.near_file) == list(scenario.near_expected)


@pytest.mark.parametrize("scenario", NAMED)
def test_differs_from_what_was_recorded_as_it_says(scenario: Scenario) -> None:
    base = read_story(BASE)
    assert read_story(scenario.file) == scenario.change(base)
    if scenario.near is not None:
        assert read_story(scenario.near_file) == scenario.near(base)


def test_no_capture_is_left_that_nobody_speaks_of() -> None:
    spoken_of = {BASE, *(each.file for each in SCENARIOS), *(each.near_file for each in SCENARIOS if each.near)}
    assert set(HERE.glob("*.capture")) == spoken_of


def test_what_no_act_performs_has_a_scenario() -> None:
    covered = {rule for each in SCENARIOS for rule, _ in each.expected}
    elsewhere = {rule for rule, why in WITHOUT_ACT.items() if "tests/live/" in why}
    assert set(WITHOUT_ACT) - elsewhere <= covered
