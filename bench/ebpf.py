"""What the eBPF sensor costs, with the sensor off and on in the same run, and how fast it tells.

Ratios of wall time, best of a few rounds each, sensor off and on by turns; CPU time of the agent's process. The
workloads run in a real container: processes of a container are what the sensor looks at. Needs root, runc and clang's
output (the object in the wheel); without gcc the programs are busybox's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from agent.assembly import assemble, tell_containers
from agent.config_schema import Config
from agent.selftest.alerts import OwnAgent
from agent.selftest.container import ThrowawayContainer
from agent.selftest.trial import host_victim
from bench.crowd import crowd
from collectors.ebpf.connections import Connections
from collectors.ebpf.deeds import Watching
from collectors.ebpf.iterator import EbpfSweep
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.sensor import EbpfSource

ROUNDS = 5
EXECS = 4000
CALLS = 1_000_000
SETNS = 1000
CROWD = 1000
PASSES = 11
STORM = Path(__file__).with_name("storm.py")
FLASH = Path(__file__).parents[1] / "tests" / "support" / "flash.py"


def main() -> None:
    """Print the rows that this machine can measure."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "ebpf.yaml"
        config.write_text("sensor: ebpf\n")
        _slowdowns(config)
        _latency(config)
    _sweep()


def _slowdowns(config: Path) -> None:
    """Each workload without and with the sensor, by turns, in one container."""
    arguments = (str(EXECS), str(CALLS), str(2 * ROUNDS))
    off: dict[str, list[float]] = {}
    on: dict[str, list[float]] = {}
    cpu: list[float] = []
    rss = 0.0
    with ThrowawayContainer(STORM, arguments) as container:
        for number in range(2 * ROUNDS):
            if number % 2 == 0:
                _one_round(container, off)
                continue
            with OwnAgent(config) as agent:
                process = _process_of(agent)
                before = process.cpu_times()
                started = time.monotonic()
                _one_round(container, on)
                after = process.cpu_times()
                idle = _idle_cpu(process, time.monotonic() - started)
                cpu.append((after.user + after.system - before.user - before.system) - idle)
                rss = process.memory_info().rss / 2**20
    for name, times in off.items():
        best_off, best_on = min(times), min(on[name])
        print(
            f"{name:34} off {best_off:7.3f} s, on {best_on:7.3f} s, ratio {best_on / best_off:5.2f} "
            f"(medians {statistics.median(on[name]) / statistics.median(times):5.2f})"
        )
    print(
        f"agent's CPU over the rounds          {statistics.median(cpu) * 1e3 / EXECS * 1000:7.2f} ms per 1,000 boring "
        f"execs, idle work taken off (median); RSS {rss:.1f} MiB"
    )


def _one_round(container: ThrowawayContainer, into: dict[str, list[float]]) -> None:
    """Let the container run each workload once."""
    os.kill(_pid_of(container), 10)
    while (line := container.read_line()) not in ("", "round"):
        name, seconds = line.rsplit(" ", 1)
        into.setdefault(name, []).append(float(seconds))


def _pid_of(container: ThrowawayContainer) -> int:
    """The storm's own pid, which it prints first."""
    known = _PIDS.get(container.id)
    if known is None:
        known = _PIDS[container.id] = int(container.read_line())
    return known


_PIDS: dict[str, int] = {}


def _process_of(agent: OwnAgent) -> psutil.Process:
    return psutil.Process(agent.pid)


def _idle_cpu(process: psutil.Process, seconds: float) -> float:
    """What the agent uses in that time when nothing happens: its sweeps."""
    time.sleep(1)
    before = process.cpu_times()
    time.sleep(min(seconds, 4))
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used * seconds / min(seconds, 4)


def _latency(config: Path) -> None:
    """From the return of setns to the alert's line in our hands."""
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
        f"act to alert, setns                {len(milliseconds)} of {len(acts)} seen, "
        f"median {statistics.median(milliseconds):.2f} ms, p99 {milliseconds[int(len(milliseconds) * 0.99) - 1]:.2f} ms"
    )


def _sweep() -> None:
    """The iterator alone, then the whole sweep, over a crowd in a container's cgroup."""
    with crowd(CROWD, in_container=True):
        collectors = assemble(Config(), lambda _: None, watch_mounts=False)
        tell_containers(collectors, lambda _: None)
        source = EbpfSource(
            collectors.observer,
            lambda _: None,
            collectors.host,
            ring_bytes=1 << 22,
            request_sweep=lambda: None,
            watching=Watching(
                ObjectWatch((), "/", 0, clock_ns=time.monotonic_ns),
                Connections(
                    collectors.observer,
                    collectors.host,
                    collectors.roots,
                    lambda _: None,
                    governors=collectors.governors,
                ),
            ),
        )
        source.open()
        sweep = EbpfSweep(
            source,
            collectors.observer,
            lambda _: None,
            proc=collectors.roots.proc,
            clock_ns=time.time_ns,
            cpu_ns=time.thread_time_ns,
            full_every=Config().sweep.full_every,
        )
        tasks = sweep.run().processes
        reading = [_cpu_ms(source.read_tasks) for _ in range(PASSES)]
        whole = [sweep.run().cpu_ns / 1e6 for _ in range(PASSES)]
        source.close()
    print(
        f"sweep of {tasks} processes             kernel {statistics.median(reading) * 1000 / tasks:.2f} ms, with "
        f"decoding and comparison {statistics.median(whole) * 1000 / tasks:.2f} ms per 1,000 (CPU, median)"
    )


def _cpu_ms(work: object) -> float:
    assert callable(work)
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / 1e6


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("must run as root")
    subprocess.run(["runc", "--version"], check=True, stdout=subprocess.DEVNULL)
    main()
