from __future__ import annotations

from pathlib import Path

from agent import config_reference
from tests.agent.cli.nodes import invoke


def test_a_right_file_is_status_0(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.yaml"
    path.write_text("sensor: poll\n")
    result = invoke(None, "config", "check", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"hullwatch: {path} is right\n"


def test_a_wrong_file_is_status_2_and_one_line(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.yaml"
    path.write_text("sensor: poll\nsweep:\n  interval_seconds: soon\n")
    result = invoke(None, "config", "check", str(path))
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"hullwatch: {path}:3: sweep.interval_seconds: ")


def test_what_is_dubious_is_said(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.yaml"
    path.write_text("exceptions:\n- reason: trust me\n  image: '*'\n")
    result = invoke(None, "config", "check", str(path))
    assert result.exit_code == 0
    assert "exception 1 (trust me) hides escapes: HW-101" in result.stderr


def test_reference_is_the_page() -> None:
    assert invoke(None, "config", "reference").stdout == config_reference.reference()


def test_run_refuses_a_wrong_file_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.yaml"
    path.write_text("sensor: telepathy\n")
    result = invoke(None, "run", "--config", str(path))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"hullwatch: {path}:1: sensor: ")
