"""``hullwatch run``: the agent."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import click
from msgspec import structs

from agent.cli import node
from agent.cli.output import Refused


@click.command()
@node.config_option
@click.option("--memory-only", is_flag=True, help="Leave the state directory alone: alerts wait in memory only.")
@click.pass_context
def run(ctx: click.Context, config_path: Path | None, *, memory_only: bool) -> None:
    """Watch this node: the agent.

    Alerts go to stdout, one JSON object a line (Elastic Common Schema); the agent's own log goes to stderr. Ready is
    when the log says "ready". SIGTERM and SIGINT end it, with what is queued written first; SIGHUP reads the
    configuration again, and keeps the old one if the new one is wrong, and opens the file of alerts anew.
    """
    config = node.read(config_path)
    import_structlog_alone()
    from agent.daemon import Agent
    from agent.errors import ConfigError
    from agent.log import configure_log

    configure_log(config.log)
    if memory_only:
        config = structs.replace(config, state=structs.replace(config.state, directory=None))
    try:
        ctx.exit(Agent(config, str(config_path) if config_path is not None else None).run())
    except ConfigError as error:  # a sensor that this node refuses, a state directory of another agent
        raise Refused(str(error)) from error


def import_structlog_alone() -> None:
    """Import structlog without what it brings along and the agent does not use: 10 MB of memory.

    That is rich, for colours, and asyncio, for methods that can be awaited, which in turn brings OpenSSL.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None is how Python marks "not to be had"
    if "asyncio" in sys.modules:
        return
    sys.modules["asyncio"] = ModuleType("asyncio")
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["asyncio"]
