from __future__ import annotations

from typing import Any

import pytest

from collectors.confinement import CapabilitySet, Dimension, Widening
from collectors.events import CredentialChange
from collectors.facts import Confinement, Process, Unknown
from detectors.base import Blind, Confidence, Finding, Tier
from detectors.credentials_changed_without_cause import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen, view_of

UNPRIVILEGED = build.confinement(
    uids=build.ids(1000), capabilities=build.capabilities(0, bounding=build.DOCKER_CAPABILITIES)
)
ROOT = build.confinement()
NESTED_USER = build.own_user_namespace()


def pair(was: Confinement, now: Confinement, **overrides: Any) -> tuple[Process, Process]:
    """The same task before and after, with the same program image."""
    return build.process(confinement=was), build.process(confinement=now, **overrides)


def test_fires_when_a_process_becomes_root_where_it_stands() -> None:
    before, now = pair(UNPRIVILEGED, ROOT)
    assert judge(DETECTOR, build.member(now, previous=before)) == [
        Finding(
            message="It rose in permitted_capabilities, uids without an exec or a system call that could do so",
            container_id=build.container_id(),
            subject=now.key,
            evidence=(("risen", ("permitted_capabilities", "uids")),),
            widened=(
                Widening(
                    Dimension.PRIVILEGE,
                    "permitted_capabilities",
                    CapabilitySet(build.HOST_USER, 0),
                    CapabilitySet(build.HOST_USER, build.DOCKER_CAPABILITIES),
                ),
                Widening(Dimension.PRIVILEGE, "uids", build.ids(1000), build.ids(0)),
            ),
            confidence=Confidence.LIKELY,
        )
    ]


@pytest.mark.parametrize(
    ("tier", "confidence"),
    [(Tier.POLL, Confidence.LIKELY), (Tier.NETLINK, Confidence.LIKELY), (Tier.EBPF, Confidence.CERTAIN)],
)
def test_fires_when_any_sensor_sees_it_and_only_ebpf_is_certain(tier: Tier, confidence: Confidence) -> None:
    before, now = pair(UNPRIVILEGED, ROOT)
    (found,) = judge(DETECTOR, build.member(now, previous=before), tier=tier)
    assert isinstance(found, Finding)
    assert found.confidence is confidence


@pytest.mark.parametrize("name", ["real", "effective", "saved", "fs"])
def test_fires_when_a_single_uid_becomes_root(name: str) -> None:
    before, now = pair(
        UNPRIVILEGED,
        build.confinement(uids=build.ids(1000, **{name: 0}), capabilities=UNPRIVILEGED.capabilities),
    )
    event = CredentialChange(build.NOW_NS, now)
    (found,) = run(DETECTOR, event, view_of(build.member(now, previous=before)))
    assert isinstance(found, Finding)
    assert found.evidence == (("risen", ("uids",)),)


def test_fires_when_the_user_namespace_becomes_the_hosts() -> None:
    before, now = pair(build.confinement(namespaces=build.namespaces(user=NESTED_USER)), ROOT)
    (found,) = judge(DETECTOR, build.member(now, previous=before))
    assert isinstance(found, Finding)
    assert found.widened == (Widening(Dimension.NAMESPACES, "user_namespace", NESTED_USER, build.HOST_USER),)


def test_silent_when_it_executed_a_program_since() -> None:
    """su, sudo, ping: the image mark is another one."""
    before, now = pair(UNPRIVILEGED, ROOT, image_mark=123)
    assert judge(DETECTOR, build.member(now, previous=before)) == []


@pytest.mark.parametrize(
    ("was", "now"),
    [
        pytest.param(ROOT, UNPRIVILEGED, id="dropped"),
        pytest.param(
            build.confinement(uids=build.ids(1000, saved=0), capabilities=build.capabilities()),
            ROOT,
            id="root-was-saved",
        ),
        pytest.param(
            build.confinement(uids=build.ids(1000), capabilities=build.capabilities(build.CAP_SETUID)),
            build.confinement(capabilities=build.capabilities(build.CAP_SETUID)),
            id="had-cap-setuid",
        ),
        pytest.param(
            build.confinement(capabilities=build.capabilities(effective=0)), ROOT, id="effective-from-permitted"
        ),
        pytest.param(
            UNPRIVILEGED,
            build.confinement(
                uids=build.ids(1000),
                namespaces=build.namespaces(user=NESTED_USER),
                capabilities=build.capabilities(build.FULL_CAPABILITIES),
            ),
            id="unshare-user",
        ),
        pytest.param(ROOT, ROOT, id="unchanged"),
    ],
)
def test_silent_when_the_kernels_rules_allow_it(was: Confinement, now: Confinement) -> None:
    before, process = pair(was, now)
    assert judge(DETECTOR, build.member(process, previous=before)) == []


def test_silent_when_it_was_never_seen_before() -> None:
    assert judge(DETECTOR, build.member(build.process())) == []


def test_silent_when_it_is_a_process_of_the_host() -> None:
    process = build.host_process()
    assert run(DETECTOR, seen(process), FakeView().put_host(process)) == []


def test_blind_when_it_rose_and_an_exec_cannot_be_excluded() -> None:
    before, now = pair(UNPRIVILEGED, ROOT, image_mark=Unknown("denied"))
    assert judge(DETECTOR, build.member(now, previous=before)) == [Blind("image mark: denied", now.key)]


def test_blind_when_credentials_are_not_known() -> None:
    gone = Unknown("gone")
    before, now = pair(ROOT, build.confinement(uids=gone, capabilities=gone, namespaces=build.namespaces(user=gone)))
    assert judge(DETECTOR, build.member(now, previous=before)) == [
        Blind("user namespace: gone", now.key),
        Blind("uids: gone", now.key),
    ]
    before, now = pair(ROOT, build.confinement(capabilities=gone))
    assert judge(DETECTOR, build.member(now, previous=before)) == [Blind("capabilities: a fact is missing", now.key)]


def test_blind_when_the_member_is_not_known() -> None:
    process = build.process()
    view = view_of()
    view.members[process.key] = Unknown("no_bundle")
    assert run(DETECTOR, seen(process), view) == [Blind("no_bundle", process.key)]
