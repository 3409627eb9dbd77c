"""Drives ``hullwatch top`` in a real terminal (tmux), and reads what is on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.events import Exec, Seen
from tests.agent.cli.nodes import escaped, sleeping
from tests.support import build, captures
from tests.support.answering import answering
from tests.support.terminal import Terminal, holds

ROOT = Path(__file__).parents[4]
PROGRAM = "from agent.cli import main; from tests.agent.cli import nodes; main({arguments!r}, obj={node})"
SECOND = 1_000_000_000

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Top(Terminal):
    """``top`` on one of the made-up nodes, or on a real source."""

    def start(self, node: str, *options: str, term: str = "", is_alone: bool = False, size: str = "80x24") -> None:
        """Run it on the node of that name, else as it comes; ``is_alone`` without the shell that tells the status."""
        program = PROGRAM.format(arguments=["top", *options], node=f"nodes.{node}()" if node else "None")
        environment = f"TERM={term} " if term else ""
        run = f'{sys.executable} -c "{program}"'
        self.run(
            f"cd {ROOT}; exec {run}" if is_alone else f"cd {ROOT}; {environment}{run}; echo status $?; sleep 60", size
        )


@pytest.fixture
def terminal() -> Iterator[Top]:
    made = Top()
    yield made
    made.close()


@needs_tmux
def test_a_person_finds_out_who_got_out_and_how(terminal: Top) -> None:
    terminal.start("broken_out")
    lines = terminal.wait(holds("1 out, 1 incident  no agent: own look"))
    assert lines[2].startswith("OUT      critical  web-1")
    assert lines[23] == "q quit  2 incidents  3 events  enter open  f filter  / find  p pause  ? keys"
    terminal.press("Enter")
    assert terminal.wait(holds("web-1 (000100010001"))[2].split()[1:3] == ["critical", "HW-101"]
    terminal.press("Tab")
    terminal.wait(holds("TAKES, BY WHAT"))
    terminal.press("Tab", "Tab")
    terminal.wait(lambda lines: lines[3].startswith("OUT   4242") and "sh -c id" in lines[3])
    terminal.press("Escape")
    terminal.wait(holds("2 containers"))
    terminal.press("f", "w", "e", "b", "-", "2", "Enter")
    assert terminal.wait(holds("filter: web-2"))[3].strip() == ""
    terminal.press("p")
    terminal.wait(holds("PAUSED"))
    terminal.press("q")
    terminal.wait(holds("status 0"))


@needs_tmux
def test_the_story_of_an_incident_is_two_keys_away(terminal: Top) -> None:
    terminal.start("broken_out")
    terminal.wait(holds("1 out"))
    terminal.press("2")
    assert terminal.wait(holds("SEVERITY  STATE"))[2].split()[2:5] == ["critical", "open", "web-1"]
    terminal.press("Enter")
    lines = terminal.wait(holds("WHAT HAPPENED"))
    assert ", open, 6 findings, of web-1" in lines[0]
    assert lines[2] == "OUT: 1 process of this container is outside it"
    assert any("4242 sh -c id  <- HW-101" in line for line in lines)


@needs_tmux
def test_a_search_goes_to_the_row_and_the_keys_are_explained(terminal: Top) -> None:
    terminal.start("broken_out")
    terminal.wait(holds("1 out"))
    terminal.press("/", "w", "e", "b", "-", "2", "Enter", "Enter")
    terminal.wait(holds("web-2 ("))
    terminal.press("?")
    terminal.wait(holds("p, space      pause"))
    terminal.press("Escape")
    terminal.wait(holds("web-2 ("))


@needs_tmux
def test_a_running_agent_is_watched_goes_away_and_comes_back(terminal: Top, tmp_path: Path) -> None:
    options = ("--socket", str(tmp_path / "control.sock"), "--interval", "1")
    with answering(tmp_path, *sleeping(1), *sleeping(2)) as agent:
        terminal.start("", *options)
        terminal.wait(holds("2 containers, 0 out, 0 incidents  agent 0.1.0, netlink"))
        agent.feed(Exec(build.NOW_NS + SECOND, escaped()))
        lines = terminal.wait(holds("2 containers, 1 out, 1 incident"))
        assert lines[2].startswith("OUT      critical  web-1")
        assert terminal.wait(holds("4242    sh -c id"))[16] == "LIVE EVENTS"
    terminal.wait(lambda lines: "went away" in lines[22] or "no agent runs here" in lines[22])
    assert terminal.screen()[2].startswith("OUT      critical  web-1")
    with answering(tmp_path, *sleeping(1), *sleeping(2), *sleeping(3)):
        lines = terminal.wait(holds("3 containers, 0 out"))
        assert "went away" not in lines[22]
    terminal.press("q")
    terminal.wait(holds("status 0"))


@needs_tmux
def test_a_pause_keeps_the_screen_while_the_agent_goes_on(terminal: Top, tmp_path: Path) -> None:
    with answering(tmp_path, *sleeping(1)) as agent:
        terminal.start("", "--socket", agent.path, "--interval", "1")
        terminal.wait(holds("1 container, 0 out"))
        terminal.press("p")
        before = terminal.wait(holds("PAUSED"))
        agent.feed(Exec(build.NOW_NS + SECOND, escaped()))
        time.sleep(2.5)
        assert terminal.screen() == before
        terminal.press("p")
        terminal.wait(holds("1 container, 1 out, 1 incident"))
        terminal.wait(holds("4242    sh -c id"))


@needs_tmux
def test_a_capture_is_played_paused_and_made_faster(terminal: Top, tmp_path: Path) -> None:
    file = tmp_path / "node.capture"
    file.write_bytes(captures.written((*sleeping(1), Seen(build.NOW_NS + 100_000 * SECOND, escaped()))))
    terminal.start("", "--capture", str(file))
    lines = terminal.wait(holds("1 container, 0 out, 0 incidents  node.capture 1x"))
    assert lines[0].startswith("hullwatch 04:40:0")
    terminal.press("+", "+", "-")
    terminal.wait(holds("node.capture 2x"))
    terminal.press("p")
    stands = terminal.wait(holds("PAUSED"))[0]
    time.sleep(1.5)
    assert terminal.screen()[0] == stands
    terminal.press("p", *["+"] * 12)
    lines = terminal.wait(holds("1 out, 1 incident  node.capture ended"))
    assert "node.capture: at its end, after" in lines[22] or "of the node" in lines[22]
    assert lines[2].startswith("OUT      critical  web-1")


@needs_tmux
def test_what_is_no_capture_is_refused_without_a_screen(terminal: Top, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    terminal.start("", "--capture", str(tmp_path / "text"))
    assert "it is no capture of hullwatch" in " ".join(terminal.wait(holds("status 2")))


@needs_tmux
def test_a_terminal_that_is_too_small_says_so_until_it_grows(terminal: Top) -> None:
    terminal.start("broken_out", size="50x6")
    terminal.wait(holds("terminal too small: 50x6, wanted 40x8"))
    terminal.tmux("resize-window", "-x", "80", "-y", "24")
    terminal.wait(holds("1 out"))


@needs_tmux
def test_hosts_namespaces_are_red_and_nothing_is_where_colours_are_off(terminal: Top) -> None:
    terminal.start("broken_out")
    terminal.wait(holds("1 out"))
    assert any("31mroot" in line for line in terminal.screen("-e"))
    terminal.press("q")
    terminal.wait(holds("status 0"))
    other = Top()
    try:
        other.start("broken_out", "--color", "never")
        other.wait(holds("1 out"))
        assert not any("\x1b[31m" in line for line in other.screen("-e"))
    finally:
        other.close()


@needs_tmux
def test_hostile_names_stay_on_their_line(terminal: Top) -> None:
    terminal.start("hostile")
    lines = terminal.wait(holds("1 container,"))
    assert "\\x1b]0;owned\\x07" in lines[2]
    assert not any(line.startswith("b\\x09") for line in lines)
    for key, there in (("Enter", "findings of"), ("Tab", "ways out of"), ("2", "WHY"), ("Enter", "WHAT HAPPENED")):
        terminal.press(key)
        lines = terminal.wait(holds(there))
        assert "\\x1b" in " ".join(lines)
        assert not any(line.startswith("b\\x09") for line in lines)


@needs_tmux
def test_another_size_is_drawn_anew(terminal: Top) -> None:
    terminal.start("broken_out")
    terminal.wait(holds("1 out"))
    terminal.tmux("resize-window", "-x", "60", "-y", "12")
    terminal.wait(lambda lines: len(lines) <= 13 and any(line.startswith("q quit") for line in lines))


@needs_tmux
def test_a_terminal_that_draws_nothing_fancy_will_do(terminal: Top) -> None:
    terminal.start("broken_out", term="vt100")
    assert terminal.wait(holds("1 out"))[2].startswith("OUT      critical  web-1")


@needs_tmux
def test_a_terminal_that_nobody_knows_is_refused(terminal: Top) -> None:
    terminal.start("broken_out", term="nonesuch")
    assert terminal.wait(holds("status 2"))[0].startswith("hullwatch: the terminal nonesuch is of no use: ")


@needs_tmux
def test_a_terminal_that_closes_ends_it(terminal: Top) -> None:
    terminal.start("broken_out", is_alone=True)
    terminal.wait(holds("1 out"))
    pid = terminal.tmux("list-panes", "-F", "#{pane_pid}").strip()
    terminal.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Line:
    """A pseudo-terminal of 80 by 24 cells that counts what is written to it."""

    def __init__(self, term: str, *options: str) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        program = PROGRAM.format(arguments=["top", *options], node="None")
        environment = {**os.environ, "TERM": term}
        self._process = subprocess.Popen(  # noqa: S603
            (sys.executable, "-c", program), cwd=ROOT, stdin=follower, stdout=follower, stderr=follower, env=environment
        )
        os.close(follower)

    def written(self, seconds: float) -> bytes:
        """What comes in so long."""
        found, deadline = b"", time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._leader], [], [], left)[0]:
                found += os.read(self._leader, 65_536)
        return found

    def until(self, text: bytes) -> bytes:
        """What comes until this has come."""
        found, deadline = b"", time.monotonic() + 30
        while text not in found:
            assert time.monotonic() < deadline, found
            found += self.written(0.1)
        return found

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._leader)


@pytest.mark.parametrize("term", ["vt100", "xterm"])
def test_at_rest_next_to_nothing_is_written(term: str, tmp_path: Path) -> None:
    """A serial line of 9,600 baud carries 960 bytes a second."""
    with answering(tmp_path, *(event for number in range(1, 12) for event in sleeping(number))) as agent:
        line = Line(term, "--socket", agent.path, "--interval", "1")
        try:
            first = line.until(b" keys") + line.written(0.5)
            assert len(first) < 1500
            line.written(1.5)
            rest = line.written(4.0)
            assert len(rest) / 4 < 25, rest
            agent.feed(Exec(build.NOW_NS + SECOND, build.process(5000, arguments=b"true\0")))
            assert len(line.until(b"true")) < 400
        finally:
            line.close()


def test_a_flood_of_events_is_drawn_twice_a_second(tmp_path: Path) -> None:
    with answering(tmp_path, *sleeping(1)) as agent:
        line = Line("vt100", "--socket", agent.path, "--interval", "3600")
        try:
            line.until(b" keys")
            line.written(1.5)
            started, written = time.monotonic(), b""
            for number in range(300):
                agent.feed(Exec(build.NOW_NS + number * SECOND, build.process(5000 + number, arguments=b"true\0")))
                written += line.written(0.01)
            draws = 2 * (time.monotonic() - started) + 1
            assert 100 < len(written) < 500 * draws
        finally:
            line.close()
