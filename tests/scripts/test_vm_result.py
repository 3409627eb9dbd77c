"""What is told, and recorded, of a run in the virtual machine."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "scripts/vm/result.py"
MARK = "<!-- What follows is written by scripts/vm/run -->\n"
REPORT = (
    {"selected": 5, "revision": "abc1"},
    {"name": "tests/live/test_escapes.py::test_alerts_on[good]", "outcome": "passed", "why": ""},
    {
        "name": "tests/live/test_escapes.py::test_alerts_on[bad]",
        "outcome": "failed",
        "why": ">   wait()\nE   AgentError: poll: waited\nE     more\nfile:1: AgentError",
    },
    {"name": "tests/live/test_escapes.py::test_alerts_on[away]", "outcome": "skipped", "why": "Skipped: not here"},
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False)  # noqa: S603


def make_results(directory: Path) -> None:
    (directory / "machine").write_text("kernel: 6.1.0 #1\n")
    (directory / "steps").write_text("selftest-poll 0 60 abc1\nescapes 2 180 abc1\nlive 124 10 abc1\n")
    lines = [json.dumps(each) for each in REPORT]
    (directory / "escapes.jsonl").write_text("\n".join([*lines, '{"name": "cut o']))


def test_tells_each_step_with_what_was_not_run(tmp_path: Path) -> None:
    make_results(tmp_path)
    said = run(str(tmp_path)).stdout
    assert "| kernel | 6.1.0 #1 |\n" in said
    assert "| selftest-poll | done |  |  |  |  | 1 | abc1 |\n" in said
    assert "| escapes | interrupted | 1 | 1 | 1 | 2 | 3 | abc1 |\n" in said
    assert "| live | out of time |  |  |  |  | 0 | abc1 |\n" in said
    assert "- `live/test_escapes.py::test_alerts_on[bad]`: `AgentError: poll: waited`\n" in said
    assert "- not here (1): `test_alerts_on[away]`\n" in said


def test_tells_the_step_in_which_the_machine_was_cut_off(tmp_path: Path) -> None:
    make_results(tmp_path)
    (tmp_path / "steps").unlink()
    assert "| escapes | cut off | 1 | 1 | 1 | 2 | 0 | abc1 |\n" in run(str(tmp_path)).stdout


def test_tells_a_step_that_was_run_in_portions_as_one(tmp_path: Path) -> None:
    make_results(tmp_path)
    later = (
        {"selected": 5, "revision": "def2"},
        {"name": "tests/live/test_escapes.py::test_alerts_on[bad]", "outcome": "passed", "why": ""},
        {"name": "tests/live/test_escapes.py::test_alerts_on[more]", "outcome": "passed", "why": ""},
    )
    with (tmp_path / "escapes.jsonl").open("a") as file:
        file.write("\n" + "\n".join(json.dumps(each) for each in later) + "\n")
    with (tmp_path / "steps").open("a") as file:
        file.write("escapes 0 60 def2\n")
    said = run(str(tmp_path)).stdout
    assert "| escapes | done | 3 | 0 | 1 | 1 | 4 | abc1, def2 |\n" in said
    assert "### Failed\n\nNone.\n" in said


def test_tells_a_machine_that_did_not_start(tmp_path: Path) -> None:
    said = run(str(tmp_path)).stdout
    assert "did not get so far as to say what it is" in said


def test_records_below_the_mark_and_nowhere_else(tmp_path: Path) -> None:
    make_results(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{MARK}\nold\n")
    assert run(str(tmp_path), "--record", str(page)).returncode == 0
    assert page.read_text().startswith(f"# Page\n\n{MARK}\nRun on ")
    assert "old" not in page.read_text()


def test_refuses_a_page_without_the_mark(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    finished = run(str(tmp_path), "--record", str(page))
    assert finished.returncode == 1
    assert page.read_text() == "# Page\n"
