from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.formats.ecs import to_ecs
from agent.incidents import INCIDENT
from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.report import AlertBuilder
from agent.rules.rule import SLOW_LIMIT, SLOW_NS, SlowRuleError, detectors_of
from agent.rules_schema import RuleConfig, RuleTechniqueConfig
from agent.state import NodeState
from collectors.events import ContainerSeen, Exec, KernelValue, NamespaceChange, RawSocketHeld, TcpConnected
from collectors.facts import Connection, ProcessKey, Unknown
from detectors.base import Blind, Detector, Family, Finding, Severity, Tier
from detectors.detector_failed import DETECTOR as DETECTOR_FAILED
from tests.agent import alerts
from tests.support import build
from tests.support.view import FakeView, executed, run, view_of

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "alert.schema.json"


def rule(**keys: Any) -> Detector:
    config = {
        "id": "OPS-1",
        "name": "mine",
        "severity": "medium",
        "events": ("exec",),
        "when": "process.uid == 0",
        "message": "root runs {process.executable}",
    }
    (made,) = detectors_of([RuleConfig(**{**config, **keys})])
    return made


TASK = build.process()
MEMBER = build.member(TASK)


def test_fires_when_the_condition_holds() -> None:
    assert run(rule(), executed(TASK), view_of(MEMBER)) == [
        Finding(
            message="root runs /usr/bin/bash",
            container_id=build.container_id(),
            subject=TASK.key,
            evidence=(("process_executable", "/usr/bin/bash"),),
        )
    ]


def test_silent_when_it_does_not() -> None:
    assert run(rule(when="process.uid == 7"), executed(TASK), view_of(MEMBER)) == []


def test_blind_when_a_fact_is_missing() -> None:
    task = replace(TASK, confinement=build.confinement(uids=Unknown("denied")))
    found = run(rule(), executed(task), view_of(build.member(task)))
    assert found == [Blind("process.uid: denied")]


@pytest.mark.parametrize("scope", ["containers", "host", "all"])
def test_blind_when_whose_process_it_is_is_not_known(scope: str) -> None:
    view = FakeView(members={TASK.key: Unknown("not_read: the container is not known")})
    found = run(rule(scope=scope), executed(TASK), view)
    assert found == [Blind("not_read: the container is not known")]


def test_blind_when_a_socket_is_of_an_unknown_container() -> None:
    event = RawSocketHeld(build.NOW_NS, build.container_id(), None, 7, "packet", 3)
    found = run(rule(events=("raw_socket",), when="true", message="x"), event, FakeView())
    assert found == [Blind("not_read: the container is not known")]


def test_silent_when_what_is_missing_decides_nothing() -> None:
    task = replace(TASK, confinement=build.confinement(uids=Unknown("denied")))
    detector = rule(when="process.uid == 0 && process.name == 'nobody'")
    assert run(detector, executed(task), view_of(build.member(task))) == []


def test_a_fact_that_is_missing_in_the_message_is_a_question_mark() -> None:
    task = replace(TASK, executable=Unknown("gone"))
    (found,) = run(rule(), executed(task), view_of(build.member(task)))
    assert isinstance(found, Finding)
    assert found.message == "root runs ?"
    assert found.evidence == (("process_executable", "unknown: gone"),)


@pytest.mark.parametrize(
    ("scope", "of_a_container", "of_the_host"), [("containers", 1, 0), ("host", 0, 1), ("all", 1, 1)]
)
def test_looks_at_what_is_in_its_scope(scope: str, of_a_container: int, of_the_host: int) -> None:
    detector, host = rule(scope=scope), build.host_process()
    assert len(run(detector, executed(TASK), view_of(MEMBER))) == of_a_container
    assert len(run(detector, executed(host), FakeView().put_host(host))) == of_the_host


@pytest.mark.parametrize("scope", ["containers", "host", "all"])
def test_silent_while_a_process_is_becoming_a_container(scope: str) -> None:
    view = FakeView(becoming={TASK.key})
    assert run(rule(scope=scope), executed(TASK), view) == []


def test_once_per_is_the_identity() -> None:
    (found,) = run(rule(once_per=("container.id", "process.uid")), executed(TASK), view_of(MEMBER))
    assert isinstance(found, Finding)
    assert found.identity == (f"container.id='{build.container_id()}'", "process.uid=0")
    assert found.evidence == (("container_id", build.container_id()), ("process_uid", 0))


def test_a_long_value_is_cut_in_the_message() -> None:
    task = replace(TASK, arguments=b"x" * 3000)
    (found,) = run(rule(message="{process.command_line}"), executed(task), view_of(build.member(task)))
    assert isinstance(found, Finding)
    assert len(found.message) == 256


