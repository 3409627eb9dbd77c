"""From a rule of the configuration to a detector that the pipeline runs like any other.

Where a fact is missing the rule is ``Blind``. An evaluation that fails raises, and the pipeline counts it and tells
HW-906. So does a rule that is slow: after ``SLOW_LIMIT`` evaluations of more than ``SLOW_NS`` it is switched off until
the configuration is read again, and is blind from then on. Each rule is owned by the pipeline's thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from agent.rules.events import EVENTS
from agent.rules.expression import Expression, Missing, compile_expression
from agent.rules.fields import FIELDS, Context, Value, context_of
from agent.rules_schema import RuleConfig
from agent.text import clipped
from collectors.events import Event
from collectors.facts import Process, Unknown
from detectors.base import Blind, Detector, EvidenceValue, Family, Finding, NodeView, Severity, Technique, Tier

SLOW_NS = 5_000_000  # CPU time; a usual evaluation takes some 10 µs
SLOW_LIMIT = 10
MAX_SHOWN = 256

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class SlowRuleError(Exception):
    """A rule took too long too often, and is switched off."""


def no_timer() -> int:
    """The time that passes where nobody measures it."""
    return 0


def detectors_of(rules: Iterable[RuleConfig], timer_ns: Callable[[], int] = no_timer) -> tuple[Detector, ...]:
    """The rules as detectors; ``refusals`` was asked before. ``timer_ns`` is CPU time of the pipeline's thread."""
    return tuple(_detector(rule, timer_ns) for rule in rules)


def message_of(template: str, values: Mapping[str, Value | Unknown]) -> str:
    """The message, with the values of its fields in it."""

    def shown(found: re.Match[str]) -> str:
        value = values[found[1]]
        return "?" if isinstance(value, Unknown) else clipped(_as_text(value), MAX_SHOWN)

    return PLACEHOLDER.sub(shown, template)


def _as_text(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(value)
        case dict():
            return ", ".join(f"{name}={text}" for name, text in value.items())
        case _:
            return str(value)


class _Rule:
    """One rule at work; called as a detector's ``check``."""

    def __init__(self, config: RuleConfig, expression: Expression, timer_ns: Callable[[], int]) -> None:
        self._config = config
        self._expression = expression
        self._timer_ns = timer_ns
        self._told = tuple(dict.fromkeys((*PLACEHOLDER.findall(config.message), *config.once_per)))
        self._read = tuple(sorted({*expression.fields, *self._told}))
        self._slow = 0

    def __call__(self, event: Event, view: NodeView) -> Iterator[Finding | Blind]:
        context = context_of(event, view)
        if isinstance(context, Unknown):
            yield Blind(context.why)
            return
        if not _is_in_scope(self._config.scope, context):
            return
        if self._slow == SLOW_LIMIT:
            self._slow += 1
            text = f"{SLOW_LIMIT} evaluations took more than {SLOW_NS // 1_000_000} ms each: the rule is switched off"
            raise SlowRuleError(text)
        if self._slow > SLOW_LIMIT:
            yield Blind("error: the rule was too slow and is switched off")
            return
        facts = {name: FIELDS[name].read(context) for name in self._read}
        held = self._holds({name: value for name, value in facts.items() if not isinstance(value, Unknown)})
        if isinstance(held, Missing):
            fact = facts.get(held.field)
            yield Blind(f"{held.field}: {fact.why if isinstance(fact, Unknown) else 'not_read'}")
        elif held:
            yield self._finding(context, facts)

    def _holds(self, values: Mapping[str, Value]) -> bool | Missing:
        started_ns = self._timer_ns()
        try:
            return self._expression.holds(values)
        finally:
            self._slow += self._timer_ns() - started_ns > SLOW_NS

    def _finding(self, context: Context, facts: Mapping[str, Value | Unknown]) -> Finding:
        container_id = context.container.id if context.container is not None else None
        told = self._config.once_per or self._told
        evidence = tuple((name.replace(".", "_"), _evidence(facts[name])) for name in told)
        identity = tuple(f"{name}={facts[name]!r}" for name in self._config.once_per)
        return Finding(
            message=message_of(self._config.message, facts),
            container_id=container_id,
            subject=context.process.key if isinstance(context.process, Process) else None,
            evidence=evidence,
            identity=identity,
        )


def _evidence(value: Value | Unknown) -> EvidenceValue:
    match value:
        case Unknown(why=why):
            return f"unknown: {why}"
        case list():
            return tuple(value)
        case dict():
            return tuple(f"{name}={text}" for name, text in value.items())
        case _:
            return value


def _is_in_scope(scope: str, context: Context) -> bool:
    """A runtime's process on its way into a container belongs to nobody yet."""
    process = context.process
    if isinstance(process, Process) and context.view.is_becoming(process):
        return False
    return scope == "all" or (scope == "containers") == (context.container is not None)


def _detector(rule: RuleConfig, timer_ns: Callable[[], int]) -> Detector:
    expression = compile_expression(rule.when)
    weakest = min((EVENTS[name].weakest for name in rule.events), key=list(Tier).index)
    return Detector(
        id=rule.id,
        name=rule.name,
        family=Family.OPERATOR,
        severity=Severity[rule.severity.upper()],
        techniques=tuple(Technique(each.id, each.name, each.tactic_id, each.tactic) for each in rule.techniques),
        wants=tuple(event for name in rule.events for event in EVENTS[name].events),
        check=_Rule(rule, expression, timer_ns),
        weakest=weakest,
        summary=rule.description or rule.message,
        benign=(),
        misses=(),
        advice=rule.advice,
        references=rule.references,
    )
