"""Memory is saved by steps: when, in which order, and that each is taken back."""

from __future__ import annotations

import functools
import gc
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import memory
from agent.control.client import Connection
from agent.incidents import SHORT_STORY, Chapter, Incidents
from agent.memory import MemoryGuard, Step, read_resident, release, soft_limit
from agent.state import NodeState
from collectors.events import ContainerSeen, Exec, Seen
from detectors.base import Family, Severity, Tier
from tests.support import build
from tests.support.proctree import Tree, build_tree

MIB = 1 << 20


class Rig:
    """A guard of 100 MiB with a clock and a figure that the test sets; ``did`` is what its steps did."""

    def __init__(self, limit: int | None = 100 * MIB) -> None:
        self.now = 0.0
        self.used = 50 * MIB
        self.did: list[str] = []
        names = ("caches", "histories", "enrichment", "processes")
        self.guard = MemoryGuard(
            limit,
            [Step(name, self.doing(f"+{name}"), self.doing(f"-{name}")) for name in names],
            read_bytes=lambda: self.used,
            monotonic=lambda: self.now,
            refused=lambda: 7,
        )

    def doing(self, what: str) -> functools.partial[None]:
        return functools.partial(self.did.append, what)

    def run(self, seconds: float) -> list[str]:
        """What is done within so many seconds, the loop turning ten times in each."""
        self.did.clear()
        for _ in range(int(seconds * 10)):
            self.now += 0.1
            self.guard.turned()
        return self.did.copy()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_does_nothing_below_the_limit_or_without_one(rig: Rig) -> None:
    assert rig.run(60) == []
    unlimited = Rig(None)
    unlimited.used = 1 << 40
    assert unlimited.run(60) == []
    assert unlimited.guard.status().limit_bytes is None


def test_goes_one_step_after_the_other_while_it_is_too_much(rig: Rig) -> None:
    rig.used = 101 * MIB
    assert rig.run(1.2) == ["+caches"]
    assert rig.run(1) == []  # it is given time
    assert rig.run(3) == ["+histories"]
    assert rig.run(60) == ["+enrichment", "+processes"]
    status = rig.guard.status()
    assert status.steps == ("caches", "histories", "enrichment", "processes")
    assert status.taken == dict.fromkeys(status.steps, 1)
    assert (status.limit_bytes, status.refused_processes) == (100 * MIB, 7)


def test_stops_where_a_step_was_enough(rig: Rig) -> None:
    rig.used = 101 * MIB
    rig.run(1.2)
    rig.used = 95 * MIB
    assert rig.run(120) == []  # nor is it taken back: it is not much less
    assert rig.guard.status().steps == ("caches",)


def test_takes_the_steps_back_from_the_last_one_when_memory_stays_low(rig: Rig) -> None:
    rig.used = 101 * MIB
    rig.run(20)
    rig.used = 80 * MIB
    assert rig.run(29) == []
    assert rig.run(3) == ["-processes"]
    rig.used = 95 * MIB  # in between it rises: the time begins anew
    rig.run(2)
    rig.used = 80 * MIB
    assert rig.run(29) == []
    assert rig.run(95) == ["-enrichment", "-histories", "-caches"]
    assert rig.guard.status().steps == ()
    rig.used = 101 * MIB
    assert rig.run(2) == ["+caches"]
    assert rig.guard.status().taken["caches"] == 2


@functools.lru_cache(maxsize=64)
def cached(number: int) -> int:
    return number


def test_release_drops_our_caches_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    cached(1)
    release()
    assert cached.cache_info().currsize == 1  # of the tests
    monkeypatch.setattr(memory, "_OURS", (__name__,))
    release()
    assert cached.cache_info().currsize == 0


BALLAST = """
import time
from agent.memory import MemoryGuard, Step, read_resident
clock = [0.0]
base = read_resident()
did = []
step = Step("caches", lambda: did.append("+"), lambda: did.append("-"))
guard = MemoryGuard(base + (30 << 20), [step], read_bytes=read_resident, monotonic=lambda: clock[0], refused=lambda: 0)
def turn(seconds):
    for _ in range(seconds):
        clock[0] += 1.1
        guard.turned()
turn(5); print(did)
ballast = [bytes([n % 256]) * 1000 for n in range(60_000)]
turn(5); print(did)
del ballast
turn(60); print(did)
"""


