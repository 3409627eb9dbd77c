from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from agent.control import protocol, server, socket_file
from agent.control.answers import FEED_LIMIT, NOTHING_YET, Feed, Unanswerable
from agent.control.client import Connection, ControlError
from agent.control.protocol import Code, Error, Frames, FromAgent, Hello, Request, encode
from agent.control.server import DEAF_SECONDS, LOW_WATER_BYTES, MAX_ANSWERS
from collectors.events import Exec, Seen
from tests.agent.cli.nodes import escaped, sleeping
from tests.support import build
from tests.support.answering import Answering, answering

PATIENCE_SECONDS = 10.0


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Answering]:
    with answering(tmp_path, *sleeping(1), Seen(build.NOW_NS, escaped())) as running:
        yield running


def raw(agent: Answering, buffer_bytes: int | None = None) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    if buffer_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.connect(agent.path)
    client.settimeout(PATIENCE_SECONDS)
    return client


def heard(client: socket.socket) -> list[FromAgent]:
    """Everything until the agent hangs up."""
    frames, found = Frames(is_agent=False), []
    while data := client.recv(65_536):
        found += frames.feed(data)
    return found  # type: ignore[return-value]  # one side's messages


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_answers_several_questions_of_one_client(agent: Answering) -> None:
    with Connection(agent.path) as client:
        assert client.version == "0.1.0"
        assert next(client.ask("status"))["sensor"]["tier"] == "netlink"
        assert len(list(client.ask("alerts", limit=3))) == 3
        assert list(client.ask("alerts", limit=0)) == []
        assert [part for part in client.ask("picture") if "host" in part]


@pytest.mark.parametrize(
    ("method", "parameters", "why"),
    [
        ("frobnicate", {}, "no such method"),
        ("alerts", {"limit": -1}, "wanted 0"),
        ("alerts", {"limit": "many"}, "limit"),
        ("alerts", {"surprise": 1}, "surprise"),
        ("events", {"wanted": {"min_severity": "x"}}, "min_severity"),
        ("picture", {"container": 5}, "container"),
    ],
)
def test_refuses_what_it_does_not_know_and_goes_on(
    agent: Answering, method: str, parameters: dict[str, Any], why: str
) -> None:
    with Connection(agent.path) as client:
        with pytest.raises(ControlError, match=why):
            list(client.ask(method, **parameters))
        assert next(client.ask("status"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100,
        b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1",
        b"\x00\x00\x00\x00",
        b"\x7f\xff\xff\xff",
    ],
)
def test_garbage_is_cut_off_with_a_word_and_harms_nobody(agent: Answering, garbage: bytes) -> None:
    with Connection(agent.path) as other, raw(agent) as client:
        client.sendall(garbage)
        last = heard(client)[-1]
        assert isinstance(last, Error)
        assert last.code == Code.BAD_REQUEST
        assert next(other.ask("status"))
    assert agent.server.counts.cut_off["nonsense"] == 1


def test_a_number_that_is_in_use_is_nonsense(agent: Answering) -> None:
    with raw(agent) as client:
        client.sendall(encode(Request(1, "events", {})) * 2)
        assert isinstance(heard(client)[-1], Error)


def test_too_many_questions_at_once_are_refused_one_by_one(agent: Answering) -> None:
    with raw(agent) as client:
        for number in range(1, MAX_ANSWERS + 2):
            client.sendall(encode(Request(number, "events", {})))
        client.shutdown(socket.SHUT_WR)
        refused = [each for each in heard(client) if isinstance(each, Error)]
    assert [(each.number, each.code) for each in refused] == [(MAX_ANSWERS + 1, Code.BUSY)]


def test_an_answer_that_is_left_early_is_no_longer_computed(agent: Answering) -> None:
    with Connection(agent.path) as client:
        watching = client.ask("events")
        reader = threading.Thread(target=lambda: next(watching, None))
        reader.start()
        wait_until(lambda: agent.watch._watchers)
        agent.feed(Exec(build.NOW_NS + 5, build.process(7000, name=b"ls")))
        reader.join(PATIENCE_SECONDS)
        watching.close()  # type: ignore[attr-defined]  # a generator
        wait_until(lambda: not agent.watch._watchers)
        assert next(client.ask("status"))


def test_a_hundred_slow_clients_neither_stop_the_core_nor_the_others(tmp_path: Path) -> None:
    """Each asks for a live stream and reads nothing. The core goes on at once, and all of them are cut off."""
    with answering(tmp_path, *sleeping(1)) as agent, ExitStack() as held:
        for _ in range(100):
            client = held.enter_context(raw(agent, buffer_bytes=4096))
            with suppress(BrokenPipeError):  # refused already
                client.sendall(encode(Request(1, "events", {"host": True})))
        counts = agent.server.counts
        wait_until(lambda: counts.refused["busy"] + counts.cut_off["displaced"] == 68)
        wait_until(lambda: len(agent.watch._watchers) == 32)
        events = [
            Exec(build.NOW_NS + number, build.process(7000, arguments=b"x" * 4000)) for number in range(FEED_LIMIT * 2)
        ]
        slowest = 0.0
        for event in events:
            started = time.monotonic()
            agent.feed(event)
            slowest = max(slowest, time.monotonic() - started)
        wait_until(lambda: not agent.watch._watchers)
        assert slowest < 1.0  # it never waited for a client; a busy machine may take the processor away for a while
        assert counts.refused["busy"] + counts.cut_off["displaced"] == 68
        with Connection(agent.path) as late:
            assert next(late.ask("status"))


