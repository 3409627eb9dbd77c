from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from agent import __version__
from agent.cli import COMMANDS, main
from tests.agent.cli.nodes import invoke

HEAVY = {"rich", "structlog", "docker", "kubernetes", "pyroute2", "yaml", "psutil", "msgpack", "urllib.request"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = invoke(None, name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name} ")


def test_help_lists_every_command() -> None:
    result = invoke(None, "--help")
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.output for name in COMMANDS)


def test_no_command_is_help_and_status_2() -> None:
    result = invoke(None)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == invoke(None, "--help").stdout


def test_tells_its_version() -> None:
    assert invoke(None, "--version").output == f"hullwatch {__version__}\n"


@pytest.mark.parametrize("arguments", [["frobnicate"], ["rules", "--frobnicate"], ["explain"], ["rules", "-o", "xml"]])
def test_wrong_usage_is_status_2_and_leaves_stdout_empty(arguments: list[str]) -> None:
    result = invoke(None, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["rules"], ["rules", "-o", "json"], ["explain", "HW-103"], ["ps", "--help"], ["status"], ["alerts"]],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    """What keeps the start-up short: measured figures are noisy on a busy machine, imports are not."""
    program = (
        "import sys\nfrom agent.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert set(done.stderr.split()) & HEAVY == set()


def test_a_reader_that_goes_away_ends_a_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from agent.cli import main; main(['rules', '-o', 'json'])"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
