from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from agent.config import parse_config
from agent.config_schema import Config
from agent.errors import ConfigError
from agent.rules_reference import EXAMPLE

RULES = frozenset({"HW-101", "HW-223"})
Change = Callable[[dict[str, Any]], None]


def parse(text: str) -> Config:
    return parse_config(text.encode(), "hullwatch.yaml", RULES)


def changed(change: Change) -> str:
    document = yaml.safe_load(EXAMPLE)
    change(document["rules"][0])
    return str(yaml.safe_dump(document))


def set_key(key: str, value: Any) -> Change:
    return lambda rule: rule.update({key: value})


def set_case(**keys: Any) -> Change:
    return lambda rule: rule["tests"][0].update(keys)


def test_the_example_is_taken() -> None:
    (rule,) = parse(EXAMPLE).rules
    assert rule.id == "OPS-1"
    assert rule.events == ("exec", "seen")


def test_exceptions_and_disabled_know_the_rules() -> None:
    more = "detectors: {disabled: [OPS-1]}\nexceptions: [{reason: known, rules: ['OPS-*']}]\n"
    assert parse(EXAMPLE + more).detectors.disabled == ("OPS-1",)


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        (
            set_key("when", "process.nme == ''"),
            "when",
            "undeclared reference to 'process.nme'; wanted fields of exec, ",
        ),
        (set_key("when", "call.name == ''"), "when", "names call.name, which the event exec has not; wanted fields of"),
        (set_key("when", "x" * 1025), "when", "wanted text that is not empty"),
        (set_key("message", "{process.nme}"), "message", "names 'process.nme', which is no field; wanted"),
        (set_key("message", "a {"), "message", "has a brace that belongs to no field; wanted {process.name}"),
        (set_key("once_per", ["x"]), "once_per[0]", "names 'x', which is no field; wanted fields of exec, seen: "),
        (set_key("id", "HW-999"), "id", "is 'HW-999'; wanted an id that does not begin with HW-"),
        (set_key("id", "ops"), "id", "is 'ops'; wanted capitals, a hyphen and a number, like OPS-1"),
        (set_key("name", "Mine"), "name", "is 'Mine'; wanted small letters, digits and _"),
        (set_key("events", ["open"]), "events[0]", "is 'open'; wanted container, credentials, exec, "),
        (set_key("events", []), "events", "wanted a list"),
        (set_key("severity", "bad"), "severity", "is 'bad'; wanted critical, high, info, low or medium"),
        (set_key("whne", "true"), "whne", "is no known key; wanted when"),
        (lambda rule: rule.pop("when"), "when", "is missing; wanted text that is not empty"),
        (set_case(event="tcp"), "tests[0].event", "is 'tcp'; wanted one of the rule's events: exec, seen"),
        (set_case(given={"x": 1}), "tests[0].given.x", "names 'x', which is no field"),
        (set_case(given={"process.uid": True}), "tests[0].given.process.uid", "is True; wanted int"),
        (set_case(given={"process.uid": "0"}), "tests[0].given.process.uid", "is '0'; wanted int"),
        (set_case(expect="silence"), "tests[0].message", "is given, but silence is expected"),
    ],
)
def test_refuses(change: Change, key: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(changed(change))
    assert refused.value.key == f"rules[0].{key}"
    assert problem in refused.value.problem
    assert refused.value.line is not None


def test_says_the_line() -> None:
    with pytest.raises(ConfigError, match=r"^hullwatch.yaml:6: rules\[0\].when: is no expression at character 8"):
        parse(EXAMPLE.replace("when: process.uid", "when: process.uidd"))


def test_refuses_two_rules_of_one_id() -> None:
    rules = yaml.safe_load(EXAMPLE)["rules"]
    with pytest.raises(ConfigError, match=r"is 'OPS-1', which is the id of rules\[0\]; wanted one id a rule"):
        parse(str(yaml.safe_dump({"rules": [rules[0], yaml.safe_load(EXAMPLE)["rules"][0]]})))
