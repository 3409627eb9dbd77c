from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.agent.cli.nodes import broken_out, clean, invoke


def test_clean_is_status_0_and_no_row() -> None:
    result = invoke(clean(), "scan", "--min-severity", "low")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith("2 of them in 2 containers: 0 findings\n")


def test_findings_are_status_1_the_worst_first() -> None:
    result = invoke(broken_out(), "scan")
    assert result.exit_code == 1
    lines = result.stdout.split("\n")
    assert lines[0].split() == ["SEVERITY", "RULE", "NAME", "CONTAINER", "CALLED", "PID", "FINDING"]
    assert lines[1].split()[:6] == ["critical", "HW-101", "host_namespace_joined", "000100010001", "web-1", "4242"]
    assert any(line.split()[1:2] == ["HW-103"] for line in lines)


def test_says_on_stderr_what_it_could_not_see() -> None:
    assert "hullwatch: root of 3 is not known\n" in invoke(broken_out(), "scan", "-o", "json").stderr


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_documents_are_alerts(form: str, read: object) -> None:
    assert callable(read)
    result = invoke(broken_out(), "scan", "-o", form)
    assert result.exit_code == 1
    found = read(result.stdout)
    assert {each["event"]["kind"] for each in found} == {"alert"}
    assert "HW-103" in {each["rule"]["id"] for each in found}


def test_a_disabled_look_at_mild_findings_counts_in_the_status_too() -> None:
    assert invoke(broken_out(), "scan", "--min-severity", "critical").exit_code == 1
    assert invoke(clean(), "scan", "--min-severity", "critical").exit_code == 0


def test_a_wrong_configuration_is_status_2(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.yaml"
    path.write_text("sensors: auto\n")
    result = invoke(None, "scan", "--config", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"hullwatch: {path}:1: sensors: ")


@pytest.mark.parametrize("arguments", [["scan"], ["ps"], ["inspect", "x"]])
@pytest.mark.skipif(os.geteuid() == 0, reason="is about not being root")
def test_needs_root(arguments: list[str]) -> None:
    result = invoke(None, *arguments)
    assert result.exit_code == 2
    assert "run it as root" in result.stderr
