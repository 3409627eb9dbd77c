"""The reference page of operators' own rules, in Markdown; made of the tables of events and fields."""

from __future__ import annotations

from collections.abc import Iterator

from agent.rules.events import EVENTS
from agent.rules.expression import MAX_EXPRESSION
from agent.rules.fields import FIELDS
from agent.rules.rule import SLOW_LIMIT, SLOW_NS

EXAMPLE = """\
rules:
  - id: OPS-1
    name: root_program_from_tmp
    severity: medium
    events: [exec, seen]
    when: process.uid == 0 && process.executable.startsWith("/tmp/")
    message: "root runs {process.executable}"
    once_per: [container.id, process.executable]
    description: A program below /tmp runs as root in a container.
    advice: [Ask the owner of the image who puts programs there.]
    techniques: [{id: T1059, name: Command and Scripting Interpreter, tactic_id: TA0002, tactic: Execution}]
    tests:
      - name: a program that was dropped
        given: {process.uid: 0, process.executable: /tmp/x}
        expect: alert
        message: root runs /tmp/x
      - name: a program of the image
        given: {process.uid: 0, process.executable: /usr/bin/sort}
        expect: silence
      - name: a program that could not be read
        given: {process.uid: 0}
        expect: blind
"""

_PAGE = """\
# Rules of your own

<!-- Generated from agent/rules/*.py by `make docs`: do not edit. -->

A rule looks at events and says of each whether it is worth an alert. It stands in the configuration, under `rules`
([all keys](config.md)), is checked when that is read, and its alerts have the same schema, go the same way and join
the same incidents as those of the detectors, with `rule.ruleset` `operator`.

```yaml
{example}```

`hullwatch rules test FILE` tries the tests; `hullwatch rules --config FILE` and `hullwatch explain OPS-1 --config FILE`
show the rule; `detectors.disabled` and `exceptions` take its id. SIGHUP reads rules anew.

## Conditions

The language is [CEL](https://github.com/google/cel-spec/blob/master/doc/langdef.md), with its standard functions and
macros: `==`, `<`, `&&`, `||`, `!`, `? :`, `in`, `size()`, `startsWith()`, `endsWith()`, `contains()`, `matches()`
(RE2), `exists()`, `all()`, `filter()`. Types are checked when the configuration is read.

- A field whose fact is not known has no value. `a && b` is false when one of the two is, whatever the other would be;
  where the condition depends on what is not known, the rule is *blind*: counted by reason, shown in health, and no
  alert.
- What goes wrong at an event (an index that is not there, a budget that is spent) is counted as a failure of the rule
  and told once for each kind, as HW-906. The agent goes on.
- Costs are bounded: at most {length} characters, 32 levels, 10,000 turns of macros for an event, and no `+`, so that
  nothing grows. After {limit} evaluations of more than {slow} ms of CPU time a rule is switched off, which is told as
  HW-906.
- Names and arguments are what a process says of itself. A condition on them finds honest programs, and who does not
  hide.

## Events

`events` names the events that a rule looks at; no other event costs anything. SENSOR is the weakest tier that tells of
it. What lives shorter than a sweep is missed by the `poll` tier; `[exec, seen]` works in each.

| event | sensor | means |
|---|---|---|
{events}

## Fields

A rule may name the fields that all of its events have.

| field | type | means | events |
|---|---|---|---|
{fields}
"""


def reference() -> str:
    """The whole page."""
    return _PAGE.format(
        example=EXAMPLE,
        length=f"{MAX_EXPRESSION:,}",
        limit=SLOW_LIMIT,
        slow=SLOW_NS // 1_000_000,
        events="\n".join(f"| `{name}` | {kind.weakest.value} | {kind.meaning} |" for name, kind in EVENTS.items()),
        fields="\n".join(_fields()),
    )


def _fields() -> Iterator[str]:
    for field in FIELDS.values():
        events = (
            "all" if len(field.events) == len(EVENTS) else ", ".join(each for each in EVENTS if each in field.events)
        )
        yield f"| `{field.name}` | {field.kind.value} | {field.meaning} | {events} |"
