"""Escapes by cgroup: leaving one's own, hiding in a neighbour's or in a forged one."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.hierarchies import HOST_CGROUPS, IS_UNIFIED, SEEN_INSIDE, hierarchies, own_cgroup
from tests.support.patience import patient
from tests.support.processes import (
    cgroups,
    end,
    namespace,
    require,
    shares_namespace,
    unique_seconds,
    wait_for_process,
    wait_until,
)
from tests.support.stage import (
    CRITICAL,
    HIGH,
    Act,
    Expected,
    Outcome,
    Stage,
    needs_hierarchy,
)

# `0` is the writer itself, in whatever pid namespace (cgroups(7)).
MOVE = f'for each in {SEEN_INSIDE}; do echo 0 > "$each$0/cgroup.procs" || true; done; exec "$@"'


@contextmanager
def move_to_root_cgroup(stage: Stage) -> Iterator[Outcome]:
    """Moves itself to the root of every hierarchy: out of its limits, and out of sight of who goes by the path."""
    with stage.container(*HOST_CGROUPS) as container:
        pid = stage.sleep_inside(container, "sh", "-c", MOVE, "")
        require(not any(container.id in path for path in cgroups(pid).values()), f"still there: {cgroups(pid)}")
        require(shares_namespace(pid, "mnt", container.pid), "it has left the container's mount namespace too")
        yield Outcome(container.id, (pid,))


@contextmanager
def move_out_of_one_hierarchy(stage: Stage) -> Iterator[Outcome]:
    """Mounts one hierarchy of version 1 itself, and leaves only that one."""
    needs_hierarchy("pids")
    with stage.capable() as container:
        stage.shell(container, "mkdir /tmp/pids && mount -t cgroup -o pids hierarchy /tmp/pids")
        pid = stage.sleep_inside(container, "sh", "-c", 'echo 0 > /tmp/pids/cgroup.procs; exec "$0" "$@"')
        require(cgroups(pid)["pids"] == "/", f"still there: {cgroups(pid)}")
        require(container.id in cgroups(pid)["memory"], "it left more than one hierarchy")
        yield Outcome(container.id, (pid,))


@contextmanager
def hide_in_neighbours_cgroup(stage: Stage) -> Iterator[Outcome]:
    """Moves itself into another container's cgroup, so that what it does is laid at that one's door."""
    with stage.container() as neighbour, stage.container(*HOST_CGROUPS) as container:
        pid = stage.sleep_inside(container, "sh", "-c", MOVE, own_cgroup(neighbour.pid).lstrip("/"))
        require(neighbour.id in own_cgroup(pid), f"it is not in the neighbour's cgroup: {cgroups(pid)}")
        require(shares_namespace(pid, "mnt", container.pid), "it has not got its container's mount namespace")
        yield Outcome(container.id, (pid,))


@contextmanager
def escape_from_forged_cgroup(stage: Stage) -> Iterator[Outcome]:
    """Makes a child cgroup that is named like a container, moves there, then enters the host's mount namespace."""
    forged = secrets.token_hex(32)
    with stage.victim() as victim, stage.capable("--pid=host", *HOST_CGROUPS) as container:
        made = f"{own_cgroup(container.pid)}/{forged}".lstrip("/")
        stage.shell(container, f"for each in {SEEN_INSIDE}; do mkdir ${{each}}{made}; done")
        # The hierarchy of cpusets lets nobody in before it is told its processors and memory.
        stage.shell(
            container,
            "cd /host-cgroups/cpuset && for name in cpus mems; do cat cpuset.$name > $1/cpuset.$name; done || true",
            made,
        )
        try:
            enter = ("nsenter", "-t", str(victim.pid), "-m", "--")
            pid = stage.sleep_inside(container, "sh", "-c", MOVE, made, *enter)
            require(own_cgroup(pid) == f"/{made}", f"not there: {cgroups(pid)}")
            require(shares_namespace(pid, "mnt"), "it has not got the host's mount namespace")
            yield Outcome(container.id, (pid,))
        finally:
            stage.engine.remove(container)
            for hierarchy in hierarchies():
                # systemd takes it away by itself.
                with suppress(FileNotFoundError):
                    (hierarchy / made).rmdir()
                    (hierarchy / made).parent.rmdir()


@contextmanager
def run_as_unknown_container(stage: Stage) -> Iterator[Outcome]:
    """A process of the host with namespaces of its own, in a cgroup under Docker's that Docker knows nothing of."""
    forged, seconds = secrets.token_hex(32), unique_seconds()
    with stage.container() as container:  # Docker makes its parent cgroup for its first container only
        name = own_cgroup(container.pid).replace(container.id, forged).lstrip("/")
        wanted = [path / name for path in hierarchies() if (path / name).parent.is_dir()]
        made: list[Path] = []
        process = None
        try:
            for directory in wanted:
                directory.mkdir()
                made.append(directory)
                # Version 1 lets nobody in before it is told processors and memory; version 2 inherits them.
                for value in ("cpuset.cpus", "cpuset.mems") if not IS_UNIFIED else ():
                    if (directory.parent / value).exists():
                        (directory / value).write_text((directory.parent / value).read_text())
            process = subprocess.Popen(("unshare", "-m", "-u", "-i", "-n", "-p", "-f", "sleep", seconds))
            pid = wait_for_process(seconds, first="sleep")
            for directory in made:
                (directory / "cgroup.procs").write_text(str(pid))
            require(forged in own_cgroup(pid), f"it is not in the forged cgroup: {cgroups(pid)}")
            require(namespace(pid, "pid") != namespace("self", "pid"), "it has the host's pid namespace")
            yield Outcome(forged, (pid,))
        finally:
            if process is not None:
                process.kill()
                process.wait(timeout=patient(5))
            _end_all(made)


def _end_all(directories: list[Path]) -> None:
    for directory in directories:
        for pid in (directory / "cgroup.procs").read_text().split():
            end(int(pid))
    for directory in directories:
        processes = directory / "cgroup.procs"
        wait_until(lambda file=processes: not file.read_text().strip(), f"{directory} to be empty")  # type: ignore[misc]
        directory.rmdir()


ACTS = (
    Act("move_to_root_cgroup", move_to_root_cgroup, (Expected("HW-105", HIGH),)),
    Act(
        "move_out_of_one_hierarchy",
        move_out_of_one_hierarchy,
        (Expected("HW-105", HIGH), Expected("HW-112", CRITICAL)),
    ),
    Act("hide_in_neighbours_cgroup", hide_in_neighbours_cgroup, (Expected("HW-105", HIGH),)),
    Act("escape_from_forged_cgroup", escape_from_forged_cgroup, (Expected("HW-101", CRITICAL),)),
    Act("run_as_unknown_container", run_as_unknown_container, (Expected("HW-115", HIGH),)),
)
