"""``hullwatch capture``: what happens on this node, in a file."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli import node
from agent.cli.output import EXIT_CLEAN, Refused, note

if TYPE_CHECKING:
    from agent.sources import SensorChoice


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--seconds", type=click.FloatRange(min=0.0, min_open=True), help="End by itself after so long.")
@click.option(
    "--container",
    metavar="CONTAINER",
    help="The whole id of a container: leave out what belongs to other containers. The host's own processes stay in.",
)
@node.config_option
@click.pass_context
def capture(
    ctx: click.Context, file: Path, seconds: float | None, container: str | None, config_path: Path | None
) -> None:
    """Record what happens on this node, for a replay.

    Starts sensors of its own, beside an agent or without one, and writes every event that the core applies into FILE,
    which must not be there yet, until Ctrl-C (or SIGTERM). `hullwatch replay FILE` judges it again, here or elsewhere.

    A capture holds what processes were called with, environment of bundles included: as secret as the node itself. It
    is readable by its owner alone.
    """
    config = node.read(config_path)
    if os.geteuid() != 0:
        raise Refused("only root sees what other users' processes hold: run it as root")
    from agent.capture.recording import record
    from agent.errors import ConfigError
    from agent.log import configure_log

    configure_log(config.log)
    over = threading.Event()
    before = {each: signal.signal(each, lambda _number, _frame: over.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    ends_at = [float("inf")]

    def ready(choice: SensorChoice) -> None:
        ends_at[0] = float("inf") if seconds is None else time.monotonic() + seconds
        note(f"records ({choice.tier.value}: {choice.reason}); Ctrl-C ends it")

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:
            done = record(
                config,
                stream,
                is_over=lambda: over.is_set() or time.monotonic() >= ends_at[0],
                container=container,
                on_ready=ready,
            )
    except OSError as error:
        raise Refused(f"{file}: {error.strerror or error}") from error
    except ConfigError as error:
        raise Refused(str(error)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    lost = f", {done.lost} could not be written" if done.lost else ""
    note(f"{file}: {done.events} events{lost}, {done.size_bytes} bytes; they raised {done.alerts} alerts")
    ctx.exit(EXIT_CLEAN)
