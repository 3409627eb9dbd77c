from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.base import Finding
from detectors.detector_failed import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run


def test_fires_when_the_agent_says_so() -> None:
    event = AgentTrouble(build.NOW_NS, TroubleKind.DETECTOR_FAILED, "part", "the reason")
    assert run(DETECTOR, event, FakeView()) == [
        Finding(
            "a detector failed and did not judge an event: part",
            None,
            evidence=(("part", "part"), ("why", "the reason")),
            identity=("part", "the reason"),
        )
    ]


def test_silent_when_it_is_another_trouble() -> None:
    assert run(DETECTOR, AgentTrouble(build.NOW_NS, TroubleKind.AWAY, "part", "why"), FakeView()) == []
