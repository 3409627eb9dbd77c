"""How commands reach the running agent, and what they say when they do not.

The socket is where the agent makes it by its configuration (``--config``, else the defaults), or where ``--socket``
says. Commands that need the agent end with a status of their own for each way in which it can't be had; those that can
look by themselves do so then (``picture``), and say which it was, on stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.output import EXIT_NO_AGENT, EXIT_NOT_OURS, EXIT_OTHER_VERSION, Refused, note
from agent.config_schema import Config
from agent.control.client import (
    Connection,
    ControlError,
    NoAgent,
    NoPermission,
    NotOurs,
    OtherVersion,
)
from agent.control_schema import socket_path

if TYPE_CHECKING:
    from agent.state import NodeState

_SOCKET = "hullwatch.socket"
_NO_AGENT = "hullwatch.no_agent"


class AgentMissing(Refused):
    """Nobody listens, or the agent went away while it answered."""

    exit_code = EXIT_NO_AGENT


class AgentNotOurs(Refused):
    """What is there is no agent's socket, or does not speak as one."""

    exit_code = EXIT_NOT_OURS


class AgentOfOtherVersion(Refused):
    """The agent speaks another version of the protocol."""

    exit_code = EXIT_OTHER_VERSION


def refused(error: ControlError) -> Refused:
    """The error as a command ends with it; its class has the exit status."""
    text = str(error)
    match error:
        case NoAgent():
            return AgentMissing(text, "hullwatch run starts one; --config or --socket say where it is")
        case NoPermission():
            return Refused(text, "become root, or a member of the group that control.group names")
        case NotOurs():
            return AgentNotOurs(text)
        case OtherVersion():
            return AgentOfOtherVersion(text)
        case _:
            return Refused(text)


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    ctx.meta[_SOCKET if parameter.name == "socket" else _NO_AGENT] = value


socket_option = click.option(
    "--socket",
    metavar="PATH",
    expose_value=False,
    callback=_remember,
    help="The agent's control socket; by default where the configuration has it.",
)

no_agent_option = click.option(
    "--no-agent",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Look at the node without asking the running agent.",
)


def agent_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--config`` and ``--socket``, and pass it an ``Agent`` named ``agent``."""

    @click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The agent's configuration, which says where its socket is; its defaults where none is given.",
    )
    @socket_option
    @wraps(command)
    def with_agent(*args: Any, config_path: Path | None, **options: Any) -> Any:
        agent = Agent(config_path)
        click.get_current_context().call_on_close(agent.close)
        return command(*args, agent=agent, **options)

    return with_agent


class Agent:
    """The running agent, as a command asks it. Connects at the first question; raises ``Refused``."""

    def __init__(self, config_path: Path | None) -> None:
        self.config_path = config_path
        self._connection: Connection | None = None

    def ask(self, method: str, **parameters: Any) -> Iterator[Any]:
        """The values of an answer, as they come."""
        try:
            yield from self._connected().ask(method, **parameters)
        except ControlError as error:
            raise refused(error) from error

    def follow(self, method: str, **parameters: Any) -> Iterator[Any]:
        """The same for an answer that goes on for ever."""
        self._connected().wait_for_ever()
        return self.ask(method, **parameters)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            from agent.cli import node

            config = node.read(self.config_path)
            try:
                self._connection = connect(config)
            except ControlError as error:
                raise refused(error) from error
        return self._connection


def connect(config: Config) -> Connection:
    """A connection to the agent of that configuration, or at ``--socket``. Raises ``ControlError``."""
    path = _path(config)
    if path is None:
        raise NoAgent("the configuration has no control socket: it is switched off, or there is no state directory")
    return Connection(path)


def path_to_ask(config: Config) -> str | None:
    """Where the agent is asked; ``None`` where it is not to be, or can't be."""
    context = click.get_current_context(silent=True)
    return None if context is not None and context.meta.get(_NO_AGENT) else _path(config)


def _path(config: Config) -> str | None:
    context = click.get_current_context(silent=True)
    chosen: str | None = context.meta.get(_SOCKET) if context is not None else None
    return socket_path(config.control, config.state.directory) if chosen is None else chosen


def is_agent_unwanted() -> bool:
    """The running agent is not to be asked (``--no-agent``)."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_NO_AGENT))


def picture(config: Config) -> NodeState | None:
    """What the running agent knows of the node; ``None`` when it was not asked, or can't be. Says so on stderr."""
    if is_agent_unwanted():
        return None
    from agent.control.picture import restored
    from agent.control.values import Malformed

    limits = config.limits
    try:
        with connect(config) as connection:
            state = restored(
                connection.ask("picture"), max_processes=limits.processes, max_containers=limits.containers
            )
            note(f"the running agent answers (hullwatch {connection.version}, sensor {state.tier.value})")
            return state
    except NoAgent:
        note("no agent answers: this is a look of its own, which knows nothing of before")
    except (ControlError, Malformed) as error:
        note(f"{error}: this is a look of its own")
    return None