def test_a_proxy_of_what_is_gone_harms_nobody() -> None:
    """A library may hold one; the main thread looks at every object there is."""
    step = Step("caches", lambda: None, lambda: None)
    gone = weakref.proxy(step.begin)
    del step
    gc.collect()
    with pytest.raises(ReferenceError):
        isinstance(gone, int)
    release()


def test_real_memory_rises_and_falls() -> None:
    """60 MB of small objects in a process of its own, and what the kernel says of it."""
    ran = subprocess.run([sys.executable, "-c", BALLAST], check=True, capture_output=True, timeout=60)  # noqa: S603
    said = [line for line in ran.stdout.decode().splitlines() if line.startswith("[")]  # the rest is its log
    assert said == ["[]", "['+']", "['+', '-']"]


PINNED = """
import sys, threading
from agent.memory import keep_large_blocks_apart, read_resident
if sys.argv[1] == "apart":
    keep_large_blocks_apart()
kept = []
def work():
    large = bytearray(24 << 20)  # glibc's threshold is that high from when it is freed
    del large
    for _ in range(5):
        large = [bytes(4 << 20) for _ in range(5)]
        for each in large:
            bytearray(each)
        kept.append(bytearray(1000))
        del large
before = read_resident()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print((read_resident() - before) >> 20)
"""


def test_large_blocks_go_back_to_the_kernel() -> None:
    def megabytes_kept(how: str) -> int:
        ran = subprocess.run([sys.executable, "-c", PINNED, how], check=True, capture_output=True, timeout=60)  # noqa: S603
        return int(ran.stdout)

    assert megabytes_kept("apart") < 4 < megabytes_kept("as-it-is")


def test_reads_what_the_kernel_calls_resident() -> None:
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmRSS"))
    assert abs(read_resident() - int(line.split()[1]) * 1024) < 8 * MIB


@pytest.mark.parametrize(
    ("configured", "environment", "tree", "wanted"),
    [
        pytest.param(123, {"MEMORY_LIMIT": "5"}, {}, 123, id="configured"),
        pytest.param(None, {}, {}, None, id="none"),
        pytest.param(None, {"MEMORY_LIMIT": "1000"}, {}, 800, id="told-by-the-kubelet"),
        pytest.param(None, {"MEMORY_LIMIT": "the-node"}, {}, None, id="no-number"),
        pytest.param(None, {}, {"fs": {"cgroup": {"a": {"b": {"memory.max": b"2000\n"}}}}}, 1600, id="v2"),
        pytest.param(None, {}, {"fs": {"cgroup": {"a": {"memory.max": b"1000\n"}}}}, 800, id="v2-above"),
        pytest.param(None, {}, {"fs": {"cgroup": {"a": {"b": {"memory.max": b"max\n"}}}}}, None, id="v2-none"),
        pytest.param(
            None, {}, {"fs": {"cgroup": {"memory": {"m": {"memory.limit_in_bytes": b"3000\n"}}}}}, 2400, id="v1"
        ),
        pytest.param(
            None,
            {},
            {"fs": {"cgroup": {"memory": {"m": {"memory.limit_in_bytes": b"9223372036854771712\n"}}}}},
            None,
            id="v1-none",
        ),
        pytest.param(
            None, {"MEMORY_LIMIT": "500"}, {"fs": {"cgroup": {"a": {"memory.max": b"1000\n"}}}}, 400, id="the-least"
        ),
    ],
)
def test_the_limit_is_what_is_configured_or_four_fifths_of_the_least(
    tmp_path: Path, configured: int | None, environment: dict[str, str], tree: Tree, wanted: int | None
) -> None:
    proc = build_tree(tmp_path / "proc", {"self": {"cgroup": b"5:cpu,memory:/m\n4:pids:/x\n0::/a/b\n"}})
    assert soft_limit(configured, environment, proc, build_tree(tmp_path / "sys", tree)) == wanted


