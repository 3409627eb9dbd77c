from __future__ import annotations

from typing import Any

import pytest

from collectors.events import Refused, RootChange
from collectors.facts import Place, Process, Reach, Unknown
from detectors.base import Blind, Finding, Severity
from detectors.root_changed import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run, view_of

HOST_PLACE = Place(build.HOST_ROOT, 9001)
VOLUME_MOUNT = 7100


def rooted(root: Place | Unknown) -> Process:
    return build.process(confinement=build.confinement(root=root))


def told(root: Place | Unknown, **container: Any) -> list[Finding | Blind]:
    task = rooted(root)
    view = view_of(build.member(task, container=build.container(**container)))
    view.tables[build.mnt_namespace()] += (build.mount(VOLUME_MOUNT, b"/volume", device=build.HOST_DEVICE),)
    view.tables[build.HOST_MNT] = build.host_mount_table()
    return run(DETECTOR, RootChange(build.NOW_NS, task), view)


def test_fires_when_the_root_is_the_hosts() -> None:
    assert told(HOST_PLACE) == [
        Finding(
            "changed its root to the host's /",
            build.container_id(),
            rooted(HOST_PLACE).key,
            evidence=(("root", "the host's /"),),
            inherited=True,
        )
    ]


def test_fires_when_the_root_came_from_elsewhere() -> None:
    (found,) = told(build.host_directory(mnt_id=9001))
    assert isinstance(found, Finding)
    assert found.message == "changed its root to a directory of the host"


def test_fires_when_the_volume_is_one_of_the_hosts_places() -> None:
    source = build.source("/volume", "/etc/kubernetes", ("/etc/kubernetes", Reach.IS))
    (found,) = told(build.host_directory(mnt_id=VOLUME_MOUNT), sources=(source,))
    assert isinstance(found, Finding)
    assert found.message == "changed its root to the host's /etc/kubernetes"


@pytest.mark.parametrize("call", ["chroot", "pivot_root"])
def test_fires_when_it_was_refused(call: str) -> None:
    task = build.process()
    (found,) = run(DETECTOR, Refused(build.NOW_NS, task, call, 1), view_of(build.member(task)))
    assert isinstance(found, Finding)
    assert (found.message, found.severity) == (f"was refused {call}", Severity.MEDIUM)


def test_silent_when_the_root_is_in_the_image_or_a_plain_volume() -> None:
    assert told(build.directory()) == []
    assert told(build.host_directory(mnt_id=VOLUME_MOUNT), sources=(build.source("/volume", "/srv/data"),)) == []


def test_silent_when_the_file_system_is_none_of_the_hosts() -> None:
    assert told(build.host_directory(device=0x7777, mnt_id=9001)) == []


def test_silent_when_another_call_was_refused() -> None:
    task = build.process()
    assert run(DETECTOR, Refused(build.NOW_NS, task, "mount", 1), view_of(build.member(task))) == []


def test_blind_when_something_is_not_known() -> None:
    task = rooted(Unknown("denied: root"))
    assert told(Unknown("denied: root")) == [Blind("denied: root", task.key)]
    nobody = FakeView(members={task.key: Unknown("no container")})
    assert run(DETECTOR, RootChange(build.NOW_NS, task), nobody) == [Blind("no container", task.key)]
    tableless = view_of(build.member(rooted(build.host_directory(mnt_id=9001))))
    tableless.tables.clear()
    event = RootChange(build.NOW_NS, rooted(build.host_directory(mnt_id=9001)))
    assert run(DETECTOR, event, tableless) == [Blind("not_in_test", task.key)]
