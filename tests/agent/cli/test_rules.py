from __future__ import annotations

import json

import yaml

from detectors.catalog import DETECTORS
from tests.agent.cli.nodes import invoke


def test_lists_every_rule_once() -> None:
    lines = invoke(None, "rules").stdout.split("\n")
    assert lines[0].split() == ["ID", "NAME", "FAMILY", "SEVERITY", "SENSOR", "ATT&CK"]
    assert [line.split()[0] for line in lines[1:-1]] == sorted(each.id for each in DETECTORS)


def test_a_row_is_the_declaration() -> None:
    line = next(line for line in invoke(None, "rules").stdout.split("\n") if line.startswith("HW-103"))
    assert line.split() == ["HW-103", "host_root_entered", "drift", "critical", "poll", "T1611"]


def test_documents_hold_the_whole_declaration() -> None:
    found = json.loads(invoke(None, "rules", "-o", "json").stdout)
    assert yaml.safe_load(invoke(None, "rules", "-o", "yaml").stdout) == found
    rule = next(each for each in found if each["id"] == "HW-103")
    assert rule["techniques"] == [
        {"id": "T1611", "name": "Escape to Host", "tactic_id": "TA0004", "tactic": "Privilege Escalation"}
    ]
    assert rule["severity_number"] == 90
    assert rule["benign"]
    assert rule["misses"]
