"""``hullwatch capture``: what happens on this node, in a file."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from agent.cli import node
from agent.cli.agent_link import connect, is_agent_unwanted, refused
from agent.cli.moments import span
from agent.cli.narrowing import moment
from agent.cli.output import EXIT_CLEAN, Refused, is_reader_gone, note, reader_gone
from agent.cli.select import choose_container
from agent.config_schema import Config
from agent.control.client import Connection, ControlError, NoAgent

if TYPE_CHECKING:
    from agent.sources import SensorChoice

_WHOLE_ID = re.compile(r"[0-9a-f]{64}")
_STDOUT = Path("-")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--seconds", type=click.FloatRange(min=0.0, min_open=True), help="End by itself after so long.")
@click.option(
    "--since", metavar="TIME", help="Begin in the past: 90s, 10m ago, or a time (UTC). Wants a running agent."
)
@click.option(
    "--container",
    metavar="CONTAINER",
    help="Leave out what belongs to other containers than this one: a name, an id or the start of one. The host's own "
    "processes stay in.",
)
@node.look_options
@click.pass_context
def capture(
    ctx: click.Context,
    file: Path,
    seconds: float | None,
    since: str | None,
    container: str | None,
    config_path: Path | None,
) -> None:
    """Record what happens on this node, for a replay.

    Writes every event that the running agent takes in into FILE, which must not be there yet (`-` is stdout), until
    Ctrl-C (or SIGTERM). Without an agent, or with --no-agent, it starts sensors of its own. `hullwatch replay FILE`
    judges it again, here or elsewhere.

    The agent keeps its latest events for --since: as far back as control.history_seconds and control.history_bytes let
    it. How far that was is said on stderr.

    A capture holds what processes were called with, environment of bundles included: as secret as the node itself. It
    is readable by its owner alone. When the agent goes away, the disk is full or a second Ctrl-C ends it, FILE can be
    replayed up to there.
    """
    config = node.read(config_path)
    since_ns = moment("--since", since)
    connection = _connection(config)
    if connection is None and since_ns is not None:
        raise Refused("--since wants a running agent, which remembers; one that begins now knows nothing of before")
    if connection is None and os.geteuid() != 0:
        raise Refused("only root sees what other users' processes hold: run it as root")
    container_id = _chosen(config, container, connection) if container is not None else None
    over = _Over(seconds)
    try:
        with over.on_signals():
            if connection is not None:
                _from_agent(connection, file, over, container_id, since_ns)
            else:
                _by_itself(config, file, over, container_id)
    except OSError as error:
        if file == _STDOUT and is_reader_gone(error):
            reader_gone()
        raise Refused(f"{file}: {error.strerror or error}; what was written can be replayed") from error
    except ControlError as error:
        raise refused(error) from error
    ctx.exit(EXIT_CLEAN)


class _Over:
    """When the capture is to end: a signal, or the time. ``asked`` is called once, in the main thread."""

    def __init__(self, seconds: float | None) -> None:
        self.is_over = False
        self.asked: Callable[[], None] = lambda: None
        self._seconds = seconds

    def count_down(self) -> None:
        """The time begins now."""
        if self._seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """The first signal has it end; another one ends the program."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
        before = {each: signal.signal(each, self._ask) for each in numbers}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, _frame: object) -> None:
        if self.is_over:
            if number != signal.SIGALRM:
                raise KeyboardInterrupt
            return
        self.is_over = True
        self.asked()


def _connection(config: Config) -> Connection | None:
    """The running agent; ``None`` where there is none, or it is not to be asked. Raises ``Refused``."""
    if is_agent_unwanted():
        return None
    try:
        return connect(config)
    except NoAgent:
        note("no agent answers: this is a look of its own, which knows nothing of before")
        return None
    except ControlError as error:
        raise refused(error) from error


def _chosen(config: Config, wanted: str, connection: Connection | None) -> str:
    """The id of the one container that is meant; a whole id may be of one that is yet to come."""
    if _WHOLE_ID.fullmatch(wanted):
        return wanted
    if connection is None:
        return choose_container(node.look_here(config, judge=False).state, wanted).id
    from agent.cli.inquiry import restored_state

    try:
        return choose_container(restored_state(connection.ask("picture")), wanted).id
    except ControlError as error:
        raise refused(error) from error


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """FILE, made; ``-`` is stdout. Raises ``Refused``."""
    if file == _STDOUT:
        if sys.stdout.isatty():
            raise Refused("a capture is no text: send stdout to a file or a program")
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror or error}") from error
    with open(descriptor, "wb") as stream:
        yield stream


def _from_agent(
    connection: Connection, file: Path, over: _Over, container_id: str | None, since_ns: int | None
) -> None:
    """Write what the agent hands out. Raises ``OSError``, ``ControlError`` and ``Refused``."""
    connection.wait_for_ever()
    answer = connection.ask("capture", container=container_id, since_ns=since_ns)
    first = next(answer, None)
    if first is None:
        raise ControlError(f"the agent at {connection.path} has nothing to capture")
    with _opened(file) as stream:
        over.asked = lambda: connection.tell("end_capture", capture=first["capture"])
        if over.is_over:
            over.asked()
        over.count_down()
        _say_what_it_is(first, since_ns)
        size = 0
        try:
            for data in answer:
                stream.write(data)
                stream.flush()
                size += len(data)
        except ControlError:
            note(f"{file}: it can be replayed up to here")
            raise
    note(f"{file}: {size} bytes")


def _say_what_it_is(first: dict[str, Any], since_ns: int | None) -> None:
    reached = first["since_ns"]
    back = f", from {span((time.time_ns() - reached) / 1e9)} ago on" if reached is not None else ""
    note(f"records through the running agent (hullwatch {first['version']}, {first['tier']}){back}; Ctrl-C ends it")
    if since_ns is not None and reached > since_ns:
        missing = span((reached - since_ns) / 1e9)
        note(f"the agent's memory reaches no further back: {missing} of what was asked for are missing")


def _by_itself(config: Config, file: Path, over: _Over, container_id: str | None) -> None:
    """Record with sensors of our own. Raises ``OSError`` and ``Refused``."""
    from agent.capture.recording import record
    from agent.errors import ConfigError
    from agent.log import configure_log

    configure_log(config.log)

    def ready(choice: SensorChoice) -> None:
        over.count_down()
        note(f"records ({choice.tier.value}: {choice.reason}); Ctrl-C ends it")

    with _opened(file) as stream:
        try:
            done = record(config, stream, is_over=lambda: over.is_over, container=container_id, on_ready=ready)
        except ConfigError as error:
            raise Refused(str(error)) from error
    lost = f", {done.lost} could not be written" if done.lost else ""
    note(f"{file}: {done.events} events{lost}, {done.size_bytes} bytes; they raised {done.alerts} alerts")
