"""What the commands cost: the start-up of each, and ``ps`` of a node with 1,000 processes in 50 containers.

The agent that answers has made-up processes and no sensors; the commands are real processes. CPU is the commands' own
(user and system), the least of some runs: the machine is noisy.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from agent.cli import COMMANDS
from agent.control.picture import pictured
from collectors.events import Event, Exec
from tests.agent.cli.nodes import sleeping
from tests.support import build
from tests.support.answering import Answering, answering

RUNS = 5
CONTAINERS = 50
PROCESSES = 1000
START_UP_MS = 200
PS_MS = 300


def main() -> None:
    """Print the figures."""
    print("commands: CPU of each, ms (start-up meant: 200, ps of 1,000 processes: 300)")
    for name in COMMANDS:
        print(f"  {name} --help: {measured(name, '--help'):.0f}")
    print(f"  explain HW-103: {measured('explain', 'HW-103'):.0f}")
    with tempfile.TemporaryDirectory() as directory, answering(Path(directory), *crowd()) as agent:
        for arguments in (("ps",), ("ps", "-o", "json"), ("status",), ("alerts",), ("incidents",), ("containers",)):
            print(f"  {' '.join(arguments)}: {measured(*arguments, '--socket', agent.path):.0f}")
        longest, total = held(agent)
        print(f"  the core's lock, for a picture of all: {longest:.2f} at a time at most, {total:.2f} in all")


def crowd() -> tuple[Event, ...]:
    """As many processes, all of containers."""
    events: list[Event] = [event for number in range(1, CONTAINERS + 1) for event in sleeping(number)]
    each = (PROCESSES - CONTAINERS) // CONTAINERS
    for number in range(1, CONTAINERS + 1):
        parent = build.first_process(number).key.pid
        events += (
            Exec(build.NOW_NS, build.process(100_000 + 1000 * number + index, number, parent_pid=parent))
            for index in range(each)
        )
    return tuple(events)


def measured(*arguments: str) -> float:
    """The CPU of a command in milliseconds, the least of the runs."""
    command = (str(Path(sys.executable).with_name("hullwatch")), *arguments)
    return min(_run(command) for _ in range(RUNS))


def _run(command: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def held(agent: Answering) -> tuple[float, float]:
    """How long the core's lock is held for one slice at most, and in all, in milliseconds."""
    held_ms: list[float] = []

    class Timed(nullcontext[object]):
        """Takes the time between entry and exit."""

        def __enter__(self) -> object:
            self.since = time.perf_counter()
            return None

        def __exit__(self, *_: object) -> None:
            held_ms.append(1000 * (time.perf_counter() - self.since))

    for _ in pictured(agent.state, Timed()):
        pass
    return max(held_ms), sum(held_ms)


if __name__ == "__main__":
    main()
