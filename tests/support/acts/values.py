"""Values that govern the kernel, written from a container and put back from the host: nothing is run by them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hierarchies import CGROUPS, HOST_CGROUPS
from tests.support.processes import require
from tests.support.stage import (
    CRITICAL,
    HIGH,
    MEDIUM,
    Act,
    CannotHereError,
    Expected,
    Outcome,
    Stage,
    needs_hierarchy,
)

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
FIND_UPPER = "sed -n '/ - overlay /{s/.*upperdir=\\([^,]*\\).*/\\1/p;q}' /proc/self/mountinfo"
WRITABLE = "mount -o remount,rw /proc/sys"
SETTLES_SECONDS = 7  # a runtime writes its container's cgroup for a while, so it is compared only then


@contextmanager
def replace_core_pattern(stage: Stage) -> Iterator[Outcome]:
    """The program that takes core dumps is one of the container; nobody crashes, and it would do nothing."""
    before = CORE_PATTERN.read_text()
    with stage.capable() as container:
        try:
            make = 'printf "#!/bin/sh\\nexit 1\\n" > /payload; chmod 755 /payload'
            stage.shell(container, f'{make}; {WRITABLE}; echo "|$({FIND_UPPER})/payload" > {CORE_PATTERN}')
            require(CORE_PATTERN.read_text().strip().endswith("/payload"), f"it is {CORE_PATTERN.read_text()}")
            yield Outcome(container.id, text="/payload")
        finally:
            CORE_PATTERN.write_text(before)


@contextmanager
def set_release_agent(stage: Stage) -> Iterator[Outcome]:
    """The release_agent of a hierarchy is a program of the container; no cgroup asks for it."""
    agent = _free_agent()
    before = agent.read_text()
    with stage.capable(*HOST_CGROUPS) as container:
        try:
            stage.shell(container, f"echo $({FIND_UPPER})/payload > /host-cgroups/{agent.parent.name}/release_agent")
            require(agent.read_text().strip().endswith("/payload"), f"it is {agent.read_text()}")
            yield Outcome(container.id, text="/payload")
        finally:
            agent.write_text(before or "\n")


def _free_agent() -> Path:
    for controller in ("pids", "freezer", "devices"):
        agent = needs_hierarchy(controller) / "release_agent"
        if not agent.read_text().strip():
            return agent
    raise CannotHereError("every cgroup v1 hierarchy has a release agent of its own")


@contextmanager
def ask_for_release_agent(stage: Stage) -> Iterator[Outcome]:
    """A container turns notify_on_release of its own cgroup on."""
    needs_hierarchy("pids")
    with stage.capable(*HOST_CGROUPS) as container:
        _let_settle(stage)
        stage.shell(container, f"echo 1 > /host-cgroups/pids/docker/{container.id}/notify_on_release")
        flag = CGROUPS / "pids/docker" / container.id / "notify_on_release"
        require(flag.read_text().strip() == "1", "the flag is not set")
        yield Outcome(container.id)


@contextmanager
def open_devices(stage: Stage) -> Iterator[Outcome]:
    """A container allows itself every device of the node."""
    needs_hierarchy("devices")
    with stage.capable(*HOST_CGROUPS) as container:
        _let_settle(stage)
        stage.shell(container, f"echo a > /host-cgroups/devices/docker/{container.id}/devices.allow")
        allowed = (CGROUPS / "devices/docker" / container.id / "devices.list").read_text()
        require(allowed == "a *:* rwm\n", f"it may use {allowed}")
        yield Outcome(container.id, text="a *:* rwm")


def _let_settle(stage: Stage) -> None:
    if stage.seen_after_seconds:
        for _ in range(int(SETTLES_SECONDS / stage.seen_after_seconds) + 1):
            stage.let_it_be_seen()


@contextmanager
def lower_wall(stage: Stage) -> Iterator[Outcome]:
    """Who may count events of the processor is made a group that is larger by one step."""
    before = PARANOID.read_text().strip()
    if int(before) < 0:
        raise CannotHereError("kernel.perf_event_paranoid is as low as it gets")
    with stage.capable() as container:
        try:
            stage.shell(container, f"{WRITABLE}; echo {int(before) - 1} > {PARANOID}")
            require(PARANOID.read_text().strip() == str(int(before) - 1), "it was not lowered")
            yield Outcome(container.id, text="kernel.perf_event_paranoid")
        finally:
            PARANOID.write_text(before)


ACTS = (
    Act("replace_core_pattern", replace_core_pattern, (Expected("HW-205", CRITICAL),)),
    Act("set_release_agent", set_release_agent, (Expected("HW-206", CRITICAL),)),
    Act("ask_for_release_agent", ask_for_release_agent, (Expected("HW-206", HIGH),)),
    Act("open_devices", open_devices, (Expected("HW-207", HIGH),)),
    Act("lower_wall", lower_wall, (Expected("HW-209", MEDIUM, names_container=False),)),
)
