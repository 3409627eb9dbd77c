from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from agent import __version__
from agent.cli import COMMANDS, main
from agent.cli.node import Snapshot
from agent.config_schema import Config
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


@pytest.mark.parametrize("arguments", [["rules", "-o", "json"], ["--help"], ["rules", "--help"]])
def test_a_reader_that_goes_away_ends_a_command_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(arguments, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_that_hangs_up_ends_a_command_quietly() -> None:
    ours, theirs = os.openpty()
    os.close(ours)
    try:
        done = run(["rules"], stdout=theirs, stderr=subprocess.PIPE)
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


def test_messages_that_nobody_reads_do_not_stop_the_data() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = "from agent.cli.output import note, write; note('x'); write('data\\n')"
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=writer, check=False, timeout=60
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"data\n")


def test_a_full_disk_is_one_line_and_status_2() -> None:
    with open("/dev/full", "wb") as full:
        done = run(["rules"], stdout=full.fileno(), stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, b"hullwatch: stdout can't be written: No space left on device\n")


def test_no_stdout_at_all_is_no_fault() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, "from agent.cli import main; main(['rules'])"],
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupt_is_no_finding() -> None:
    def interrupted(config: Config, judge: bool) -> Snapshot:  # a ``Look``
        raise KeyboardInterrupt

    result = invoke(interrupted, "scan")
    assert (result.exit_code, result.output) == (130, "")


def run(arguments: list[str], *, stdout: int, stderr: int) -> subprocess.CompletedProcess[bytes]:
    """Run ``hullwatch`` as a program."""
    program = f"from agent.cli import main; main({arguments!r})"
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], stdout=stdout, stderr=stderr, check=False, timeout=60
    )
