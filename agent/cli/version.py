"""``hullwatch version``: which hullwatch this is, and what it stands on."""

from __future__ import annotations

import click

from agent import __version__
from agent.cli.output import Format, Output, output_options, write


@click.command()
@output_options
def version(output: Output) -> None:
    """Say which version this is, and what it stands on.

    The line is that of --version; wide, JSON and YAML have Python, the libraries and the kernel too.
    """
    if output.format is Format.TABLE:
        write(f"hullwatch {__version__}\n")
        return
    from agent.versions import versions

    found = versions()
    if not output.is_table:
        output.document(found)
        return
    libraries = found.pop("libraries")
    for name, number in {**found, **libraries}.items():
        output.text(f"{name} {number or 'not known'}")
