"""What is told, and recorded, of a run in the virtual machine."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "scripts/vm/result.py"
MARK = "<!-- What follows is written by scripts/vm/run -->\n"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.live.test_escapes" name="test_alerts_on[good]" time="1"/>
<testcase classname="tests.live.test_escapes" name="test_alerts_on[bad]">
  <failure message="poll: waited&#10;more"/></testcase>
<testcase classname="tests.live.test_escapes" name="test_alerts_on[away]"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False)  # noqa: S603


def make_results(directory: Path) -> None:
    (directory / "machine").write_text("kernel: 6.1.0 #1\n")
    (directory / "steps").write_text("selftest-poll 0 60\nescapes 2 240\nlive 124 250\n")
    (directory / "escapes.xml").write_text(REPORT)
    (directory / "escapes.log").write_text("collected 9 items / 4 deselected / 5 selected\n")


def test_tells_each_step_with_what_was_not_run(tmp_path: Path) -> None:
    make_results(tmp_path)
    said = run(str(tmp_path)).stdout
    assert "| kernel | 6.1.0 #1 |\n" in said
    assert "| selftest-poll | done |  |  |  |  | 1 |\n" in said
    assert "| escapes | interrupted | 1 | 1 | 1 | 2 | 3 |\n" in said
    assert "| live | out of time |  |  |  |  | 0 |\n" in said
    assert "- `live/test_escapes::test_alerts_on[bad]`: `poll: waited`\n" in said
    assert "- not here (1): `test_alerts_on[away]`\n" in said


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
