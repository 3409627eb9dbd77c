"""What the eBPF sensor costs, with the sensor off and on in the same run, and how fast it tells.

Ratios of wall time and of the CPU that the work itself took, best of a few rounds each, by turns: without a sensor;
with a program that does nothing on each of its hooks, which is the least that anybody pays who sits there; with the
sensor on the tracepoint of all system calls; with it on single ones. For the latter two the agent runs in a mount
namespace of its own, with an empty directory or tracefs where it looks for tracefs. The workloads run in a real
container: processes of a container are what the sensor looks at. Needs root, runc, a C compiler and the object in the
wheel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from agent.selftest.alerts import OwnAgent
from agent.selftest.container import ThrowawayContainer
from agent.selftest.trial import host_victim
from bench import ebpf_sweep, flood
from bench.empty_programs import empty_programs
from bench.storm_container import Storm, storm
from bench.tiers import configuration

ROUNDS = 5
EXECS = 4000
CALLS = 1_000_000
SETNS = 1000
TRACEFS = "/sys/kernel/tracing"
OFF, FLOOR, ALL, SINGLE = "off", "empty programs", "one for all calls", "one for each call"
MOUNTS = {ALL: f"mount -t tmpfs none {TRACEFS}", SINGLE: f"mount -t tracefs none {TRACEFS}"}
FLASH = Path(__file__).parents[1] / "tests" / "support" / "flash.py"


class Times(NamedTuple):
    """What a round of a workload took: seconds, and seconds of CPU."""

    wall: float
    cpu: float


class AgentInWay(OwnAgent):
    """An agent that can attach to system calls in this way only."""

    def __init__(self, config: Path, way: str) -> None:
        super().__init__(config)
        script = f'umount -l /sys/kernel/debug 2>/dev/null; {MOUNTS[way]} && exec "$@"'
        unshare = shutil.which("unshare") or "unshare"
        self._command = [unshare, "--mount", "--propagation", "slave", "sh", "-c", script, "sh", *self._command]


def main() -> None:
    """Print the rows that this machine can measure."""
    with configuration("ebpf") as config:
        _slowdowns(config)
        _latency(config)
    ebpf_sweep.main()
    flood.main()


def _slowdowns(config: Path) -> None:
    """Each workload in each way, by turns, in one container."""
    taken: dict[tuple[str, str], list[Times]] = defaultdict(list)
    agents_cpu: dict[str, list[float]] = defaultdict(list)
    ways = (OFF, FLOOR, ALL, SINGLE)
    with storm(EXECS, CALLS, ROUNDS * len(ways)) as running:
        for _ in range(ROUNDS):
            for way in ways:
                with _way(way, config) as agent:
                    before, started = _cpu(agent), time.monotonic()
                    for name, times in _round(running):
                        taken[name, way].append(times)
                    if agent is not None:
                        idle = _idle_share(agent) * (time.monotonic() - started)
                        agents_cpu[way].append(max(0.0, _cpu(agent) - before - idle))
    for name in dict.fromkeys(name for name, _ in taken):
        off = taken[name, OFF]
        ratios = (f"{way} {_ratio(taken[name, way], off)}" for way in ways if way != OFF)
        print(f"{name:24} {min(off).wall * 1e3:8.1f} ms; " + ", ".join(ratios))
    for way, seconds in agents_cpu.items():
        print(
            f"agent's CPU, {way}: {statistics.median(seconds) / EXECS * 1e6:.2f} ms per 1,000 boring execs, idle "
            "work taken off (median)"
        )


def _ratio(on: list[Times], off: list[Times]) -> str:
    wall = min(each.wall for each in on) / min(each.wall for each in off)
    cpu = min(each.cpu for each in on) / min(each.cpu for each in off)
    return f"{wall:.2f} (CPU {cpu:.2f})"


@contextlib.contextmanager
def _way(way: str, config: Path) -> Iterator[psutil.Process | None]:
    """The machine with what is to be measured at work; the agent's process where there is one."""
    if way == OFF:
        yield None
    elif way == FLOOR:
        with empty_programs():
            yield None
    else:
        with AgentInWay(config, way) as agent:
            wanted = "for all system calls" if way == ALL else "for each watched system call"
            if wanted not in agent.reason:
                sys.exit(f"the agent watches otherwise than it should ({way}): {agent.reason}")
            time.sleep(1)
            yield psutil.Process(agent.pid)


def _round(running: Storm) -> list[tuple[str, Times]]:
    """Let the container run each workload once."""
    taken = []
    running.start()
    while (line := running.read_line()) not in ("", "round"):
        name, wall, cpu = line.rsplit(" ", 2)
        taken.append((name, Times(float(wall), float(cpu))))
    return taken


def _cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return times.user + times.system


def _idle_share(process: psutil.Process) -> float:
    """CPU a second when nothing happens: its sweeps."""
    before = _cpu(process)
    time.sleep(2)
    return (_cpu(process) - before) / 2


def _latency(config: Path) -> None:
    """From the moment before setns to the alert's line in our hands."""
    acts: dict[int, int] = {}
    heard: dict[int, int] = {}
    with (
        OwnAgent(config) as agent,
        ThrowawayContainer(FLASH, ("setns_timed", str(SETNS), str(host_victim()))) as container,
    ):

        def read() -> None:
            while (line := container.read_line()) not in ("", "done"):
                pid, at_ns = line.split()
                if pid != "child":
                    acts[int(pid)] = int(at_ns)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for each in agent.hear(SETNS * 0.02 + 5):
            alert = each.alert
            if alert["rule"]["id"] == "HW-101" and alert.get("container", {}).get("id") == container.id:
                heard.setdefault(alert["process"]["pid"], each.at_ns)
            if len(heard) == SETNS:
                break
        reader.join(5)
    milliseconds = sorted((heard[pid] - at_ns) / 1e6 for pid, at_ns in acts.items() if pid in heard)
    print(
        f"act to alert, setns: {len(milliseconds)} of {len(acts)} seen, "
        f"median {statistics.median(milliseconds):.2f} ms, p99 {milliseconds[int(len(milliseconds) * 0.99) - 1]:.2f} ms"
    )


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("must run as root")
    subprocess.run(["runc", "--version"], check=True, stdout=subprocess.DEVNULL)
    main()
