"""Takes the pictures of the README, of a real run: a real agent, real containers, a real escape. As root.

    .venv/bin/python -m scripts.screenshots

Terminals are tmux panes, whose cells become an SVG (docs/pictures/NAME.svg); the page of an incident is laid out by
chromium (docs/pictures/incident-page.png). What is in a picture is what the program wrote, but for what is of this
machine alone: its process 1 is shown as init, its kernel by the version alone, and the directory of an engine that was
started for this as the usual one. A picture that names this machine is not written.
"""

from __future__ import annotations

import html
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.demo_node import HONEST, RUNNER, demo_node
from scripts.terminal_picture import render_svg
from tests.support import image, running_agent, toolbox
from tests.support.engine import DEFAULT_EXEC_ROOT, find_or_start
from tests.support.running_agent import RunningAgent
from tests.support.stage import Stage

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
NODE = "node-7"
INIT = "/sbin/init"
TIERS = ("ebpf", "netlink")
BROWSER_SECONDS = 60
WIDE, HIGH = 96, 24


def main() -> int:
    """Take all pictures."""
    for program in ("tmux", "chromium"):
        if shutil.which(program) is None:
            sys.stderr.write(f"{program} is not installed: scripts/packages.test names it\n")
            return 2
    os.environ["NODE_NAME"] = NODE
    engine = find_or_start()
    try:
        stage = Stage(engine, toolbox.build())
        image.import_into(engine, stage.tools)
        with tempfile.TemporaryDirectory(prefix="hullwatch-live-") as directory:
            agent = _started(engine, Path(directory))
            try:
                _take(agent, stage, Path(directory))
            finally:
                agent.stop()
    finally:
        engine.close()
    return 0


def _started(engine: object, directory: Path) -> RunningAgent:
    """The agent, of the best tier that starts here."""
    for tier in TIERS:
        try:
            return running_agent.start(engine, tier, directory)  # type: ignore[arg-type]
        except AssertionError as error:
            sys.stderr.write(f"{error}\n")
    raise SystemExit("no agent starts here")


def _take(agent: RunningAgent, stage: Stage, directory: Path) -> None:
    """Watch with top while a container breaks out, then ask about it."""
    hullwatch = f"{running_agent.find_command()} {{}} --config {agent.config}"
    with _pane(hullwatch.format("top"), WIDE, HIGH, stays=False) as top, demo_node(stage) as container:
        alert = agent.wait_for("HW-101", container=container.id, at_least=90, timeout_seconds=60)
        incident = str(alert["hullwatch"]["incident"]["id"])
        count = len(HONEST) + 1
        _draw("top", "hullwatch top", top((), f"{count} containers, 1 out, 1 incident ", "/etc/shadow"), WIDE)
        _draw("top-story", "hullwatch top", top(("2", "f", *RUNNER, "Enter", "Enter"), "WHAT HAPPENED", RUNNER), WIDE)
        for name, command, height, last in (
            ("incidents", f"incidents {incident[:8]}", 40, "--html"),
            ("ways-out", f"ways-out {RUNNER}", 60, "CAP_SYS_PTRACE (HW-303)"),
        ):
            with _pane(hullwatch.format(command), WIDE, height, stays=True) as pane:
                _draw(name, f"hullwatch {command}", pane((), last), WIDE)
        _page((running_agent.find_command(), "incidents", incident, "--config", agent.config), directory)


def _draw(name: str, command: str, screen: str, columns: int) -> None:
    _write(PICTURES / f"{name}.svg", render_svg(_of_any_machine(screen), command, columns).encode())


@contextmanager
def _pane(command: str, width: int, height: int, *, stays: bool) -> Iterator[Callable[..., str]]:
    """A terminal in which the command runs; press keys and get what is on it, with its colours."""
    server = f"hullwatch-pictures-{secrets.token_hex(4)}"

    def tmux(*arguments: str) -> str:
        done = subprocess.run(("tmux", "-L", server, "-f", "/dev/null", *arguments), capture_output=True, check=True)
        return done.stdout.decode()

    def show(keys: tuple[str, ...], *wanted: str) -> str:
        for key in keys:
            tmux("send-keys", key)
            time.sleep(0.3)
        deadline = time.monotonic() + 60
        while not all(each in tmux("capture-pane", "-p") for each in wanted):
            if time.monotonic() > deadline:
                raise SystemExit(f"{command} does not show {wanted}:\n{tmux('capture-pane', '-p')}")
            time.sleep(0.2)
        time.sleep(1)
        return tmux("capture-pane", "-e", "-p", "-N")

    shell = f"{command} 2>/dev/null; sleep 60" if stays else command
    tmux("new-session", "-d", "-x", str(width), "-y", str(height), "-e", "TERM=tmux-256color", "-e", "NO_COLOR=", shell)
    try:
        tmux("set-option", "-g", "status", "off")
        tmux("resize-window", "-x", str(width), "-y", str(height))
        yield show
    finally:
        subprocess.run(("tmux", "-L", server, "kill-server"), capture_output=True, check=False)


def _page(command: tuple[str, ...], directory: Path) -> None:
    """The page of the incident, as a browser shows it."""
    page, picture = directory / "page.html", directory / "page.png"
    subprocess.run((*command, "--html", str(page)), check=True, capture_output=True)
    text = _of_any_machine(page.read_text(), escape=html.escape)
    _must_name_no_machine(text)
    page.write_text(text)
    browser = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory}/profile")
    quiet = ("--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1000,1150", "--hide-scrollbars")
    run = (*browser, *quiet, f"--screenshot={picture}", page.as_uri())
    subprocess.run(run, check=True, capture_output=True, timeout=BROWSER_SECONDS)
    _write(PICTURES / "incident-page.png", picture.read_bytes())


def _of_any_machine(text: str, escape: Callable[[str], str] = str) -> str:
    """The text with process 1 and the kernel's release as any machine has them; a command line may have been cut."""
    kernel = platform.release()
    text = text.replace(escape(kernel), kernel.split("-")[0])
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/hullwatch-live-\w+(?:/exec)?", str(DEFAULT_EXEC_ROOT), text)
    first = escape(_first_program())
    return text if first == INIT else re.sub(rf"{re.escape(first)}[^\n<\x1b]*", INIT, text)


def _first_program() -> str:
    return Path("/proc/1/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")


def _must_name_no_machine(text: str) -> None:
    for name in (platform.node(), str(ROOT), tempfile.gettempdir(), _first_program(), platform.release()):
        if name and name != INIT and name in text:
            raise SystemExit(f"the picture would name {name}")


def _write(path: Path, data: bytes) -> None:
    if path.suffix == ".svg":
        _must_name_no_machine(data.decode())
    PICTURES.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sys.stdout.write(f"{path.relative_to(ROOT)}: {len(data) // 1024 + 1} KiB\n")


if __name__ == "__main__":
    raise SystemExit(main())
