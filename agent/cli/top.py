"""``hullwatch top``: the containers of this node by risk, live."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from agent.cli import node
from agent.cli.filters import Filter, filter_options
from agent.cli.output import Refused

_JOIN_SECONDS = 2.0


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
@filter_options
@node.config_option
@click.pass_obj
def top(look: node.Look | None, interval_seconds: float, color: str, only: Filter, config_path: Path | None) -> None:
    """Watch the containers of this node by risk: a live screen.

    Who got out comes first, then the worst finding, then the most ways out; namespaces of the host are in red. ENTER
    opens a container: its processes, findings and ways out. It looks at the node by itself, as scan does, so no agent
    is needed; an act that is over and left nothing behind is not seen. Usable from 80 by 24 cells, and over a serial
    line: only what changed is written.
    """
    config = node.read(config_path)
    if sys.stdout is None or not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise Refused("top needs a terminal; hullwatch scan and hullwatch ps write the same to a file")
    try:
        import curses
    except ImportError as error:
        raise Refused("this Python was built without curses, which draws the screen") from error
    from agent.cli.screen import terminal
    from agent.cli.screen.source import Feed, SweepSource

    feed = Feed(SweepSource(config, look or node.look_here, only.admits), interval_seconds=interval_seconds)
    feed.start()
    try:
        terminal.show(feed, color=color == "always" or (color == "auto" and not os.environ.get("NO_COLOR")))
    except curses.error as error:
        raise Refused(f"the terminal {os.environ.get('TERM') or '(TERM is not set)'} is of no use: {error}") from error
    finally:
        feed.stop(_JOIN_SECONDS)
