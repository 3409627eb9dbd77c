"""Hostile names through every command: no control, format or invisible character reaches a terminal."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agent.cli import COMMANDS
from agent.cli.output import Format
from agent.outbox import Query
from agent.text import visible
from collectors.events import ContainerSeen, Event, Exec, Seen, SweepDone
from tests.agent import alerts
from tests.agent.cli.nodes import HOSTILE, hostile, hostile_events, invoke
from tests.support import build, captures
from tests.support.answering import Answering, answering

ON_A_NODE = (
    ("ps",),
    ("ps", "--no-trunc"),
    ("ps", "0001"),
    ("ps", HOSTILE),
    ("scan",),
    ("scan", "--no-trunc"),
    ("scan", "--exposure"),
    ("ways-out", "0001"),
    ("ways-out", "0001", "--no-trunc"),
    ("inspect", "0001"),
    ("inspect", "0001", "--no-trunc"),
    ("inspect", "4242"),
    ("inspect", str(build.first_pid())),
    ("inspect", "nobody"),
    ("inspect", f"nobody {HOSTILE}"),
    ("ps", "--container", HOSTILE),
    ("scan", "--container", HOSTILE),
    ("ways-out", HOSTILE, "--container", HOSTILE),
    ("tree", "0001"),
    ("tree", "0001", "--no-trunc"),
    ("tree", "4242"),
    ("diff", "0001"),
    ("diff", "0001", HOSTILE, "--no-trunc"),
    ("diff", "0001", "0002", "--no-trunc"),
    ("sockets",),
    ("sockets", "0001"),
    ("sockets", HOSTILE, "--no-trunc"),
    ("mounts", "0001"),
    ("mounts", "0001", "--no-trunc"),
    ("mounts", "4242"),
)
ASKED = (
    ("status",),
    ("alerts",),
    ("alerts", "--no-trunc"),
    ("alerts", "--rule", "HW-101"),
    ("incidents",),
    ("incidents", "INCIDENT"),
    ("incidents", "INCIDENT", "--no-trunc"),
    ("containers",),
    ("containers", "--no-trunc"),
    ("events", "--limit", "3"),
    ("events", "--limit", "3", "--no-trunc"),
    ("explain", "EVENT"),
)
"""Asked of an agent; a word in capitals is the id that it has for it."""
ARGUMENT = HOSTILE.replace("\ud800", "\udcff")  # what Python makes of a byte that is not UTF-8
ELSEWHERE = (
    (ARGUMENT,),
    ("--" + ARGUMENT,),
    ("explain", ARGUMENT),
    ("config", "check", f"/nowhere/{ARGUMENT}"),
    ("config", ARGUMENT),
    ("rules", ARGUMENT),
    ("rules", "-o", ARGUMENT),
    ("completion", ARGUMENT),
    ("run", "--config", f"/nowhere/{ARGUMENT}"),
    ("ps", "--config", f"/nowhere/{ARGUMENT}"),
    ("capture", f"/nowhere/{ARGUMENT}"),
    ("replay", f"/nowhere/{ARGUMENT}"),
    ("alerts", "--since", ARGUMENT),
    ("alerts", "--rule", ARGUMENT),
    ("incidents", ARGUMENT, "--html", f"/nowhere/{ARGUMENT}", "--config", f"/nowhere/{ARGUMENT}"),
    ("config", "show", "--config", f"/nowhere/{ARGUMENT}"),
    ("doctor", "--config", f"/nowhere/{ARGUMENT}"),
    ("version", ARGUMENT),
)


@pytest.mark.parametrize("form", [each.value for each in Format])
@pytest.mark.parametrize("arguments", ON_A_NODE, ids=lambda each: visible(" ".join(each)))
def test_no_raw_control_character_is_written(arguments: tuple[str, ...], form: str) -> None:
    result = invoke(hostile(), *arguments, "-o", form)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert shown(result.stdout) == result.stdout
    assert shown(result.stderr) == result.stderr
    assert result.stderr
    assert "b\\x09" in result.output or form not in {"table", "wide"}  # the mark by which a forged line would be known


@pytest.mark.parametrize("arguments", ELSEWHERE, ids=lambda each: visible(" ".join(each)))
def test_no_raw_control_character_of_an_argument_is_written(arguments: tuple[str, ...]) -> None:
    result = invoke(hostile(), *arguments)
    assert result.exit_code == 2
    assert shown(result.output) == result.output


@pytest.mark.parametrize("form", ["line", "ecs", "falco", "ocsf"])
def test_no_raw_control_character_of_a_capture_is_written(form: str, tmp_path: Path) -> None:
    name = HOSTILE.encode("utf-8", "surrogatepass")
    container = build.container(name=HOSTILE, image=HOSTILE, labels=((HOSTILE, HOSTILE),))
    process = alerts.escaped(name=name, arguments=name, parent_pid=build.first_pid())
    events: tuple[Event, ...] = (
        ContainerSeen(1, container),
        Seen(2, build.first_process(name=name)),
        SweepDone(3, 1, 1, 1),
        Exec(4, process),
        SweepDone(5, 2, 1, 1),
    )
    (tmp_path / "capture").write_bytes(captures.written(events))
    result = invoke(hostile(), "replay", str(tmp_path / "capture"), "-o", form)
    assert result.exit_code == 1
    assert "HW-101" in result.stdout
    assert shown(result.stdout) == result.stdout


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with answering(tmp_path_factory.mktemp("hostile"), *hostile_events()) as running:
        yield running


@pytest.mark.parametrize("form", ["table", "wide", "json", "yaml", "jsonl"])
@pytest.mark.parametrize("arguments", ASKED, ids=" ".join)
def test_no_raw_control_character_of_an_agents_answer_is_written(
    agent: Answering, arguments: tuple[str, ...], form: str
) -> None:
    alert = json.loads(agent.outbox.query(Query(container=build.container_id()), 1)[0].document)
    ids = {"INCIDENT": alert["hullwatch"]["incident"]["id"], "EVENT": alert["event"]["id"]}
    words = [ids.get(each, each) for each in arguments]
    with happening(agent) if arguments[0] == "events" else contextlib.nullcontext():
        result = invoke(None, *words, "-o", form, "--socket", agent.path)
    assert result.exit_code == 0, result.output
    assert shown(result.stdout) == result.stdout
    assert shown(result.stderr) == result.stderr
    assert result.stdout
    if arguments[0] != "status" and form in {"table", "wide"}:
        assert "b\\x09" in result.stdout or "\\x1b" in result.stdout  # the names are there


@contextlib.contextmanager
def happening(agent: Answering) -> Iterator[None]:
    """Things go on happening on that node, until the block ends."""
    is_over = threading.Event()

    def go_on() -> None:
        number = 0
        while not is_over.wait(0.01):
            number += 1
            raw = HOSTILE.encode("utf-8", "surrogatepass")
            agent.feed(Exec(build.NOW_NS + number, build.process(6000 + number % 100, name=raw, arguments=raw)))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_every_command_that_shows_a_node_is_covered() -> None:
    tested = {arguments[0] for arguments in (*ON_A_NODE, *ASKED, *ELSEWHERE)}
    elsewhere = {"selftest", "top"}  # the one makes its own container, the other has tests of its screen
    assert set(COMMANDS) <= tested | elsewhere


def test_the_value_survives_in_json_and_yaml() -> None:
    wanted = HOSTILE.replace("\ud800", "\ufffd")
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        found = read(invoke(hostile(), "ps", "-o", form).stdout)
        assert found[0]["container"]["name"] == wanted


def test_colors_are_the_only_escapes() -> None:
    result = invoke(hostile(), "ps", "--color", "always", "--no-trunc")
    text = result.stdout
    for style in ("\x1b[0m", "\x1b[1m", "\x1b[1;31m", "\x1b[31m", "\x1b[33m"):
        text = text.replace(style, "")
    assert "\x1b[1;31m" in result.stdout
    assert shown(text) == text


def shown(text: str) -> str:
    """``text`` as it would be if every line had been made visible; no name may begin a line of its own."""
    assert not any(line.startswith("b\\x09") for line in text.split("\n"))
    return "\n".join(visible(line) for line in text.split("\n"))
