from __future__ import annotations

from typing import Any

import pytest

from collectors.events import MountTable
from collectors.facts import Process, Unknown
from detectors.base import Blind, Finding, Severity
from detectors.user_namespace_gained import DETECTOR
from tests.support import build
from tests.support.view import judge, run, view_of

INNER = 4026539999
INNER_MNT = 4026539998


def nested(mask: int = build.FULL_CAPABILITIES, **namespaces: Any) -> Process:
    """A process that made a user namespace, as ``unshare -Ur`` does."""
    return build.process(
        confinement=build.confinement(
            namespaces=build.namespaces(**{"user": INNER, **namespaces}), capabilities=build.capabilities(mask)
        )
    )


def test_fires_when_a_process_is_root_in_a_user_namespace_of_its_own() -> None:
    task = nested()
    assert judge(DETECTOR, build.member(task)) == [
        Finding(
            "holds full privilege in a user namespace of its own",
            build.container_id(),
            task.key,
            evidence=(("executable", b"/usr/bin/bash"), ("has_mounted", False)),
            severity=Severity.MEDIUM,
            identity=(build.container_id(), "/usr/bin/bash", "MEDIUM"),
            inherited=True,
        )
    ]


def test_fires_when_only_network_administration_is_held() -> None:
    (finding,) = judge(DETECTOR, build.member(nested(1 << 12)))
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.MEDIUM


def test_fires_higher_when_something_was_mounted_there() -> None:
    task = nested(mnt=INNER_MNT)
    table = (*build.mount_table(), build.mount(9001, b"/mnt", fs_type=b"overlay", device=0x999))
    view = view_of(build.member(task), tables={INNER_MNT: table})
    (finding,) = run(DETECTOR, MountTable(build.NOW_NS, INNER_MNT, build.container_id(), task.key, table), view)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.HIGH
    assert finding.subject == task.key
    assert finding.identity == (build.container_id(), "/usr/bin/bash", "HIGH")


def test_fires_no_higher_when_the_mount_namespace_is_a_mere_copy() -> None:
    view = {"tables": {INNER_MNT: build.mount_table()}}
    (finding,) = judge(DETECTOR, build.member(nested(mnt=INNER_MNT)), **view)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.MEDIUM


def test_silent_when_the_user_namespace_is_the_containers() -> None:
    own = build.namespaces(user=INNER)
    first = build.first_process(confinement=build.confinement(namespaces=own))
    assert judge(DETECTOR, build.member(nested(), first=first)) == []


def test_silent_when_the_privilege_was_dropped() -> None:
    assert judge(DETECTOR, build.member(nested(0))) == []


def test_silent_when_the_user_namespace_is_the_hosts() -> None:
    inner = build.first_process(confinement=build.confinement(namespaces=build.namespaces(user=INNER)))
    assert judge(DETECTOR, build.member(nested(user=build.HOST_USER), first=inner)) == []


def test_silent_when_the_user_namespace_is_another_containers() -> None:
    other = build.first_process(2, confinement=build.confinement(2, namespaces=build.namespaces(2, user=INNER)))
    view = view_of(build.member(nested())).put_container(build.container(2), other)
    assert run(DETECTOR, MountTable(build.NOW_NS, INNER_MNT, build.container_id(), nested().key, ()), view) == []


def test_silent_when_the_process_is_the_hosts() -> None:
    assert run(DETECTOR, MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(1), ()), view_of()) == []


@pytest.mark.parametrize("task", [nested(user=Unknown("denied: test"))], ids=["user"])
def test_blind_when_the_user_namespace_is_not_known(task: Process) -> None:
    assert judge(DETECTOR, build.member(task)) == [Blind("denied: test", task.key)]


def test_blind_when_the_capabilities_are_not_known() -> None:
    task = build.process(
        confinement=build.confinement(namespaces=build.namespaces(user=INNER), capabilities=Unknown("gone"))
    )
    assert judge(DETECTOR, build.member(task)) == [Blind("gone", task.key)]


def test_blind_when_the_first_process_is_not_known() -> None:
    task = nested()
    assert judge(DETECTOR, build.member(task, first=Unknown("not_read"))) == [Blind("not_read", task.key)]


def test_blind_when_the_hosts_user_namespace_is_not_known() -> None:
    task = nested()
    host = build.host_baseline(namespaces=build.host_namespaces(user=Unknown("denied")))
    assert judge(DETECTOR, build.member(task), host=host) == [Blind("denied", task.key)]
