from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.agent_was_away import DETECTOR
from detectors.base import Finding
from tests.support import build
from tests.support.view import FakeView, run


def test_fires_when_the_agent_says_so() -> None:
    event = AgentTrouble(build.NOW_NS, TroubleKind.AWAY, "part", "the reason")
    assert run(DETECTOR, event, FakeView()) == [
        Finding(
            "the agent was away: the reason",
            None,
            evidence=(("part", "part"), ("why", "the reason")),
            identity=("part", "the reason"),
        )
    ]


def test_silent_when_it_is_another_trouble() -> None:
    assert run(DETECTOR, AgentTrouble(build.NOW_NS, TroubleKind.SENSOR_LOST, "part", "why"), FakeView()) == []