def test_a_path_that_begins_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """In a cgroup namespace of its own; the directory above is not ours."""
    proc = build_tree(tmp_path / "proc", {"self": {"cgroup": b"0::/../other\n"}})
    sys_ = build_tree(tmp_path / "sys", {"fs": {"other": {"memory.max": b"1000\n"}, "cgroup": {}}})
    assert soft_limit(None, {}, proc, sys_) is None


# The steps themselves -------------------------------------------------------------------------------------------------


def test_the_last_step_refuses_processes_of_the_host_and_no_others() -> None:
    state = NodeState(build.host_baseline(), Tier.POLL, max_processes=1024, max_containers=16)
    state.apply(ContainerSeen(build.NOW_NS, build.container()))
    known = build.host_process(700)
    state.apply(Seen(build.NOW_NS, known))
    state.refuses_host_processes = True
    state.apply(Seen(build.NOW_NS, build.host_process(701)))
    state.apply(Exec(build.NOW_NS, build.first_process()))
    state.apply(Seen(build.NOW_NS, build.process(4242)))
    assert state.process_by_pid(701) is None
    assert state.process_by_pid(700) is known  # what is known stays
    assert state.process_by_pid(4242) is not None
    assert state.refused_host_processes == 1
    assert state.overflow["processes"] == 0
    state.refuses_host_processes = False
    state.apply(Seen(build.NOW_NS, build.host_process(701)))
    assert state.process_by_pid(701) is not None


def test_stories_are_shortened_to_the_worst_and_the_first_and_grow_again() -> None:
    incidents = Incidents("boot")

    def record(numbers: range) -> int:
        for number in numbers:
            incident = incidents.assign("c", number)
            severity = Severity.CRITICAL if number == 40 else Severity.LOW
            chapter = Chapter(number, f"a{number}", "HW-223", "x", Family.TECHNIQUE, severity, "reason", None)
            tuple(incidents.record(incident, chapter))
        return len(incidents._open["c"].story)

    assert record(range(50)) == 50
    incidents.shorten(is_short=True)
    kept = [each.at_ns for each in incidents._open["c"].story]
    assert len(kept) == SHORT_STORY
    assert {0, 40} <= set(kept)
    assert record(range(50, 60)) == SHORT_STORY
    incidents.shorten(is_short=False)
    assert record(range(60, 70)) == SHORT_STORY + 10


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """The real agent under a limit that it passes with its imports alone."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "sensor: poll\nsweep: {interval_seconds: 0.5}\nmetrics: {address: null}\nlimits: {memory_bytes: 16777216}\n"
        f"state: {{directory: {tmp_path}/state}}\ncontainers: {{docker: {{enabled: false}}}}\n"
    )
    command = (sys.executable, "-m", "agent", "run", "--config", str(config))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as agent:  # noqa: S603
        try:
            yield tmp_path / "state/control.sock", agent
        finally:
            agent.terminate()


def status(socket: Path) -> dict[str, Any]:
    with Connection(str(socket)) as connection:
        (found,) = connection.ask("status")
    return dict(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="the agent wants root")
def test_an_agent_that_is_short_says_so_and_goes_on_telling(
    saving: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    socket, agent = saving
    deadline = time.monotonic() + 40
    found: dict[str, Any] = {"saved_by": []}
    while time.monotonic() < deadline and len(found["saved_by"]) < 4:
        time.sleep(0.5)
        if socket.is_socket():
            found = status(socket)["memory"]
    assert found["saved_by"] == ["caches", "histories", "enrichment", "processes"]
    assert found["limit_bytes"] == 16 * MIB
    health = status(socket)["health"]
    assert [each["code"] for each in health["reasons"] if each["code"] == "memory_short"] == ["memory_short"]
    agent.terminate()
    out, _ = agent.communicate(timeout=20)
    assert agent.returncode == 0
    assert b'"action":"node_weak"' in out  # what was raised is told
