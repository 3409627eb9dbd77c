"""``hullwatch run``: the agent."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.cli import node
from agent.cli.output import Refused


@click.command()
@node.config_option
@click.pass_context
def run(ctx: click.Context, config_path: Path | None) -> None:
    """Watch this node: the agent.

    Alerts go to stdout, one JSON object a line (Elastic Common Schema); the agent's own log goes to stderr. Ready is
    when the log says "ready". SIGTERM and SIGINT end it, with what is queued written first; SIGHUP reads the
    configuration again, and keeps the old one if the new one is wrong.
    """
    config = node.read(config_path)
    _do_without_rich()
    from agent.daemon import Agent
    from agent.errors import ConfigError
    from agent.log import configure_log

    configure_log(config.log)
    try:
        ctx.exit(Agent(config, str(config_path) if config_path is not None else None).run())
    except ConfigError as error:  # a sensor was demanded that this node refuses
        raise Refused(str(error)) from error


def _do_without_rich() -> None:
    """Structlog imports rich where it is installed, for colours that the agent does not use: 5 MB of memory."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None is how Python marks "not to be had"
