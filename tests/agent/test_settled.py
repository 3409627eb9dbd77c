"""Where the engine does not ask detectors, because their answer is known: comparisons, and what nobody holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.report import AlertBuilder
from agent.state import NodeState
from collectors.events import ContainerSeen, CredentialChange, Event, Exec, MountTable, ProcessEvent, Seen
from collectors.facts import NOT_READ, Confinement, DescriptorKind, Process, Unknown
from detectors.base import Blind, Detector, Family, Finding, NodeView, Tier
from detectors.catalog import DETECTORS
from tests.agent import alerts
from tests.support import build

WORKER = 4242
DENIED = Unknown("denied: test")
SPARED = tuple(each for each in DETECTORS if each.compares or each.holds)
ASKED = tuple(replace(each, compares=False, holds=False) for each in SPARED)

# One value as in the container, and others: the host's, a neighbour's, wider, narrower, not known.
VALUES: dict[str, tuple[Any, ...]] = {
    "namespaces": (
        build.namespaces(),
        build.namespaces(),
        build.namespaces(mnt=build.HOST_MNT),
        build.host_namespaces(),
        build.namespaces(net=build.namespaces(2).net),
        build.namespaces(pid=DENIED),
    ),
    "root": (build.root_place(), build.root_place(), build.HOST_ROOT_PLACE, build.directory(), DENIED),
    "cwd": (build.root_place(), build.directory()),
    "uids": (build.ids(), build.ids(1000)),
    "capabilities": (
        build.capabilities(),
        build.capabilities(0),
        build.capabilities(build.FULL_CAPABILITIES),
        DENIED,
    ),
    "no_new_privs": (False, True, DENIED),
    "seccomp": (build.seccomp(), build.seccomp(2), build.seccomp(0), DENIED),
    "lsm_label": (build.DOCKER_DEFAULT, build.UNCONFINED, DENIED),
    "cgroups": (build.cgroups(), build.cgroups(b"/"), build.cgroups(number=2), DENIED),
}
confinements = st.builds(
    lambda parts: replace(build.confinement(), **parts),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}),
)


descriptors = st.sampled_from(
    (
        NOT_READ,
        (),
        (build.descriptor(3, build.host_directory()),),
        (build.descriptor(4, build.host_directory(), DescriptorKind.BLOCK_DEVICE, rdev=build.HOST_DEVICE),),
        (build.descriptor(5, build.directory(), DescriptorKind.NAMESPACE, target=b"mnt:[%d]" % build.HOST_MNT),),
    )
)


def core(*detectors: Detector) -> Pipeline:
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=100, max_containers=10)
    pipeline = Pipeline(state, detectors, Policy(()), AlertBuilder(alerts.HOST, "0.1.0"), "boot")
    for event in began():
        assert list(pipeline.feed(event)) == []
    return pipeline


def began() -> Iterator[Event]:
    for number in (1, 2):
        first = build.first_process(number)
        yield ContainerSeen(build.NOW_NS, build.container(number))
        yield MountTable(
            build.NOW_NS, build.mnt_namespace(number), build.container_id(number), first.key, build.mount_table(number)
        )
        yield Seen(build.NOW_NS, first)


def worker(
    confinement: Confinement, step: int, kind: type[ProcessEvent] = Exec, pid: int = WORKER, **facts: Any
) -> ProcessEvent:
    at_ns = build.NOW_NS + step
    return kind(at_ns, build.process(pid, confinement=confinement, observed_ns=at_ns, image_mark=step, **facts))


class Asked:
    """A detector that has nothing to say but what it is told to, and counts how often it is asked about the worker."""

    def __init__(self, *, compares: bool, answer: Finding | Blind | None = None) -> None:
        self.times = 0
        self._answer = answer
        self.detector = alerts.detector(
            Family.DRIFT, id=f"HW-19{int(compares)}", check=self._check, compares=compares, wants=(ProcessEvent,)
        )

    def _check(self, event: ProcessEvent, view: NodeView) -> Iterator[Finding | Blind]:
        if view.member(event.process) is not None and event.process.key.pid == WORKER:
            self.times += 1
            yield from (self._answer,) if self._answer is not None else ()


def feed(pipeline: Pipeline, *events: Event) -> list[str]:
    return [alert.detector.id for event in events for alert in pipeline.feed(event)]


def test_who_stands_as_before_is_asked_about_by_the_others_only() -> None:
    comparing, other = Asked(compares=True), Asked(compares=False)
    pipeline = core(comparing.detector, other.detector)
    feed(pipeline, *(worker(build.confinement(), step) for step in (1, 2, 3)))
    assert (comparing.times, other.times) == (0, 3)  # the first process stood so already
    assert pipeline.counts[comparing.detector.id].checks == 2  # the first processes


def test_the_working_directory_is_no_standing() -> None:
    comparing = Asked(compares=True)
    feed(core(comparing.detector), worker(build.confinement(cwd=build.directory()), 1))
    assert comparing.times == 0


@pytest.mark.parametrize("aspect", sorted(VALUES.keys() - {"cwd"}))
def test_who_stands_otherwise_is_asked_about(aspect: str) -> None:
    for value in VALUES[aspect]:
        if value == VALUES[aspect][0]:
            continue
        comparing = Asked(compares=True)
        feed(core(comparing.detector), worker(replace(build.confinement(), **{aspect: value}), 1))
        assert comparing.times == 1, value


def test_who_stood_otherwise_before_is_asked_about() -> None:
    comparing = Asked(compares=True)
    pipeline = core(comparing.detector)
    feed(pipeline, worker(build.confinement(seccomp=build.seccomp(2)), 1), worker(build.confinement(), 2))
    assert comparing.times == 2
    feed(pipeline, worker(build.confinement(), 3))
    assert comparing.times == 2


@pytest.mark.parametrize("answer", [Finding("did it", build.container_id()), Blind("denied: test")])
def test_what_somebody_had_to_say_about_is_asked_about_again(answer: Finding | Blind) -> None:
    comparing = Asked(compares=True, answer=answer)
    drifted = build.confinement(uids=build.ids(1000))
    pipeline = core(comparing.detector, Asked(compares=False).detector)
    feed(pipeline, *(worker(drifted, step) for step in (1, 2, 3)))
    assert comparing.times == 3


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ContainerSeen(build.NOW_NS, build.container(cgroup_paths=frozenset({b"/other"}))), id="container"),
        pytest.param(
            MountTable(
                build.NOW_NS,
                build.mnt_namespace(),
                build.container_id(),
                build.first_process().key,
                build.mount_table()[:-1],
            ),
            id="mount-table",
        ),
    ],
)
def test_a_change_of_what_is_compared_with_has_it_asked_about(change: Event) -> None:
    comparing = Asked(compares=True)
    pipeline = core(comparing.detector)
    feed(pipeline, change, worker(build.confinement(), 1), worker(build.confinement(), 2))
    assert comparing.times == 1


def test_new_detectors_are_asked_whatever_the_old_ones_had_settled() -> None:
    comparing = Asked(compares=True)
    pipeline = core(comparing.detector)
    pipeline.use([comparing.detector])
    feed(pipeline, worker(build.confinement(), 1))
    assert comparing.times == 1


def test_detectors_that_judge_what_is_held_are_not_asked_where_nothing_is() -> None:
    holding = replace(Asked(compares=True).detector, compares=False, holds=True)
    pipeline = core(holding)
    before = pipeline.counts[holding.id].checks
    feed(pipeline, worker(build.confinement(), 1, descriptors=()), worker(build.confinement(), 2, descriptors=DENIED))
    assert pipeline.counts[holding.id].checks == before
    assert pipeline.counts[holding.id].blind["descriptors: denied: test"] == 1
    feed(pipeline, worker(build.confinement(), 3, descriptors=(build.descriptor(3, build.host_directory()),)))
    assert pipeline.counts[holding.id].checks == before + 1


def test_these_detectors_are_spared() -> None:
    comparing = {"HW-101", "HW-102", "HW-103", "HW-105", "HW-106", "HW-107", "HW-109"}
    holding = {"HW-201", "HW-203", "HW-204", "HW-213", "HW-216", "HW-221", "HW-225", "HW-226"}
    assert {each.id for each in SPARED if each.compares} == comparing
    assert {each.id for each in SPARED if each.holds} == holding


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            confinements,
            descriptors,
            st.sampled_from((Exec, Seen, CredentialChange)),
            st.sampled_from((WORKER, WORKER + 1, build.first_pid())),
        ),
        max_size=8,
    )
)
def test_nothing_is_found_or_left_out_that_would_be_if_all_were_asked_always(
    steps: list[tuple[Confinement, object, type[ProcessEvent], int]],
) -> None:
    sparing, asking = core(*SPARED), core(*ASKED)
    for step, (confinement, held, kind, pid) in enumerate(steps):
        event = worker(confinement, step, kind, pid, descriptors=held)
        assert told(sparing, event) == told(asking, event)
    for each in SPARED:
        assert sparing.counts[each.id].blind == asking.counts[each.id].blind


def told(pipeline: Pipeline, event: Event) -> list[tuple[str, object, Process | None]]:
    return [(alert.detector.id, alert.evidence, alert.process) for alert in pipeline.feed(event)]
