"""``hullwatch config``: check a configuration before the agent has to refuse it."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli import output
from detectors.catalog import DETECTORS


@click.group()
def config() -> None:
    """Check a configuration file, or print what may stand in one."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check FILE as the agent would read it.

    Exit status: 0 it is right (what is dubious in it is said on stderr), 2 it is wrong, and where.
    """
    from agent.config import load_config
    from agent.errors import ConfigError
    from agent.policy import load_warnings

    try:
        found = load_config(file)
    except ConfigError as error:
        raise output.Refused(str(error)) from error
    for warning in load_warnings(found.exceptions, DETECTORS):
        output.note(f"{file}: {warning}")
    output.note(f"{file} is right")


@config.command()
def reference() -> None:
    """Print every key, what it takes, its default and what it means (Markdown)."""
    from agent import config_reference

    output.write(config_reference.reference())
