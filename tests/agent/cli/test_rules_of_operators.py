"""``hullwatch rules test``, and operators' rules in ``rules`` and ``explain``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.rules_reference import EXAMPLE
from tests.agent.cli.nodes import invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hullwatch.yaml"
    path.write_text(EXAMPLE)
    return path


def test_the_example_passes_its_own_tests(file: Path) -> None:
    result = invoke(None, "rules", "test", str(file), "-o", "json")
    assert result.exit_code == 0
    assert [(each["case"], each["problem"]) for each in json.loads(result.stdout)] == [
        ("a program that was dropped", None),
        ("a program of the image", None),
        ("a program that could not be read", None),
    ]
    assert "1 rules, 3 cases, 0 failed" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("expect: silence", "expect: alert", "it gave silence"),
        ("expect: blind", "expect: silence", "it is blind: process.executable is not given"),
        ("message: root runs /tmp/x", "message: root runs /tmp/y", "it said 'root runs /tmp/x'"),
        ('startsWith("/tmp/")', "matches(process.executable)", "it gave alert"),
        ("process.uid == 0 &&", "1 / process.uid == 0 ||", "it failed: INVALID_ARGUMENT: divide by zero"),
    ],
)
def test_a_case_that_fails_says_how(file: Path, old: str, new: str, problem: str) -> None:
    assert old in EXAMPLE
    file.write_text(EXAMPLE.replace(old, new))
    result = invoke(None, "rules", "test", str(file), "-o", "json")
    assert result.exit_code == 1
    assert problem in [each["problem"] for each in json.loads(result.stdout)]


def test_a_file_without_a_case_proves_nothing(file: Path) -> None:
    file.write_text(EXAMPLE[: EXAMPLE.index("    tests:")])
    result = invoke(None, "rules", "test", str(file))
    assert result.exit_code == 1
    assert "without a test: OPS-1" in result.stderr


def test_a_wrong_file_is_refused(file: Path) -> None:
    file.write_text(EXAMPLE.replace("process.uid ==", "process.uidd =="))
    result = invoke(None, "rules", "test", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{file}:6: rules[0].when: is no expression" in result.stderr


def test_rules_lists_them_with_the_detectors(file: Path) -> None:
    lines = invoke(None, "rules", "--config", str(file)).stdout.split("\n")
    assert [line.split() for line in lines if line.startswith("OPS-1 ")] == [
        ["OPS-1", "root_program_from_tmp", "operator", "medium", "poll", "T1059"]
    ]
    assert any(line.startswith("HW-101 ") for line in lines)
    found = json.loads(invoke(None, "rules", "--config", str(file), "-o", "json").stdout)
    assert found[-1]["when"] == 'process.uid == 0 && process.executable.startsWith("/tmp/")'


def test_explains_one(file: Path) -> None:
    text = invoke(None, "explain", "OPS-1", "--config", str(file)).stdout
    assert text.startswith("OPS-1 root_program_from_tmp\noperator, severity medium (50)")
    assert "Told once for each: container.id, process.executable." in text


def test_the_library_is_imported_for_rules_only(file: Path) -> None:
    program = (
        "import sys\nfrom agent.config import load_config\nload_config(sys.argv[1])\n"
        "print('cel_expr_python' in {each.partition('.')[0] for each in sys.modules})"
    )
    plain = file.with_name("plain.yaml")
    plain.write_text("sensor: poll\n")
    for path, expected in ((plain, "False"), (file, "True")):
        done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)  # noqa: S603
        assert done.stdout.strip() == expected
