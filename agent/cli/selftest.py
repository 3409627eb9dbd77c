"""``hullwatch selftest``: proof, on this node, that a break-out is seen."""

from __future__ import annotations

import os
from pathlib import Path

import click

from agent.cli import node
from agent.cli.output import EXIT_CLEAN, EXIT_FINDINGS, Refused, note, write
from agent.selftest.alerts import AlertFile, AlertSource, OwnAgent
from agent.selftest.container import SelftestError
from agent.selftest.trial import WANTED_RULE, Outcome, run_trial


@click.command()
@node.config_option
@click.option(
    "--alerts",
    "alerts_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to which a running agent's alerts are written; without it an agent is started for the purpose.",
)
@click.option("--runtime", metavar="NAME", help="runc or crun; by default the one installed, else bare namespaces.")
@click.pass_context
def selftest(ctx: click.Context, config_path: Path | None, alerts_path: Path | None, runtime: str | None) -> None:
    """Prove that a break-out on this node is seen.

    Makes a throwaway container, lets one process of it enter the namespaces of a host process (and do nothing there),
    waits for the alert, and cleans up. Harmless, also in production. Exit status 0 when it was seen, 1 when not.
    """
    if os.geteuid() != 0:
        raise Refused("a container can be made by root only")
    node.read(config_path)  # a faulty file is told by its key and line, not by an agent that did not start
    source: AlertSource = AlertFile(alerts_path) if alerts_path is not None else OwnAgent(config_path)
    try:
        with source:
            outcome = run_trial(source, runtime=runtime)
    except SelftestError as error:
        raise Refused(str(error)) from error
    _tell(outcome)
    ctx.exit(EXIT_CLEAN if outcome.is_seen else EXIT_FINDINGS)


def _tell(outcome: Outcome) -> None:
    """The alert on stdout, what it means on stderr."""
    rules = ", ".join(dict.fromkeys(str(each.alert.get("rule", {}).get("id")) for each in outcome.alerts))
    what = f"container {outcome.container_id[:12]} (made by {outcome.runtime})"
    if outcome.milliseconds is None:
        told = f"only {rules} was told of it" if rules else "nothing was told of it"
        note(f"NOT SEEN: {what} entered the host's namespaces, and {told}")
        return
    first = next(each for each in outcome.alerts if each.alert["rule"]["id"] == WANTED_RULE)
    write(first.line + "\n")
    note(f"seen: {what} entered the host's namespaces; told after {outcome.milliseconds:.0f} ms by the")
    note(f"      {outcome.sensor} sensor. Rules: {rules}")
