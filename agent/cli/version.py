"""``hullwatch version``: which hullwatch this is, and what it stands on."""

from __future__ import annotations

import click

from agent.cli.output import Output, output_options, write


@click.command()
@output_options
def version(output: Output) -> None:
    """Say which version this is, and what it stands on.

    The line is that of --version; wide, JSON and YAML have Python, the libraries and the kernel too.
    """
    from agent.doctor.bundle import versions

    found = versions()
    if not output.is_table:
        output.document(found)
        return
    write(f"hullwatch {found['hullwatch']}\n")
    if output.format.value == "wide":
        for name in ("python", "kernel", "architecture", "distribution"):
            output.text(f"{name} {found[name] or 'not known'}")
        for name, number in found["libraries"].items():
            output.text(f"{name} {number or 'not installed'}")
