from __future__ import annotations

import pytest

from collectors.events import Touch, Watched, WatchKind
from detectors.base import Finding, Severity
from detectors.host_file_changed import DETECTOR
from tests.support import build, calls
from tests.support.view import view_of

CRON = Watched("/etc/cron.d", WatchKind.PERSISTENCE)
CNI = Watched("/etc/cni", WatchKind.SERVICED)
SHADOW = Watched("/etc/shadow", WatchKind.SECRET)


def test_fires_when_a_file_is_made_in_a_watched_directory() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.ENTRY, CRON, path=b"/host/etc/cron.d/x")) == [
        Finding(
            "opened a file for writing in the host's /etc/cron.d",
            build.container_id(),
            calls.ACTOR.key,
            evidence=(("host_path", ("/etc/cron.d",)), ("path", b"/host/etc/cron.d/x"), ("how", "entry")),
            severity=Severity.CRITICAL,
            identity=(build.container_id(), "/etc/cron.d"),
            inherited=True,
        )
    ]


@pytest.mark.parametrize("touch", [Touch.WRITTEN, Touch.CHANGED])
def test_fires_when_the_object_itself_is_changed(touch: Touch) -> None:
    assert calls.one(DETECTOR, calls.touched(touch, CRON)).severity == Severity.CRITICAL


def test_fires_when_it_went_through_a_mount_of_the_host() -> None:
    finding = calls.one(DETECTOR, calls.touched(Touch.HOST_MOUNT, path=b"/srv/data"))
    assert finding.message == "opened for writing, through a mount of the host, the host's /srv/data"


def test_fires_less_when_the_place_was_given_for_it() -> None:
    container = build.container(sources=(build.source("/host/etc/cni/net.d", "/etc/cni/net.d"),))
    view = view_of(build.member(calls.ACTOR, container=container))
    assert calls.one(DETECTOR, calls.touched(Touch.ENTRY, CNI), view).severity == Severity.MEDIUM
    broad = build.container(sources=(build.source("/host", "/"),))
    view = view_of(build.member(calls.ACTOR, container=broad))
    assert calls.one(DETECTOR, calls.touched(Touch.ENTRY, CNI), view).severity == Severity.CRITICAL


def test_silent_when_it_is_read_or_of_another_kind() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.READ, CRON)) == []
    assert calls.told(DETECTOR, calls.touched(Touch.WRITTEN, SHADOW)) == []
    assert calls.told(DETECTOR, calls.touched(Touch.KERNEL)) == []


def test_blind_when_the_writer_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.ENTRY, CRON)) == calls.NOT_KNOWN