def test_names_that_are_no_text_are_made_valid() -> None:
    task = replace(TASK, name=b"\xff\x1b[2J")
    detector = rule(when=r'process.name.contains("\u001b")', message="{process.name}")
    (found,) = run(detector, executed(task), view_of(build.member(task)))
    assert isinstance(found, Finding)
    assert found.message == "\ufffd\x1b[2J"


CONTAINER = build.container(labels=(("tier", "db"),), image="postgres:16")
KEY = ProcessKey(99, 1)


@pytest.mark.parametrize(
    ("events", "when", "event"),
    [
        (("container",), "container.labels['tier'] == 'db'", ContainerSeen(build.NOW_NS, CONTAINER)),
        (
            ("tcp",),
            "connection.remote_port == 2375 && connection.to_this_node",
            TcpConnected(
                build.NOW_NS,
                build.container_id(),
                None,
                7,
                Connection("tcp", "10.0.0.2", 40000, "10.0.0.1", 2375, is_incoming=False),
                is_to_this_node=True,
            ),
        ),
        (
            ("kernel_value",),
            "value.name == 'core_pattern' && value.after.startsWith('|')",
            KernelValue(build.NOW_NS, "core_pattern", b"core", b"|/x", b"/proc/sys/kernel/core_pattern"),
        ),
        (("seen",), "event.kind == 'namespaces'", NamespaceChange(build.NOW_NS, TASK)),
        (("exec",), "'CAP_NET_RAW' in process.capabilities && process.seccomp == 'filter'", Exec(build.NOW_NS, TASK)),
        (("exec",), "process.layer == 'image' && 'user' in process.host_namespaces", Exec(build.NOW_NS, TASK)),
        (("exec",), "declared.mounts['/proc'] == 'proc' && declared.seccomp", Exec(build.NOW_NS, TASK)),
    ],
    ids=["container", "tcp", "kernel-value", "seen", "capabilities", "layer", "declared"],
)
def test_reads_the_fields_of(events: tuple[str, ...], when: str, event: Any) -> None:
    view = view_of(MEMBER)
    view.known_containers[build.container_id()] = replace(CONTAINER, id=build.container_id())
    detector = rule(events=events, when=when, message="seen", scope="all")
    found = run(detector, event, view)
    assert [each.message for each in found if isinstance(each, Finding)] == ["seen"]


def test_the_declaration_is_what_was_written() -> None:
    technique = RuleTechniqueConfig(id="T1059", name="Interpreter", tactic_id="TA0002", tactic="Execution")
    made = rule(events=("exec", "container"), techniques=(technique,), advice=("Ask.",), severity="high")
    assert (made.id, made.name, made.family, made.severity) == ("OPS-1", "mine", Family.OPERATOR, Severity.HIGH)
    assert made.wants == (Exec, ContainerSeen)
    assert made.weakest is Tier.POLL
    assert made.techniques[0].tactic == "Execution"
    assert made.summary == "root runs {process.executable}"


class Clock:
    """CPU time in which each evaluation takes ``step_ns``."""

    def __init__(self, step_ns: int) -> None:
        self.now_ns, self.step_ns = 0, step_ns

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


def slow(step_ns: int) -> Detector:
    config = RuleConfig(
        id="OPS-1", name="mine", severity="low", events=("exec",), when="process.uid == 0", message="root"
    )
    (made,) = detectors_of([config], Clock(step_ns))
    return made


def test_a_rule_that_is_slow_is_switched_off_and_says_so() -> None:
    detector, view = slow(SLOW_NS + 1), view_of(MEMBER)
    for _ in range(SLOW_LIMIT):
        assert len([each for each in run(detector, executed(TASK), view) if isinstance(each, Finding)]) == 1
    with pytest.raises(SlowRuleError, match="the rule is switched off"):
        run(detector, executed(TASK), view)
    assert run(detector, executed(TASK), view) == [Blind("error: the rule was too slow and is switched off")]


def test_a_rule_that_is_quick_stays_on() -> None:
    detector, view = slow(SLOW_NS), view_of(MEMBER)
    for _ in range(3 * SLOW_LIMIT):
        assert len(run(detector, executed(TASK), view)) == 1


def test_a_rule_that_fails_is_told_once_and_stops_nothing() -> None:
    rules = (rule(when="process.args[99] == ''", scope="all"), rule(id="OPS-2", scope="all"))
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=100, max_containers=10)
    core = Pipeline(state, (*rules, DETECTOR_FAILED), Policy(()), AlertBuilder(alerts.HOST, "0.1.0"), "boot")
    found = [*core.feed(executed(TASK)), *core.feed(executed(TASK))]
    assert [each.detector.id for each in found] == ["HW-906", "OPS-2", INCIDENT.id]
    document = to_ecs(found[1])
    assert document["rule"]["ruleset"] == "operator"
    assert document["event"]["dataset"] == "hullwatch.operator"
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert core.counts["OPS-1"].failures == {"EvaluationError: UNKNOWN: Index error": 2}