def test_one_that_asks_and_never_reads_is_held_to_a_bound_and_cut_off(agent: Answering) -> None:
    """Each refusal is an answer too: a client that reads none of them is not read from any more."""
    with raw(agent, buffer_bytes=4096) as client, suppress(BrokenPipeError, ConnectionResetError):
        nonsense = encode(Request(1, "frobnicate", {})) * 1000
        largest = 0
        for _ in range(10_000):
            client.sendall(nonsense)
            largest = max([largest, *(len(each.out) for each in tuple(agent.server._clients.values()))])
    assert largest < 2 * LOW_WATER_BYTES
    wait_until(lambda: agent.server.counts.cut_off["stalled"] == 1)
    with Connection(agent.path) as other:
        assert next(other.ask("status"))


def test_one_that_asks_nothing_gives_way(tmp_path: Path) -> None:
    with answering(tmp_path, limit=2) as agent, raw(agent) as idle, raw(agent) as second:
        wait_until(lambda: agent.server.clients == 2)
        with Connection(agent.path) as third:
            assert next(third.ask("status"))
            assert isinstance(heard(idle)[0], Hello)  # and then the end
            second.sendall(encode(Request(1, "status", {})))
            assert second.recv(65_536)


def test_one_that_has_asked_does_not_give_way_though_nobody_has_read_it_yet(tmp_path: Path) -> None:
    """New clients come first in a turn: by then, what another one has sent may be unread."""

    def nothing_yet(_: Any) -> Iterator[object]:
        return repeat(NOTHING_YET)

    path, methods = str(tmp_path / "control.sock"), {"events": nothing_yet}
    made = server.ControlServer(
        path, None, methods, "0.1.0", on_listening=lambda _: None, on_trouble=lambda _: None, limit=1
    )
    made._poller.register(made._wakeup, select.POLLIN)
    made._look_after_the_file()
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.connect(path)
        made._turn()
        first.sendall(encode(Request(1, "events", {})))
        second.connect(path)
        made._turn()
        answered = (made.counts.refused["busy"], made.counts.cut_off["displaced"])
    made._turn()  # hears that the first has gone
    made.stop()
    made.run()
    assert answered == (1, 0)


def test_a_socket_that_was_taken_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RETRY_SECONDS", 0.05)
    with answering(tmp_path) as agent:
        os.unlink(agent.path)
        wait_until(lambda: os.path.exists(agent.path))
        with Connection(agent.path) as client:
            assert next(client.ask("status"))


def test_the_socket_is_made_as_soon_as_there_is_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RETRY_SECONDS", 0.05)
    place = tmp_path / "control.sock"
    place.write_text("in the way")
    troubles: list[str] = []
    made = server.ControlServer(str(place), None, {}, "0.1.0", on_listening=lambda _: None, on_trouble=troubles.append)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    wait_until(lambda: troubles)
    time.sleep(0.2)
    place.unlink()
    wait_until(lambda: made.is_listening)
    made.stop()
    thread.join(PATIENCE_SECONDS)
    assert (troubles, place.exists()) == ([f"{place} is there already and is no socket"], False)


def test_without_a_descriptor_it_waits_for_one_and_does_not_spin(
    agent: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []
    accept = socket.socket.accept

    def refuse(listener: socket.socket) -> Any:
        tried.append(time.monotonic())
        if len(tried) < 3:
            raise OSError(errno.EMFILE, "no descriptor")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", refuse)
    with Connection(agent.path) as client:
        assert next(client.ask("status"))
    assert len(tried) == 3
    assert tried[2] - tried[0] >= 2 * DEAF_SECONDS - 0.01


def test_who_may_not_ask_is_told_so(agent: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_file, "may_ask", lambda *_: False)
    with raw(agent) as client:
        (answer,) = heard(client)
    assert isinstance(answer, Error)
    assert answer.code == Code.DENIED


def test_a_part_that_is_too_large_ends_that_answer_alone(agent: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_ANSWER_BYTES", 2000)
    with Connection(agent.path) as client, pytest.raises(ControlError, match="too large"):
        list(client.ask("alerts"))


def test_a_feed_that_is_full_ends_itself() -> None:
    rung = []
    feed: Feed[int] = Feed(lambda: rung.append(1), limit=2)
    for number in range(3):
        feed.offer(number)
    assert rung == [1]
    with pytest.raises(Unanswerable) as refusal:
        feed.take()
    assert refusal.value.code is Code.TOO_SLOW


def test_a_client_that_goes_amid_several_answers_takes_nobody_along(tmp_path: Path) -> None:
    """It is found gone when the first of them is told, and all of them end there."""
    control = server.ControlServer(
        str(tmp_path / "control.sock"), None, {}, "0", on_listening=lambda _: None, on_trouble=lambda _: None
    )
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 (takes no keyword)
    client = server._Client(ours, time.monotonic(), answers={1: iter(["a"]), 2: iter(["b"])})
    control._clients[ours.fileno()] = client
    control._poller.register(ours)
    theirs.close()
    control._go_on(client)
    assert (control._clients, client.answers) == ({}, {})
