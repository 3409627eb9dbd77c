from __future__ import annotations

import json

import pytest

from detectors.catalog import DETECTORS
from tests.agent.cli.nodes import invoke


@pytest.mark.parametrize("spelling", ["HW-103", "hw-103", "103", "HW103", "host_root_entered", "host-root-entered"])
def test_finds_a_rule_by(spelling: str) -> None:
    result = invoke(None, "explain", spelling)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "HW-103 host_root_entered\n"
        "drift, severity critical (90), seen from sensor tier poll\n"
        "ATT&CK T1611 Escape to Host (TA0004 Privilege Escalation)\n"
    )


@pytest.mark.parametrize("rule", [each.id for each in DETECTORS])
def test_every_rule_has_all_its_parts(rule: str) -> None:
    text = invoke(None, "explain", rule).stdout
    for part in ("WHAT IT MEANS", "WHAT TO DO", "WHO DOES THIS HONESTLY", "WHAT IT DOES NOT SEE", "REFERENCES"):
        assert f"\n{part}" in text
    assert "Fires on" in text


def test_json_holds_the_docstring_too() -> None:
    found = json.loads(invoke(None, "explain", "HW-103", "-o", "json").stdout)
    assert found["id"] == "HW-103"
    assert "Fires on:" in found["description"]


@pytest.mark.parametrize(("wrong", "near"), [("HW-1O3", "HW-103 (host_root_entered)"), ("host_root", "HW-103")])
def test_suggests_what_is_near(wrong: str, near: str) -> None:
    result = invoke(None, "explain", wrong)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert near in result.stderr


def test_points_to_the_list_where_nothing_is_near() -> None:
    assert invoke(None, "explain", "zzzzzz").stderr == (
        "hullwatch: there is no rule zzzzzz; hullwatch rules lists them\n"
    )
