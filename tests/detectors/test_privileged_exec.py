from __future__ import annotations

from typing import Any

import pytest

from collectors.facts import Process, Seccomp, SeccompMode, Unknown
from detectors.base import Blind, Confidence, Finding, Member
from detectors.privileged_exec import DETECTOR
from tests.support import build
from tests.support.view import executed, judge, run, view_of


def session(**confined: Any) -> Process:
    """The root of an exec session, as it entered."""
    return build.process(5000, parent_pid=900, confinement=build.confinement(**confined))


def entered(task: Process, **overrides: Any) -> Member:
    return build.member(task, entry=task, **overrides)


def find(task: Process, **overrides: Any) -> list[Finding | Blind]:
    return run(DETECTOR, executed(task), view_of(entered(task, **overrides)))


def test_fires_when_the_session_has_every_capability() -> None:
    task = session(capabilities=build.capabilities(build.FULL_CAPABILITIES), lsm_label=build.UNCONFINED)
    (finding,) = find(task)
    assert isinstance(finding, Finding)
    assert finding.container_id == build.container_id()
    assert finding.subject == task.key
    (capabilities, names), label, _ = finding.evidence
    assert capabilities == "more_capabilities"
    assert isinstance(names, tuple)
    assert "CAP_SYS_ADMIN" in names
    assert "CAP_CHOWN" not in names
    assert label == ("lsm_label", b"unconfined")
    assert finding.confidence is Confidence.CERTAIN
    assert {each.aspect for each in finding.widened} == {
        "permitted_capabilities",
        "effective_capabilities",
        "bounding_capabilities",
        "lsm_label",
    }


def test_fires_when_one_capability_is_in_the_bounding_set_only() -> None:
    bounding = build.DOCKER_CAPABILITIES | build.CAP_SYS_ADMIN
    (finding,) = find(session(uids=build.ids(1000), capabilities=build.capabilities(0, bounding=bounding)))
    assert isinstance(finding, Finding)
    assert finding.evidence == (("more_capabilities", ("CAP_SYS_ADMIN",)), ("entered_by", "runtime_exec"))


def test_fires_when_the_session_has_no_seccomp_filter() -> None:
    (finding,) = find(session(seccomp=build.seccomp(0)))
    assert isinstance(finding, Finding)
    assert finding.evidence == (("no_seccomp_filter", True), ("entered_by", "runtime_exec"))


def test_fires_when_no_new_privs_is_declared_and_off() -> None:
    container = build.container(declared=build.declared(no_new_privs=True))
    (finding,) = find(session(no_new_privs=False), container=container)
    assert isinstance(finding, Finding)
    assert finding.evidence == (("no_new_privs_off", True), ("entered_by", "runtime_exec"))


def test_fires_when_nothing_is_declared_and_the_first_process_had_less() -> None:
    container = build.container(declared=Unknown("denied"))
    (finding,) = find(
        session(capabilities=build.capabilities(build.DOCKER_CAPABILITIES | build.CAP_SYS_ADMIN)), container=container
    )
    assert isinstance(finding, Finding)
    assert finding.confidence is Confidence.LIKELY


def test_silent_when_the_session_has_what_is_declared() -> None:
    assert find(session()) == []


def test_silent_when_the_container_is_privileged_and_its_first_process_dropped_it() -> None:
    full = build.capabilities(build.FULL_CAPABILITIES)
    container = build.container(declared=build.declared(capabilities=full, seccomp=False, apparmor_profile=None))
    first = build.first_process(confinement=build.confinement(seccomp=build.seccomp(0), lsm_label=build.UNCONFINED))
    task = session(capabilities=full, seccomp=build.seccomp(0), lsm_label=build.UNCONFINED)
    assert find(task, container=container, first=first) == []


def test_silent_when_the_session_drops_what_the_container_has() -> None:
    assert find(session(capabilities=build.capabilities(0), uids=build.ids(1000), no_new_privs=True)) == []


def test_silent_when_the_first_process_itself_is_wide() -> None:
    first = build.first_process(confinement=build.confinement(capabilities=build.capabilities(build.FULL_CAPABILITIES)))
    assert judge(DETECTOR, build.member(first, first=first)) == []


def test_silent_when_a_child_of_the_session_is_met() -> None:
    wide = build.confinement(capabilities=build.capabilities(build.FULL_CAPABILITIES))
    assert judge(DETECTOR, build.member(build.process(confinement=wide))) == []


def test_silent_when_the_capabilities_hold_in_another_user_namespace() -> None:
    inner = build.namespaces(user=build.own_user_namespace())
    assert find(session(namespaces=inner, capabilities=build.capabilities(build.FULL_CAPABILITIES))) == []


def test_silent_when_the_kernel_has_no_lsm() -> None:
    assert find(session(lsm_label=None)) == []


def test_silent_when_the_process_is_the_hosts() -> None:
    assert run(DETECTOR, executed(build.host_process()), view_of()) == []


@pytest.mark.parametrize("fact", ["capabilities", "seccomp", "no_new_privs", "lsm_label"])
def test_blind_when_a_fact_of_the_session_is_missing(fact: str) -> None:
    task = session(**{fact: Unknown("denied: test")})
    assert find(task) == [Blind("denied: test", task.key)]


def test_blind_when_one_fact_is_missing_and_fires_on_another() -> None:
    task = session(capabilities=Unknown("gone"), seccomp=Seccomp(SeccompMode.DISABLED, 0))
    blind, finding = find(task)
    assert blind == Blind("gone", task.key)
    assert isinstance(finding, Finding)
    assert finding.evidence == (("no_seccomp_filter", True), ("entered_by", "runtime_exec"))


def test_blind_when_the_first_process_is_not_known() -> None:
    task = session()
    assert find(task, first=Unknown("not_read")) == [Blind("not_read", task.key)]


def test_blind_when_the_entry_is_not_known() -> None:
    task = session()
    assert judge(DETECTOR, build.member(task, entry=Unknown("not_read"))) == [Blind("not_read", task.key)]


def test_blind_when_the_member_cannot_be_resolved() -> None:
    task = session()
    view = view_of()
    view.members[task.key] = Unknown("not_read")
    assert run(DETECTOR, executed(task), view) == [Blind("not_read", task.key)]
