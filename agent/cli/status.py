"""``hullwatch status``: how the running agent does, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from agent.cli.agent_link import Agent, agent_options
from agent.cli.moments import span
from agent.cli.output import EXIT_FINDINGS, Output, output_options
from detectors.base import Severity

_LABEL_WIDTH = 11


@click.command()
@agent_options
@output_options
@click.pass_context
def status(ctx: click.Context, agent: Agent, output: Output) -> None:
    """Say how the running agent does: sensor, losses, containers, incidents, sinks, cost.

    Exit status: 0 it watches (also when degraded, with the reasons shown), 1 it does not watch as it should (failing),
    3 no agent runs.
    """
    found: dict[str, Any] = next(agent.ask("status"))
    if output.is_table:
        output.text("\n".join(_lines(found)))
    else:
        output.document(found)
    ctx.exit(EXIT_FINDINGS if found["health"]["status"] == "failing" else 0)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """Nothing in a status was named by a container."""
    health, sensor, state, cost = found["health"], found["sensor"], found["node_state"], found["cost"]
    yield _line(
        "hullwatch", f"{found['version']} on {found['node']}, pid {found['pid']}, up {span(found['uptime_seconds'])}"
    )
    yield _line("health", health["status"] + ("" if health["is_ready"] else ", not ready"))
    yield from (_line("", f"{each['status']}: {each['detail']}") for each in health["reasons"])
    yield _line("sensor", f"{sensor['tier']} (asked for: {sensor['configured']}): {sensor['reason']}")
    down = [name for name, is_up in sensor["sources"].items() if not is_up]
    yield _line("sources", f"{len(sensor['sources'])} run" if not down else f"stopped: {', '.join(down)}")
    lost = {name: count for name, count in found["losses"].items() if count}
    yield _line("losses", ", ".join(f"{count} {name}" for name, count in lost.items()) or "none")
    yield _line(
        "containers",
        f"{state['containers']} with {state['container_processes']} processes; {state['processes']} on the node",
    )
    yield _line("incidents", _by_severity(found["incidents"], "open") or "none open")
    alerts = _by_severity(found["alerts"], "") or "none"
    beside = [f"{found[name]} {words}" for name, words in _BESIDE.items() if found[name]]
    yield _line("alerts", "; ".join([f"{alerts} since the start, by {found['detectors']} detectors", *beside]))
    outbox = found["outbox"]
    if outbox is not None:
        trouble = ", CAN'T BE WRITTEN" if outbox["is_failing"] else ""
        kept = f"{outbox['alerts']} alerts, {_size(outbox['size_bytes'])} of {_size(outbox['limit_bytes'])}"
        yield _line("outbox", f"{kept}, {outbox['dropped']} dropped{trouble}")
    for index, sink in enumerate(found["sinks"]):
        yield _line("sinks" if index == 0 else "", _sink(sink))
    sweep = f", a sweep takes {cost['sweep_cpu_ms']} ms" if cost["sweep_cpu_ms"] is not None else ""
    yield _line("cost", f"{cost['cpu_percent']}% CPU since the start, {_size(cost['rss_bytes'])} of memory{sweep}")
    memory = found.get("memory") or {}  # an agent of another version has none
    if memory.get("limit_bytes") is not None:
        saved = f"saved by {', '.join(memory['saved_by'])}" if memory["saved_by"] else "enough"
        yield _line("memory", f"{saved}, the limit is {_size(memory['limit_bytes'])}")
    yield _line("config", found["config"] or "the defaults")
    yield _line("state", found["state_directory"] or "in memory only")


_BESIDE = {"held_back": "held back by the rate limit", "excepted": "excepted by the configuration"}


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}} {text}"


def _by_severity(counts: dict[str, int], words: str) -> str:
    known = [(each.name.lower(), counts.get(each.name.lower(), 0)) for each in reversed(Severity)]
    listed = ", ".join(f"{count} {name}" for name, count in known if count)
    return f"{listed} {words}".strip() if listed else ""


def _sink(sink: dict[str, Any]) -> str:
    waiting = f", {sink['waiting']} wait" if sink["waiting"] else ""
    oldest = sink["oldest_waiting_seconds"]
    since = f" (the oldest for {span(oldest)})" if sink["waiting"] and oldest is not None else ""
    how = "FAILS" if sink["is_failing"] else "well"
    return f"{sink['name']}: {how}, {sink['sent']} sent{waiting}{since}, {sink['dropped']} dropped"


def _size(count: int) -> str:
    mebibytes = count / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes >= 10 else f"{mebibytes:.1f} MiB"  # noqa: PLR2004 (two digits are enough)
