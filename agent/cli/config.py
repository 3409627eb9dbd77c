"""``hullwatch config``: check a configuration before the agent has to refuse it, and show what holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from agent.cli import node, output
from agent.cli.output import Format, Output


@click.group()
def config() -> None:
    """Check or show a configuration, or print what may stand in one."""


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
    if found.exceptions:
        from detectors.catalog import DETECTORS  # each is a module

        for warning in load_warnings(found.exceptions, DETECTORS):
            output.note(f"{file}: {warning}")
    output.note(f"{file} is right")


@config.command()
@node.config_option
@output.output_options
def show(config_path: Path | None, output: Output) -> None:
    """Print the configuration as it holds, every default filled in.

    As YAML that the agent would take, but for what may be secret: headers, paths of URLs and patterns of the redaction
    are masked.
    """
    from agent.shown_config import shown

    values = shown(node.read(config_path))
    (replace(output, format=Format.YAML) if output.is_table else output).document(values)


@config.command()
def reference() -> None:
    """Print every key, what it takes, its default and what it means (Markdown)."""
    from agent import config_reference

    output.write(config_reference.reference())
