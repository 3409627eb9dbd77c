from __future__ import annotations

from typing import Any

import pytest

from collectors.confinement import Dimension, Widening
from collectors.facts import Confinement, Process, Seccomp, SeccompMode, Unknown
from detectors.base import Blind, Finding
from detectors.sandbox_weakened import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen, view_of

TIGHT = build.confinement(no_new_privs=True, seccomp=build.seccomp(2))
COUNTLESS = Seccomp(SeccompMode.FILTER, Unknown("unsupported"))


def first(**confined: Any) -> Process:
    return build.first_process(confinement=build.confinement(**confined))


def test_fires_when_a_process_loses_everything_that_confined_it() -> None:
    before = build.process(confinement=TIGHT)
    now = build.process(
        confinement=build.confinement(no_new_privs=False, seccomp=build.seccomp(0), lsm_label=build.UNCONFINED)
    )
    assert judge(DETECTOR, build.member(now, previous=before)) == [
        Finding(
            message="It has lost what confined it: no_new_privs, seccomp, lsm_label",
            container_id=build.container_id(),
            subject=now.key,
            evidence=(("weakened", ("no_new_privs", "seccomp", "lsm_label")),),
            widened=(
                Widening(Dimension.PRIVILEGE, "no_new_privs", was=True, now=False),
                Widening(Dimension.FILTERS, "seccomp", build.seccomp(2), build.seccomp(0)),
                Widening(Dimension.FILTERS, "lsm_label", build.DOCKER_DEFAULT, build.UNCONFINED),
            ),
            inherited=True,
        )
    ]


@pytest.mark.parametrize(
    ("now", "weakened"),
    [
        pytest.param(build.confinement(no_new_privs=True, seccomp=build.seccomp(1)), "seccomp", id="fewer-filters"),
        pytest.param(build.confinement(no_new_privs=False, seccomp=build.seccomp(2)), "no_new_privs", id="nnp"),
        pytest.param(
            build.confinement(no_new_privs=True, seccomp=build.seccomp(2), lsm_label=b"unconfined"),
            "lsm_label",
            id="profile",
        ),
    ],
)
def test_fires_when_a_child_has_less_than_it_came_in_with(now: Confinement, weakened: str) -> None:
    """No previous observation: it was born so."""
    entry = build.first_process(confinement=TIGHT)
    (found,) = judge(DETECTOR, build.member(build.process(confinement=now), entry=entry))
    assert isinstance(found, Finding)
    assert found.evidence == (("weakened", (weakened,)),)


@pytest.mark.parametrize(
    ("declared", "observed", "widening"),
    [
        pytest.param(
            {"seccomp": True},
            {"seccomp": build.seccomp(0)},
            Widening(Dimension.FILTERS, "seccomp", "declared", build.seccomp(0)),
            id="seccomp",
        ),
        pytest.param(
            {"no_new_privs": True},
            {"no_new_privs": False},
            Widening(Dimension.PRIVILEGE, "no_new_privs", "declared", now=False),
            id="nnp",
        ),
        pytest.param(
            {},
            {"lsm_label": b"unconfined"},
            Widening(Dimension.FILTERS, "lsm_label", b"docker-default", b"unconfined"),
            id="apparmor",
        ),
        pytest.param(
            {"apparmor_profile": None, "selinux_label": "system_u:system_r:container_t:s0:c1,c2"},
            {"lsm_label": b"system_u:system_r:spc_t:s0\x00"},
            Widening(
                Dimension.FILTERS,
                "lsm_label",
                b"system_u:system_r:container_t:s0:c1,c2",
                b"system_u:system_r:spc_t:s0\x00",
            ),
            id="selinux",
        ),
    ],
)
def test_fires_when_the_first_process_has_less_than_declared(
    declared: dict[str, Any], observed: dict[str, Any], widening: Widening
) -> None:
    """It was weakened before the agent came, so neither a previous observation nor the entry tells."""
    process = first(**observed)
    container = build.container(declared=build.declared(**declared))
    (found,) = judge(DETECTOR, build.member(process, first=process, container=container))
    assert isinstance(found, Finding)
    assert found.widened == (widening,)


def test_silent_when_nothing_changed() -> None:
    assert judge(DETECTOR, build.member(build.process(), previous=build.process())) == []


def test_silent_when_a_browser_adds_filters() -> None:
    now = build.process(confinement=build.confinement(seccomp=build.seccomp(3), no_new_privs=True))
    assert judge(DETECTOR, build.member(now, previous=build.process())) == []


def test_silent_when_the_first_process_tightened_itself_later() -> None:
    """``Member.first`` and ``entry`` are as at entry; the live first process has more filters than its child by now."""
    child = build.process()
    view = view_of(build.member(child))
    view.put_host(first(seccomp=build.seccomp(5), no_new_privs=True))
    assert run(DETECTOR, seen(child), view) == []


def test_silent_when_a_privileged_exec_came_in_without_filters() -> None:
    bare = build.confinement(seccomp=build.seccomp(0), lsm_label=build.UNCONFINED)
    entry = build.process(4300, confinement=bare)
    assert judge(DETECTOR, build.member(build.process(confinement=bare), entry=entry)) == []


def test_silent_when_nothing_was_declared() -> None:
    bare = build.confinement(seccomp=build.seccomp(0), lsm_label=build.UNCONFINED)
    container = build.container(declared=build.declared(seccomp=False, apparmor_profile="unconfined"))
    process = build.process(confinement=bare)
    member = build.member(process, first=build.first_process(confinement=bare), container=container)
    assert judge(DETECTOR, member) == []


def test_silent_when_the_kernel_labels_no_tasks() -> None:
    unlabelled = build.confinement(lsm_label=None)
    member = build.member(build.process(confinement=unlabelled), first=build.first_process(confinement=unlabelled))
    assert judge(DETECTOR, member) == []


def test_silent_when_it_is_a_process_of_the_host() -> None:
    process = build.host_process()
    assert run(DETECTOR, seen(process), FakeView().put_host(process)) == []


def test_blind_when_a_filter_is_not_known() -> None:
    denied = Unknown("denied")
    process = build.process(confinement=build.confinement(no_new_privs=denied, seccomp=COUNTLESS, lsm_label=denied))
    assert judge(DETECTOR, build.member(process)) == [
        Blind(f"{name}: a fact is missing", process.key) for name in ("no_new_privs", "seccomp", "lsm_label")
    ]


def test_fires_when_seccomp_goes_off_on_a_kernel_that_counts_no_filters() -> None:
    off = Seccomp(SeccompMode.DISABLED, Unknown("unsupported"))
    process = build.process(confinement=build.confinement(seccomp=off))
    (found,) = judge(DETECTOR, build.member(process, first=first(seccomp=COUNTLESS)))
    assert isinstance(found, Finding)


def test_blind_when_the_entry_is_not_known() -> None:
    process = build.process()
    assert judge(DETECTOR, build.member(process, entry=Unknown("gone"))) == [Blind("entry process: gone", process.key)]
