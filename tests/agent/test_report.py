from __future__ import annotations

import unicodedata
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report import alert_id
from collectors.events import SweepDone
from collectors.facts import Pod
from detectors.base import Family, Finding, Severity
from tests.agent import alerts
from tests.support import build


def test_takes_everything_from_finding_declaration_event_and_view() -> None:
    process = alerts.escaped()
    told = alerts.alert(process, repeats=3)
    assert told.severity is Severity.CRITICAL
    assert told.at_ns == build.NOW_NS
    assert told.process == process
    assert [each.name for each in told.ancestors] == [b"sleep", b"containerd-shim"]
    assert told.container == build.container()
    assert told.observed == process.confinement
    assert told.baseline == build.first_process().confinement
    assert told.repeats == 3
    assert (
        told.message == "Container web-1 (debian:12), process nsenter (pid 4242): has joined the host's mnt namespace"
    )


def test_the_finding_s_severity_comes_first() -> None:
    process = alerts.escaped()
    assert alerts.alert(process, finding=alerts.drift(process, severity=Severity.HIGH)).severity is Severity.HIGH


def test_names_pod_and_container_of_kubernetes() -> None:
    container = build.container(pod=Pod("shop", "cart-7d9f", "uid-1", "cart", is_sandbox=False))
    assert alerts.alert(container=container).message.startswith(
        "Pod shop/cart-7d9f container cart (debian:12), process nsenter (pid 4242): has"
    )


def test_names_the_thread_that_acted() -> None:
    process = build.process()
    thread = build.thread(process, 4243, alerts.escaped().confinement)
    assert "process bash (pid 4242 thread 4243): has" in alerts.alert(thread).message


def test_a_container_as_a_whole_has_no_process() -> None:
    finding = Finding("shares the host's pid namespace", build.container_id())
    told = alerts.alert(declaration=alerts.detector(Family.EXPOSURE), finding=finding)
    assert told.process is None
    assert told.observed is None
    assert told.message == "Container web-1 (debian:12): shares the host's pid namespace"


def test_neither_container_nor_process() -> None:
    assert alerts.alert(finding=Finding("the kernel ran it", None)).message == "The kernel ran it"


def test_a_process_that_is_gone_keeps_its_identity() -> None:
    finding = alerts.drift(alerts.escaped(), subject=build.key(77))
    told = alerts.alert(finding=finding, event=SweepDone(build.NOW_NS, 1, 1, 1))
    assert told.process is None
    assert told.subject == build.key(77)
    assert "process with pid 77: has joined" in told.message


@given(st.binary(max_size=64), st.text(st.characters(categories=None), max_size=300))
def test_the_message_is_one_visible_bounded_line(name: bytes, container_name: str) -> None:
    process = alerts.escaped(name=name)
    container = build.container(name=container_name, image=container_name)
    message = alerts.alert(process, container).message
    message.encode("utf-8")
    assert len(message) <= 1024
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in message)


def test_the_same_events_give_the_same_alert() -> None:
    declaration = alerts.detector()
    assert alerts.alert(declaration=declaration) == alerts.alert(declaration=declaration)


@given(st.integers(0, 2**63), st.integers(1, 2**40))
def test_an_id_is_a_uuid_of_version_7(at_ns: int, sequence: int) -> None:
    made = UUID(alert_id(at_ns, sequence, "boot"))
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


@given(st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 2**20 - 1)), min_size=2, max_size=2, unique=True))
def test_ids_are_ordered_by_time_then_by_sequence(pairs: list[tuple[int, int]]) -> None:
    early, late = sorted(pairs)
    late = (max(late[0], early[0] + 250), late[1]) if late[0] != early[0] else late  # 12 bits tell 244 ns
    assert alert_id(early[0], early[1], "boot") < alert_id(late[0], late[1], "boot")


@pytest.mark.parametrize("other", [(build.NOW_NS, 2, "a"), (build.NOW_NS + 1, 1, "a"), (build.NOW_NS, 1, "b")])
def test_ids_are_apart(other: tuple[int, int, str]) -> None:
    assert alert_id(build.NOW_NS, 1, "a") != alert_id(*other)


def test_created_is_when_the_process_was_read() -> None:
    assert alerts.alert(replace(alerts.escaped(), observed_ns=5)).created_ns == 5
