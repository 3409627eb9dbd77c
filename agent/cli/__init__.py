"""The command line, ``hullwatch``: one file a command, each imported only when it is the one that runs.

Conventions of every command: data goes to stdout, messages to stderr. Exit status 0 is done or clean, 1 findings (or a
failed proof), 2 wrong usage, a wrong configuration or no permission, 3 to 5 no agent to ask. ``-o`` chooses the form of
the data. Nothing that a container can name reaches a terminal unescaped: see ``agent.cli.output``. A reader that goes
away (``hullwatch ps | head -1``, a closed terminal) ends a command quietly, with the status of SIGPIPE.

Guarded by ``tests/agent/cli/test_main.py``: the table below says what each command's own help says.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click

from agent import __version__
from agent.text import visible


class Entry(NamedTuple):
    """Where a command is, ``module:attribute``, and the line that stands for it in ``hullwatch --help``."""

    place: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("agent.cli.run:run", "Watch this node: the agent."),
    "scan": Entry("agent.cli.scan:scan", "Look at this node once, and say what got out or could."),
    "status": Entry(
        "agent.cli.status:status", "Say how the running agent does: sensor, losses, containers, incidents, sinks, cost."
    ),
    "alerts": Entry("agent.cli.alerts:alerts", "List the alerts of the running agent, the newest last."),
    "incidents": Entry(
        "agent.cli.incidents:incidents",
        "List the incidents: findings of one container that make a story. With an ID, tell it from its beginning.",
    ),
    "events": Entry(
        "agent.cli.events:events",
        "Show what containers do, as it happens: programs, exits, changed namespaces and credentials, mounts.",
    ),
    "containers": Entry(
        "agent.cli.containers:containers", "List the containers that the running agent watches, and how each stands."
    ),
    "ps": Entry("agent.cli.ps:ps", "List the processes of containers, and what each shares with the host."),
    "top": Entry("agent.cli.top:top", "Watch the containers of this node by risk: a live screen."),
    "tree": Entry("agent.cli.tree:tree", "Draw who started whom, and where confinement became wider or narrower."),
    "inspect": Entry("agent.cli.inspect:inspect", "Set what confines a container or process beside what was declared."),
    "diff": Entry("agent.cli.diff:diff", "Show where a container is not as it was declared, or not as another one."),
    "mounts": Entry(
        "agent.cli.mounts:mounts",
        "Tell a container's mounts apart: declared, the runtime's, later; and what leads to the host.",
    ),
    "sockets": Entry(
        "agent.cli.sockets:sockets",
        "List the sockets that govern containers or the host, and which containers reach or hold them.",
    ),
    "ways-out": Entry(
        "agent.cli.ways_out:ways_out", "Rank the ways out of a container: by which fact, which steps, seen by what."
    ),
    "rules": Entry("agent.cli.rules:rules", "List what hullwatch detects."),
    "capture": Entry("agent.cli.capture:capture", "Record what happens on this node, for a replay."),
    "replay": Entry("agent.cli.replay:replay", "Judge a capture again, as fast as it can or as it happened."),
    "explain": Entry(
        "agent.cli.explain:explain", "Say what a rule means, and what to do when it fires; or what one alert means."
    ),
    "doctor": Entry(
        "agent.cli.doctor:doctor",
        "Say what the agent needs of this node, what is missing, what it costs and how to mend it.",
    ),
    "selftest": Entry("agent.cli.selftest:selftest", "Prove that a break-out on this node is seen."),
    "config": Entry("agent.cli.config:config", "Check or show a configuration, or print what may stand in one."),
    "completion": Entry("agent.cli.completion:completion", "Print the completion script for a shell."),
    "version": Entry("agent.cli.version:version", "Say which version this is, and what it stands on."),
}
"""Every command, in the order of the help."""

EPILOG = (
    'Paged by an alert? "hullwatch explain EVENT" with its event.id says what happened to which container and whether '
    'it is contained, "hullwatch incidents EVENT" the whole story. '
    "Exit status: 0 done or clean, 1 findings, 2 wrong usage, wrong configuration or no permission, 3 no agent runs, "
    "4 no agent's socket, 5 an agent of another version."
)


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; ``None`` where there is none."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As click does it, with what is wrong in ``args`` made visible."""
        with _plain_endings():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does it, with what is wrong in the arguments of the command made visible."""
        with _plain_endings():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their lines, without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@contextmanager
def _plain_endings() -> Iterator[None]:
    """Click repeats the argument that it refuses, and a script may have got that from a container.

    Its statuses for a reader that went away and for Ctrl-C are 1, which says "findings" here.
    """
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # its message is the help
    except click.UsageError as error:
        raise click.UsageError(visible(error.format_message()), error.ctx) from error
    except BrokenPipeError:
        from agent.cli.output import reader_gone

        reader_gone()
    except KeyboardInterrupt:
        from agent.cli.output import EXIT_INTERRUPTED

        raise SystemExit(EXIT_INTERRUPTED) from None


@click.command(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hullwatch", message="%(prog)s %(version)s")
def main() -> None:
    """Watch the hull of every container on this node, and tell when something gets out."""
