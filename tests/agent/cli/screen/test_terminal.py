"""Drives ``hullwatch top`` in a real terminal (tmux), and reads what is on its screen."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PROGRAM = "from agent.cli import main; from tests.agent.cli import nodes; main({arguments!r}, obj=nodes.{node}())"

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A terminal of 80 by 24 cells of a tmux server of its own."""

    def __init__(self) -> None:
        self._name = f"hullwatch-test-{secrets.token_hex(4)}"

    def tmux(self, *arguments: str) -> str:
        command = ("tmux", "-L", self._name, "-f", "/dev/null", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
        return done.stdout

    def start(self, node: str, *options: str, term: str = "", is_alone: bool = False) -> None:
        """Run ``top`` on one of the made-up nodes; the shell stays, to tell the exit status, unless ``is_alone``."""
        program = PROGRAM.format(arguments=["top", *options], node=node)
        environment = f"TERM={term} " if term else ""
        run = f'{sys.executable} -c "{program}"'
        script = f"cd {ROOT}; exec {run}" if is_alone else f"cd {ROOT}; {environment}{run}; echo status $?; sleep 60"
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", script)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self, *options: str) -> list[str]:
        return self.tmux("capture-pane", "-p", *options).split("\n")

    def wait(self, is_there: Callable[[list[str]], bool]) -> list[str]:
        """The screen once it is as wanted."""
        deadline = time.monotonic() + 30
        while True:
            lines = self.screen()
            if is_there(lines):
                return lines
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.05)

    def close(self) -> None:
        command = ("tmux", "-L", self._name, "kill-server")
        subprocess.run(command, capture_output=True, timeout=20, check=False)  # noqa: S603


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def holds(text: str) -> Callable[[list[str]], bool]:
    return lambda lines: any(text in line for line in lines)


def test_a_person_finds_out_who_got_out_and_how(terminal: Terminal) -> None:
    terminal.start("broken_out")
    lines = terminal.wait(holds("1 out"))
    assert lines[2].startswith("OUT critical  web-1")
    assert lines[23].startswith("q quit")
    terminal.press("Enter")
    assert terminal.wait(holds("findings of web-1"))[2].split()[:2] == ["critical", "HW-101"]
    terminal.press("Tab")
    terminal.wait(holds("ways out of web-1"))
    terminal.press("Tab")
    terminal.wait(lambda lines: "sh -c id" in lines[3])
    terminal.press("Escape")
    terminal.wait(holds("2 containers"))
    terminal.press("f", "w", "e", "b", "-", "2", "Enter")
    assert terminal.wait(holds("filter: web-2"))[3].strip() == ""
    terminal.press("p")
    terminal.wait(holds("PAUSED"))
    terminal.press("q")
    terminal.wait(holds("status 0"))


def test_hosts_namespaces_are_red_and_nothing_is_where_colours_are_off(terminal: Terminal) -> None:
    terminal.start("broken_out")
    terminal.wait(holds("1 out"))
    assert any("\x1b[31mroot" in line or "31mroot" in line for line in terminal.screen("-e"))
    terminal.press("q")
    terminal.wait(holds("status 0"))
    other = Terminal()
    try:
        other.start("broken_out", "--color", "never")
        other.wait(holds("1 out"))
        assert not any("\x1b[31m" in line for line in other.screen("-e"))
    finally:
        other.close()


def test_hostile_names_stay_on_their_line(terminal: Terminal) -> None:
    terminal.start("hostile")
    lines = terminal.wait(holds("1 containers"))
    assert "\\x1b]0;owned\\x07" in lines[2]
    assert not any(line.startswith("b\\x09") for line in lines)
    terminal.press("Enter")
    terminal.wait(holds("findings of"))


def test_another_size_is_drawn_anew(terminal: Terminal) -> None:
    terminal.start("broken_out")
    terminal.wait(holds("1 out"))
    terminal.tmux("resize-window", "-x", "60", "-y", "12")
    terminal.wait(lambda lines: len(lines) <= 13 and any(line.startswith("q quit") for line in lines))


def test_a_terminal_that_draws_nothing_fancy_will_do(terminal: Terminal) -> None:
    terminal.start("broken_out", term="vt100")
    assert terminal.wait(holds("1 out"))[2].startswith("OUT critical  web-1")


def test_a_terminal_that_nobody_knows_is_refused(terminal: Terminal) -> None:
    terminal.start("broken_out", term="nonesuch")
    assert terminal.wait(holds("status 2"))[0].startswith("hullwatch: the terminal nonesuch is of no use: ")


def test_a_terminal_that_closes_ends_it(terminal: Terminal) -> None:
    terminal.start("broken_out", is_alone=True)
    terminal.wait(holds("1 out"))
    pid = terminal.tmux("list-panes", "-F", "#{pane_pid}").strip()
    terminal.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
