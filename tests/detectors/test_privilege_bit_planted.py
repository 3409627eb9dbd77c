from __future__ import annotations

import pytest

from collectors.events import Touch
from detectors.base import Finding, Severity
from detectors.privilege_bit_planted import DETECTOR
from tests.support import build, calls


def test_fires_when_a_file_is_made_set_uid() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.PRIVILEGED, file=None, path=b"/tmp/sh", mode=0o4755)) == [
        Finding(
            "made a file set-uid or set-gid: /tmp/sh",
            build.container_id(),
            calls.ACTOR.key,
            evidence=(("path", b"/tmp/sh"), ("mode", "0o4755")),
            severity=Severity.MEDIUM,
            identity=(build.container_id(), "/tmp/sh"),
            inherited=True,
        )
    ]


@pytest.mark.parametrize("touch", [Touch.PRIVILEGED, Touch.CAPABLE])
def test_fires_worse_when_the_file_is_the_hosts(touch: Touch) -> None:
    assert calls.one(DETECTOR, calls.touched(touch)).severity == Severity.CRITICAL


def test_silent_when_nothing_was_planted() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.CHANGED)) == []


def test_blind_when_the_actor_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.CAPABLE)) == calls.NOT_KNOWN
