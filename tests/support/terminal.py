"""A real terminal of a tmux server of its own, in which a program is driven and whose screen is read."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable

WAIT_SECONDS = 30.0


class Terminal:
    """A terminal of so many cells; the program runs in a shell that stays, to tell its exit status."""

    def __init__(self) -> None:
        self._name = f"hullwatch-test-{secrets.token_hex(4)}"

    def tmux(self, *arguments: str) -> str:
        """Run a command of tmux."""
        command = ("tmux", "-L", self._name, "-f", "/dev/null", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def run(self, script: str, size: str = "80x24") -> None:
        """Run a shell's script, on a screen of that size."""
        width, _, height = size.partition("x")
        self.tmux("new-session", "-d", "-x", width, "-y", height, script)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux' names."""
        self.tmux("send-keys", *keys)

    def screen(self, *options: str) -> list[str]:
        """The lines of the screen."""
        return self.tmux("capture-pane", "-p", *options).split("\n")

    def wait(self, is_there: Callable[[list[str]], bool]) -> list[str]:
        """The screen once it is as wanted."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            lines = self.screen()
            if is_there(lines):
                return lines
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.05)

    def close(self) -> None:
        """End the server and what runs in it."""
        command = ("tmux", "-L", self._name, "kill-server")
        subprocess.run(command, capture_output=True, timeout=20, check=False)


def holds(text: str) -> Callable[[list[str]], bool]:
    """For ``Terminal.wait``: one of the lines holds this."""
    return lambda lines: any(text in line for line in lines)
