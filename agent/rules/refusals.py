"""What is wrong with operators' rules, beyond what types say: told when a configuration is read. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from agent.rules.expression import ExpressionError, compile_expression
from agent.rules.fields import FIELDS
from agent.rules.rule import PLACEHOLDER
from agent.rules_schema import RuleConfig, RuleTestConfig
from agent.text import clipped, visible

OWN_PREFIX = "HW-"

Refusal = tuple[tuple[str | int, ...], str]


def refusals(rules: Sequence[RuleConfig], known_rules: Iterable[str]) -> Iterator[Refusal]:
    """What is wrong with the rules: the path of the key below ``rules``, and the problem."""
    taken = dict.fromkeys(known_rules, "the id of a detector")
    for index, rule in enumerate(rules):
        if rule.id.startswith(OWN_PREFIX):
            yield (index, "id"), f"is {rule.id!r}; wanted an id that does not begin with {OWN_PREFIX}"
        elif rule.id in taken:
            yield (index, "id"), f"is {rule.id!r}, which is {taken[rule.id]}; wanted one id a rule"
        taken[rule.id] = f"the id of rules[{index}]"
        for key, problem in _refusals_of(rule):
            yield (index, *key), problem


def _refusals_of(rule: RuleConfig) -> Iterator[Refusal]:
    yield from _of_condition(rule)
    yield from _of_message(rule)
    for number, name in enumerate(rule.once_per):
        if name not in fields_of(rule):
            yield ("once_per", number), _is_not_of(name, rule)
    for number, case in enumerate(rule.tests):
        yield from ((("tests", number, *key), problem) for key, problem in _of_case(case, rule))


def _of_condition(rule: RuleConfig) -> Iterator[Refusal]:
    try:
        expression = compile_expression(rule.when)
    except ExpressionError as error:
        wanted = f"; {_fields_near(error.unknown, rule)}" if error.unknown is not None else ""
        yield ("when",), f"{error}{wanted}"
        return
    for name in sorted(expression.fields - fields_of(rule)):
        yield ("when",), _is_not_of(name, rule)


def _of_message(rule: RuleConfig) -> Iterator[Refusal]:
    bare = PLACEHOLDER.sub("", rule.message)
    if "{" in bare or "}" in bare:
        yield ("message",), "has a brace that belongs to no field; wanted {process.name} and the like"
    for name in PLACEHOLDER.findall(rule.message):
        if name not in fields_of(rule):
            yield ("message",), _is_not_of(name, rule)


def _of_case(case: RuleTestConfig, rule: RuleConfig) -> Iterator[Refusal]:
    if case.event is not None and case.event not in rule.events:
        yield ("event",), f"is {case.event!r}; wanted one of the rule's events: {', '.join(rule.events)}"
    if case.message is not None and case.expect != "alert":
        yield ("message",), f"is given, but {case.expect} is expected"
    for name, value in case.given.items():
        if name not in fields_of(rule):
            yield ("given", name), _is_not_of(name, rule)
        elif not _is_of(value, name):
            yield ("given", name), f"is {value!r:.80}; wanted {FIELDS[name].kind.value}"


def fields_of(rule: RuleConfig) -> frozenset[str]:
    """The fields that every event of the rule has."""
    return frozenset(name for name, field in FIELDS.items() if field.events.issuperset(rule.events))


def _is_not_of(name: str, rule: RuleConfig) -> str:
    if name not in FIELDS:
        return f"names {visible(clipped(repr(name), 80))}, which is no field; {_fields_near(name, rule)}"
    without = next(event for event in rule.events if event not in FIELDS[name].events)
    return f"names {name}, which the event {without} has not; {_fields_near(name, rule)}"


def _fields_near(name: str, rule: RuleConfig) -> str:
    """What may have been meant, or, where nothing is near, all that there is."""
    known = sorted(fields_of(rule))
    near = difflib.get_close_matches(name, known, n=3)
    return f"wanted fields of {', '.join(rule.events)}: {', '.join(near or known)}"


def _is_of(value: object, name: str) -> bool:
    """A bool is no number, though Python's is."""
    kinds: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "bool": (bool,), "list(string)": (list,)}
    wanted = kinds.get(FIELDS[name].kind.value, (dict,))
    return isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
