from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.cli.nodes import invoke

CALL = [sys.executable, "-c", "from agent.cli import main; main(prog_name='hullwatch')"]


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o"), ("zsh", "#compdef hullwatch"), ("fish", "complete ")]
)
def test_prints_the_script_of(shell: str, mark: str) -> None:
    result = invoke(None, "completion", shell)
    assert result.exit_code == 0
    assert mark in result.stdout
    assert f"_HULLWATCH_COMPLETE={shell}_complete" in result.stdout


def test_refuses_another_shell() -> None:
    assert invoke(None, "completion", "tcsh").exit_code == 2


def test_what_the_script_asks_is_answered() -> None:
    environment = {
        **os.environ,
        "_HULLWATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": "hullwatch ex",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(CALL, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "plain,explain\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_takes_the_script(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.bash"
    path.write_text(invoke(None, "completion", "bash").stdout)
    done = subprocess.run(["bash", "-c", f". {path} && complete -p hullwatch"], capture_output=True, check=False)  # noqa: S603, S607
    assert (done.returncode, done.stderr) == (0, b"")
