"""Every detector is really set off by an act of the live tests, or it is written down why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.incidents import INCIDENT
from detectors.base import Detector
from detectors.catalog import DETECTORS
from tests.support.acts.catalog import ACTS, WITHOUT_ACT

REPOSITORY = Path(__file__).resolve().parents[2]
PERFORMED = frozenset(expected.rule for act in ACTS for expected in act.expected) - {INCIDENT.id}


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
def test_a_detector_has_an_act_or_a_reason(detector: Detector) -> None:
    assert (detector.id in PERFORMED) != (detector.id in WITHOUT_ACT)


def test_acts_and_reasons_are_about_detectors_that_exist() -> None:
    assert PERFORMED | WITHOUT_ACT.keys() == {each.id for each in DETECTORS}


@pytest.mark.parametrize(("rule", "reason"), WITHOUT_ACT.items(), ids=WITHOUT_ACT)
def test_a_test_that_a_reason_names_tells_of_that_detector(rule: str, reason: str) -> None:
    for name in re.findall(r"tests/[\w/]+\.py", reason):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert f'"{rule}"' in text or not name.startswith("tests/live/")


def test_the_acts_are_many_and_have_names_of_their_own() -> None:
    assert len({act.name for act in ACTS}) == len(ACTS)
    assert sum(bool(act.expected) for act in ACTS) >= 60
