"""What an API server sees when thousands of agents start, or lose it, at one moment: ``python -m bench.watch_start``.

The agents' own plan of lists, watches and waits (``collectors.kubernetes.plan``) runs 5,000 times in one process,
over real connections on loopback, against the server of the tests in a process of its own, without TLS: what is shown
is when requests come, not what a handshake costs. Two acts: all start at once; the server is killed with all watches
open, is away for a while, and has forgotten everything when it is back, so that all must list again. The first is also
played without chance, as a naive client does it. The bounds are the agents' own; nothing is scaled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from collectors.kubernetes.plan import SPREAD_SECONDS, List, Uniform, Wait, Watch, WatchPlan
from tests.support.api_server import ApiServer, pod

AGENTS = 5000
SEED = 7
PODS = 30
SETTLED_SECONDS = 150.0
AWAY_SECONDS = 20.0
FILES = 16_384

_HEAD = "GET /api/v1/pods?{query} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer t0ken\r\n\r\n"


@dataclass
class Seen:
    """When each request of a kind was sent, and how many agents watch now."""

    sent: dict[str, list[float]] = field(default_factory=lambda: {"list": [], "watch": [], "refused": []})
    watching: int = 0


class Agent:
    """One agent's watch: the real plan, and just enough HTTP to follow it."""

    def __init__(self, port: int, uniform: Uniform, spread_seconds: float, seen: Seen, node: str) -> None:
        self._port = port
        self._plan = WatchPlan(uniform, spread_seconds=spread_seconds)
        self._seen = seen
        self._node = node

    async def run(self) -> None:
        """Follow the plan for ever."""
        while True:
            step = self._plan.next()
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                continue
            began = time.monotonic()
            try:
                await (self._list(step) if isinstance(step, List) else self._watch(step))
            except (OSError, asyncio.IncompleteReadError):
                self._plan.failed(None, lasted_seconds=time.monotonic() - began)

    async def _ask(self, kind: str, query: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            self._seen.sent["refused"].append(time.monotonic())
            raise
        self._seen.sent[kind].append(time.monotonic())
        writer.write(_HEAD.format(query=f"fieldSelector=spec.nodeName%3D{self._node}&{query}").encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except BaseException:
            writer.close()
            raise
        return reader, writer, dict(line.split(": ", 1) for line in head[1:] if line)

    async def _list(self, step: List) -> None:
        reader, writer, headers = await self._ask("list", f"resourceVersion={step.version}")
        try:
            body = await reader.readexactly(int(headers["Content-Length"]))
        finally:
            writer.close()
        self._plan.listed(json.loads(body)["metadata"]["resourceVersion"])

    async def _watch(self, step: Watch) -> None:
        query = f"watch=true&resourceVersion={step.version}&timeoutSeconds={step.window_seconds}"
        reader, writer, _ = await self._ask("watch", query)
        began = time.monotonic()
        self._seen.watching += 1
        try:
            while size := int(await reader.readline() or b"0", 16):
                line = await reader.readexactly(size)
                await reader.readexactly(2)
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self._plan.expired()
                    return
                self._plan.progressed(event["object"]["metadata"]["resourceVersion"])
        finally:
            self._seen.watching -= 1
            writer.close()
        self._plan.watched(time.monotonic() - began, step.window_seconds)


def serve(control: Connection, port: int, *, forgets: bool) -> None:
    """The server's process: it tells its port, and then serves until it is killed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    with ApiServer(port=port) as server:
        server.put(*(pod(f"cart-7d9f-{n}", uid=f"{n:08x}-2222-4333-8444-555555555555") for n in range(PODS)))
        if forgets:
            server.bookmark()
            server.forget()
        control.send(server.port)
        control.recv()


class Server:
    """The server in a process of its own, which can be killed and started again at the same port."""

    def __init__(self, port: int = 0, *, forgets: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, port), kwargs={"forgets": forgets}, daemon=True)
        self._process.start()
        self.port: int = self._control.recv()

    def kill(self) -> None:
        """As when its machine dies: every connection is gone."""
        self._process.kill()
        self._process.join()


async def settle(seen: Seen, agents: int, limit_seconds: float) -> float:
    """Wait until all watch; how long that took."""
    began = time.monotonic()
    while seen.watching < agents and time.monotonic() - began < limit_seconds:  # noqa: ASYNC110 (a gauge)
        await asyncio.sleep(0.1)
    return time.monotonic() - began


def show(act: str, kinds: dict[str, list[float]], since: float, took: float, watching: int) -> None:
    """One line for each kind of request: how many, the worst second and the worst tenth of a second."""
    print(f"{act}: {watching} watch after {took:.1f} s")
    for kind, times in kinds.items():
        late = [at - since for at in times if at >= since]
        if late:
            slots = f"worst second {worst(late, 1.0):5}, worst 100 ms {worst(late, 0.1):5}"
            when = f"p50 at {late_at(late, 0.5):5.1f} s, p99 at {late_at(late, 0.99):5.1f} s"
            print(f"  {kind:8} {len(late):6} requests, {slots}, {when}", flush=True)


def worst(times: Iterable[float], width: float) -> int:
    """The most requests in one slot of that width."""
    return max(Counter(int(at / width) for at in times).values())


def late_at(times: list[float], part: float) -> float:
    """When that part of all requests had come."""
    return sorted(times)[int(part * (len(times) - 1))]


async def play(agents: int, name: str, *, jitter: bool) -> None:
    """All acts with the plan's chance, or the first without any."""
    chance = random.Random(SEED)  # noqa: S311 (no secret; the same every time)
    seen = Seen()
    server = Server()
    uniform: Uniform = chance.uniform if jitter else (lambda low, _high: low)
    spread = SPREAD_SECONDS if jitter else 0.0
    began = time.monotonic()
    tasks = [asyncio.create_task(Agent(server.port, uniform, spread, seen, f"node-{n}").run()) for n in range(agents)]
    try:
        took = await settle(seen, agents, SETTLED_SECONDS)
        show(f"{name}, start", seen.sent, began, took, seen.watching)
        if jitter:
            await asyncio.sleep(1.0)
            killed = time.monotonic()
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(AWAY_SECONDS)
            server = await asyncio.to_thread(Server, server.port, forgets=True)
            back = time.monotonic()
            took = await settle(seen, agents, SETTLED_SECONDS)
            show(f"{name}, server killed, back after {back - killed:.0f} s", seen.sent, killed, took, seen.watching)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.kill()


def main() -> None:
    """Play with and without jitter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=AGENTS)
    agents = parser.parse_args().agents
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    print(f"watch start, {agents} agents, {PODS} pods a node listed")
    asyncio.run(play(agents, "without jitter", jitter=False))
    asyncio.run(play(agents, "as built", jitter=True))


if __name__ == "__main__":
    main()
