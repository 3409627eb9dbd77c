"""The whole agent at work: RSS at rest with ten containers, and CPU per process event, of the host and of a container.

An ``event`` is a fork, an exec or an exit: three for each command. The baseline is the CPU that the commands themselves
took in the same run.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from agent.selftest.alerts import OwnAgent
from agent.selftest.container import ThrowawayContainer
from bench.tiers import EVENT_TIERS, configuration

CONTAINERS = 10
COMMANDS = 1000
EVENTS_A_COMMAND = 3
SETTLE_SECONDS = 3.0
SCRIPT = Path(__file__).with_name("idle.py")


def main() -> None:
    """Print one line for each measurement, in each tier."""
    for tier in EVENT_TIERS:
        _measure(tier)


def _measure(tier: str) -> None:
    with contextlib.ExitStack() as stack:
        config = stack.enter_context(configuration(tier))
        for _ in range(CONTAINERS):
            stack.enter_context(ThrowawayContainer(SCRIPT, ())).read_line()
        agent = stack.enter_context(OwnAgent(config))
        process = psutil.Process(agent.pid)
        time.sleep(SETTLE_SECONDS)
        memory = process.memory_full_info()
        print(f"at rest ({agent.sensor}), {CONTAINERS} containers: RSS {memory.rss / 2**20:.1f} MiB, ", end="")
        print(f"unique {memory.uss / 2**20:.1f} MiB, CPU {_idle_percent(process):.2f}% of a core")
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = _agent_cpu(process, _run_on_host)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        commands = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
        _report("of the host", spent, commands)
        with ThrowawayContainer(SCRIPT, (str(COMMANDS),)) as container:
            container.read_line()
            time.sleep(0.5)
            _report("of a container", _agent_cpu(process, container.read_line), None)


def _idle_percent(process: psutil.Process) -> float:
    before, started = _cpu(process), time.monotonic()
    time.sleep(5)
    return (_cpu(process) - before) / (time.monotonic() - started) * 100


def _agent_cpu(process: psutil.Process, work: Callable[[], object]) -> float:
    before = _cpu(process)
    work()
    time.sleep(1)
    return _cpu(process) - before


def _run_on_host() -> None:
    for _ in range(COMMANDS):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _report(whose: str, seconds: float, commands: float | None) -> None:
    events = COMMANDS * EVENTS_A_COMMAND
    ratio = f", {seconds / commands:.2f} of what the commands took" if commands else ""
    print(f"{COMMANDS} commands {whose}: {seconds / events * 1e6:.0f} us of CPU an event{ratio}")


if __name__ == "__main__":
    main()
