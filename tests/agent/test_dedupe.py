from __future__ import annotations

from dataclasses import replace

from agent.dedupe import Dedupe, Repeated, Told
from collectors.confinement import Dimension, Widening
from detectors.base import Finding, Severity
from tests.support import build

FINDING = Finding("joined", "c1", build.key(10), evidence=(("namespace", "mnt"),), inherited=True)
WIDER = replace(FINDING, widened=(Widening(Dimension.ROOT, "root", 1, 2),))


def child(finding: Finding, pid: int) -> Finding:
    return replace(finding, subject=build.key(pid))


def test_tells_once_and_counts_repetitions() -> None:
    dedupe = Dedupe()
    assert dedupe.judge("HW-101", FINDING) == Told(0)
    assert dedupe.judge("HW-101", FINDING) == Repeated(1)
    assert dedupe.judge("HW-101", FINDING) == Repeated(2)
    assert dedupe.repeated == 2


def test_tells_what_changed_and_hands_out_the_count() -> None:
    dedupe = Dedupe()
    dedupe.judge("HW-101", FINDING)
    dedupe.judge("HW-101", FINDING)
    assert dedupe.judge("HW-101", WIDER) == Told(1)
    assert dedupe.judge("HW-101", replace(WIDER, severity=Severity.HIGH)) == Told(0)
    assert dedupe.judge("HW-101", replace(WIDER, severity=Severity.HIGH, evidence=())) == Told(0)


def test_the_message_is_no_change() -> None:
    dedupe = Dedupe()
    dedupe.judge("HW-101", FINDING)
    assert dedupe.judge("HW-101", replace(FINDING, message="other words")) == Repeated(1)


def test_rule_container_and_subject_are_apart() -> None:
    dedupe = Dedupe()
    for rule, finding in (
        ("HW-101", FINDING),
        ("HW-102", FINDING),
        ("HW-101", replace(FINDING, container_id="c2")),
        ("HW-101", child(FINDING, 11)),
    ):
        assert dedupe.judge(rule, finding) == Told(0)


def test_an_identity_stands_for_container_and_subject() -> None:
    dedupe = Dedupe()
    drifted = Finding("ran", "c1", build.key(10), identity=("debian:12", "/tmp/x"))
    assert dedupe.judge("HW-223", drifted) == Told(0)
    assert dedupe.judge("HW-223", replace(drifted, container_id="c2", subject=build.key(20))) == Repeated(1)
    assert dedupe.judge("HW-222", drifted) == Told(0)
    assert dedupe.judge("HW-223", replace(drifted, identity=("debian:12", "/tmp/y"))) == Told(0)


def test_a_child_that_shows_the_same_is_counted_with_its_ancestor() -> None:
    dedupe = Dedupe()
    dedupe.judge("HW-101", FINDING)
    assert dedupe.judge("HW-101", child(FINDING, 11), [build.key(10)]) == Repeated(1)
    # the grandchild meets the child's alias, also where the first one is no longer among its ancestors
    assert dedupe.judge("HW-101", child(FINDING, 12), [build.key(11)]) == Repeated(2)
    assert dedupe.judge("HW-101", WIDER) == Told(2)
    assert dedupe.judge("HW-101", child(FINDING, 12), [build.key(11)]) == Repeated(3)


def test_a_child_that_shows_more_is_told() -> None:
    dedupe = Dedupe()
    dedupe.judge("HW-101", FINDING)
    assert dedupe.judge("HW-101", child(WIDER, 11), [build.key(10)]) == Told(0)


def test_a_child_of_another_container_or_rule_is_told() -> None:
    dedupe = Dedupe()
    dedupe.judge("HW-101", FINDING)
    assert dedupe.judge("HW-101", replace(child(FINDING, 11), container_id="c2"), [build.key(10)]) == Told(0)
    assert dedupe.judge("HW-103", child(FINDING, 12), [build.key(10)]) == Told(0)


def test_a_finding_that_is_not_inherited_is_told_for_each_process() -> None:
    dedupe = Dedupe()
    own = replace(FINDING, inherited=False)
    dedupe.judge("HW-101", own)
    assert dedupe.judge("HW-101", child(own, 11), [build.key(10)]) == Told(0)


def test_forgets_what_was_not_met_for_longest_and_counts_it() -> None:
    dedupe = Dedupe(limit=2)
    dedupe.judge("HW-101", FINDING)
    dedupe.judge("HW-102", FINDING)
    dedupe.judge("HW-101", FINDING)
    dedupe.judge("HW-103", FINDING)
    assert len(dedupe) == 2
    assert dedupe.evicted == 1
    assert dedupe.judge("HW-101", FINDING) == Repeated(2)
    assert dedupe.judge("HW-102", FINDING) == Told(0)


def test_what_grows_is_told_again_only_when_it_is_worse() -> None:
    dedupe = Dedupe()
    net = replace(FINDING, severity=Severity.HIGH, evidence=(("namespaces", ("net",)),), news=())
    more = replace(net, evidence=(("namespaces", ("net", "ipc")),))
    worst = replace(net, severity=Severity.CRITICAL, evidence=(("namespaces", ("mnt", "net", "ipc")),))
    assert dedupe.judge("HW-101", net) == Told(0)
    assert dedupe.judge("HW-101", more) == Repeated(1)
    assert dedupe.judge("HW-101", worst) == Told(1)
    assert dedupe.judge("HW-101", more) == Repeated(1)
    assert dedupe.judge("HW-101", worst) == Repeated(2)


def test_a_child_of_what_grew_is_the_same_story_unless_it_is_worse() -> None:
    dedupe = Dedupe()
    net = replace(FINDING, severity=Severity.HIGH, news=())
    dedupe.judge("HW-101", net)
    born = replace(child(net, 11), evidence=(("namespaces", ("net", "ipc")),))
    assert dedupe.judge("HW-101", born, [build.key(10)]) == Repeated(1)
    assert dedupe.judge("HW-101", replace(child(net, 12), severity=Severity.CRITICAL), [build.key(10)]) == Told(0)


def test_other_news_of_what_grows_is_told() -> None:
    dedupe = Dedupe()
    assert dedupe.judge("HW-102", replace(FINDING, news=("c2",))) == Told(0)
    assert dedupe.judge("HW-102", replace(FINDING, news=("c2", "c3"))) == Told(0)
