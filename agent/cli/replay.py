"""``hullwatch replay``: a capture, judged again."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli import node
from agent.cli.output import EXIT_CLEAN, EXIT_FINDINGS, Refused, note, write
from detectors.base import Severity

if TYPE_CHECKING:
    from agent.capture.file import CaptureReader
    from agent.report import Alert


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--speed",
    type=click.FloatRange(min=0.0, min_open=True),
    help="1 is as it happened, 10 is ten times as fast; without it as fast as it can.",
)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["line", "ecs", "falco", "ocsf"]),
    default="line",
    show_default=True,
    help="A line for a person, or an alert a line as JSON of that format, byte by byte as the agent writes it.",
)
@click.option(
    "--min-severity",
    type=click.Choice([each.name.lower() for each in Severity]),
    default=Severity.INFO.name.lower(),
    show_default=True,
    help="Leave out what is less severe, in the exit status too.",
)
@node.config_option
@click.pass_context
def replay(
    ctx: click.Context, file: Path, speed: float | None, form: str, min_severity: str, config_path: Path | None
) -> None:
    """Judge a capture again, as fast as it can or as it happened.

    The same core as in the agent: state, detectors, exceptions, incidents. With the same configuration it gives the
    same alerts; with another one it shows what that would have told. A file that was cut off is replayed up to there.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage, or a file that is no capture, damaged, or of another
    version: then what stands before the damage was replayed.
    """
    config = node.read(config_path)
    from agent.capture.errors import CaptureError
    from agent.capture.file import CaptureReader
    from agent.capture.replay import pace
    from agent.capture.replay import replay as replayed
    from agent.formats.catalog import FORMATS
    from agent.stored_alert import stored

    least = Severity[min_severity.upper()]
    shown = standing = 0
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise Refused(f"{file}: it is no regular file")
        with file.open("rb") as stream:
            reader = CaptureReader(stream)
            for alert in replayed(reader, config, pace(speed)):
                if alert.severity < least:
                    continue
                shown += 1
                standing += reader.events_read <= reader.header.beginning
                write(f"{_line(alert)}\n" if form == "line" else FORMATS[form](stored(alert)).decode("utf-8") + "\n")
    except OSError as error:
        raise Refused(f"{file}: {error.strerror or error}") from error
    except CaptureError as error:
        raise Refused(f"{file}: {error}") from error
    _tell_end(file, reader, shown, standing)
    ctx.exit(EXIT_FINDINGS if shown else EXIT_CLEAN)


def _line(alert: Alert) -> str:
    from agent.formats.instant import timestamp
    from agent.text import visible

    severity = alert.severity.name.lower()
    return visible(f"{timestamp(alert.at_ns)} {severity:8} {alert.detector.id} {alert.message}")


def _tell_end(file: Path, reader: CaptureReader, shown: int, standing: int) -> None:
    if reader.cut is not None:
        note(f"{file}: {reader.cut}; replayed up to there")
    if reader.ending is not None and reader.ending.lost:
        note(f"{file}: {reader.ending.lost} events could not be recorded")
    if reader.header.container is not None:
        note(f"{file}: it holds no events of containers other than {reader.header.container}")
    if standing:
        note(f"{file}: the first {standing} alerts are of what was the case when it begins")
    note(f"{file}: {reader.events_read} events, {shown} alerts")
