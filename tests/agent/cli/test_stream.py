from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.output import Format, Output
from agent.cli.stream import Stream
from agent.cli.tables import Column
from collectors.events import Seen
from tests.agent.cli.nodes import escaped, sleeping
from tests.support import build
from tests.support.answering import answering

COLUMNS = (Column("TIME"), Column("NAME"), Column("WIDE", is_wide=True), Column("WHAT"))
ROW = ("10:00", (("escape_\x1b[2J", "bold red"),), "w", "a sentence that is longer than there is room")
COMMAND_SECONDS = 30


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (
            Output(Format.TABLE, no_trunc=False, color=False, width=40),
            ["TIME   NAME        WHAT", "10:00  escape_\\x…  a sentence that is l…"],
        ),
        (
            Output(Format.WIDE, no_trunc=True, color=False, width=40),
            ["TIME   NAME        WIDE  WHAT", f"10:00  escape_\\x1b[2J  w     {ROW[3]}"],
        ),
        (
            Output(Format.TABLE, no_trunc=False, color=True, width=None),
            [
                "\x1b[1mTIME\x1b[0m   \x1b[1mNAME\x1b[0m        \x1b[1mWHAT\x1b[0m",
                f"10:00  \x1b[1;31mescape_\\x…\x1b[0m  {ROW[3]}",
            ],
        ),
    ],
    ids=["narrow", "wide", "colour"],
)
def test_rows_stand_under_their_titles(output: Output, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream(COLUMNS, (5, 10, 4), output)
    stream.heading()
    stream.row(ROW)
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("arguments", [("alerts", "-f"), ("alerts",), ("incidents",), ("containers", "-o", "json")])
def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with answering(tmp_path, *sleeping(1), Seen(build.NOW_NS, escaped())) as agent:
        try:
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-c", "from agent.cli import main; main()", *arguments, "--socket", agent.path],
                stdout=writer,
                stderr=subprocess.PIPE,
                timeout=COMMAND_SECONDS,
                check=False,
                cwd=Path(__file__).parents[3],
            )
        finally:
            os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [("events",), ("alerts", "-f")])
def test_an_interrupt_ends_a_stream_quietly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    listens = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # also where we were told not to
    )
    program = [sys.executable, "-c", f"{listens}; from agent.cli import main; main()", *arguments]
    with answering(tmp_path, *sleeping(1), Seen(build.NOW_NS, escaped())) as agent:
        command = [*program, "--socket", agent.path]
        with subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
        ) as watching:
            assert watching.stdout is not None
            assert watching.stdout.readline().startswith("TIME")
            watching.send_signal(signal.SIGINT)
            _, said = watching.communicate(timeout=COMMAND_SECONDS)
    assert watching.returncode == 130
    assert "Traceback" not in said
    assert "Aborted" not in said
