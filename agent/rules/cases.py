"""The tests that stand beside a rule in the configuration: fields, and what the rule is to make of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.rules.expression import EvaluationError, Missing, compile_expression
from agent.rules.fields import Value
from agent.rules.rule import message_of
from agent.rules_schema import RuleConfig, RuleTestConfig
from collectors.facts import Unknown


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case; ``problem`` is empty where it came as expected."""

    rule_id: str
    case: str
    expected: str
    problem: str


def run(rules: tuple[RuleConfig, ...]) -> Iterator[Result]:
    """Try every case of every rule, in the order of the file."""
    for rule in rules:
        for case in rule.tests:
            yield Result(rule.id, case.name, case.expect, _problem(rule, case))


def _problem(rule: RuleConfig, case: RuleTestConfig) -> str:
    """What is wrong with what the rule made of the case, in words; empty where nothing is."""
    values = {"event.kind": case.event or rule.events[0], **case.given}
    try:
        held = compile_expression(rule.when).holds(values)
    except EvaluationError as error:
        return f"it failed: {error}"
    if isinstance(held, Missing):
        return "" if case.expect == "blind" else f"it is blind: {held.field} is not given"
    came = "alert" if held else "silence"
    if came != case.expect:
        return f"it gave {came}"
    if case.message is None:
        return ""
    said = message_of(rule.message, _Given(values))
    return "" if said == case.message else f"it said {said!r}"


class _Given(dict[str, Value | Unknown]):
    """The fields of a case; a field that is not given is not known."""

    def __missing__(self, name: str) -> Unknown:
        return Unknown(f"not_read: {name} is not given")
