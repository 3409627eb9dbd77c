"""``hullwatch top``: the containers of this node by risk, live."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli import agent_link, node
from agent.cli.filters import Filter, filter_options
from agent.cli.output import Refused
from agent.config_schema import Config

if TYPE_CHECKING:
    from agent.cli.screen.source import Source

_JOIN_SECONDS = 2.0
_PLAYED_SECONDS = 1.0


@click.command()
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(1, 3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="The time between two looks at the node.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours; auto has them unless NO_COLOR is set.",
)
@click.option(
    "--capture",
    "capture_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Play a capture instead of watching this node.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.0, min_open=True, max=4096),
    default=1.0,
    show_default=True,
    help="With --capture: 1 is as it happened; the keys + and - change it.",
)
@filter_options
@node.look_options
@click.pass_obj
def top(
    look: node.Look | None,
    interval_seconds: float,
    color: str,
    capture_path: Path | None,
    speed: float,
    only: Filter,
    config_path: Path | None,
) -> None:
    """Watch the containers of this node by risk: a live screen.

    Who is out comes first, then the worst finding, then the most ways out; namespaces of the host are in red. ENTER
    opens a container (its processes, findings, ways out, what it does) or an incident; the keys are at the bottom,
    and ? lists all of them. It asks the running agent, and looks at the node by itself where none runs: the title says
    which; a look does not see what is over. --capture plays a recording. Usable from 80 by 24 cells, and over a serial
    line: only what changed is written. Times are UTC.
    """
    config = node.read(config_path)
    if sys.stdout is None or not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise Refused("top needs a terminal; hullwatch scan and hullwatch ps write the same to a file")
    try:
        import curses
    except ImportError as error:
        raise Refused("this Python was built without curses, which draws the screen") from error
    from agent.cli.screen import terminal
    from agent.cli.screen.source import Feed

    source = _source(config, look, only, capture_path, speed)
    feed = Feed(source, interval_seconds=interval_seconds if capture_path is None else _PLAYED_SECONDS)
    feed.start()
    try:
        terminal.show(feed, color=color == "always" or (color == "auto" and not os.environ.get("NO_COLOR")))
    except curses.error as error:
        raise Refused(f"the terminal {os.environ.get('TERM') or '(TERM is not set)'} is of no use: {error}") from error
    finally:
        feed.stop(_JOIN_SECONDS)


def _source(config: Config, look: node.Look | None, only: Filter, capture_path: Path | None, speed: float) -> Source:
    """What is asked for: a capture, a look, or whoever knows this node best."""
    if capture_path is not None:
        from agent.cli.screen.of_capture import CaptureSource

        return CaptureSource(capture_path, config, only, speed)
    from agent.cli.screen.of_node import LookSource, NodeSource

    path = agent_link.path_to_ask(config) if look is None else None
    return LookSource(config, look or node.look_here, only) if path is None else NodeSource(config, path, only)
