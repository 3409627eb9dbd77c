from __future__ import annotations

from collectors.events import Lost
from detectors.base import Finding
from detectors.events_lost import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run


def test_fires_when_a_source_lost_events() -> None:
    assert run(DETECTOR, Lost(build.NOW_NS, "netlink", "overrun", 77), FakeView()) == [
        Finding(
            "events of the node were lost: netlink, overrun",
            None,
            evidence=(("source", "netlink"), ("reason", "overrun")),
            identity=("netlink", "overrun"),
        )
    ]


def test_silent_when_only_the_number_differs() -> None:
    """The engine tells findings of one identity and evidence once."""
    first, second = (run(DETECTOR, Lost(build.NOW_NS, "inbox", "queue_full", count), FakeView()) for count in (1, 2))
    assert first == second
