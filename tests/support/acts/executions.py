"""Programs that were not in the image: in memory, unlinked, dropped; and a host that runs a container's file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.processes import (
    cgroups,
    file_id,
    host_process,
    mount_ids,
    require,
    unique_seconds,
    wait_for_process,
)
from tests.support.stage import (
    CRITICAL,
    HIGH,
    LOW,
    MEDIUM,
    TOOLS,
    Act,
    Expected,
    Outcome,
    Stage,
    host_directory,
)


def _executable(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/exe")


@contextmanager
def run_from_memory(stage: Stage) -> Iterator[Outcome]:
    """busybox, copied into a memfd and run from there; its arguments say nothing of it."""
    with stage.container() as container:
        pid = stage.sleep_inside(container, f"{TOOLS}/memfd_exec", "/bin/busybox")
        require(_executable(pid) == "/memfd:payload (deleted)", f"its program is {_executable(pid)}")
        yield Outcome(container.id, (pid,), text="memfd:payload")


@contextmanager
def run_unlinked(stage: Stage) -> Iterator[Outcome]:
    """A copy of busybox that is unlinked before it runs."""
    with stage.container() as container:
        stage.shell(container, "cp /bin/busybox /tmp/gone")
        pid = stage.sleep_inside(container, f"{TOOLS}/unlinked_exec", "/tmp/gone")
        require(_executable(pid) == "/tmp/gone (deleted)", f"its program is {_executable(pid)}")
        yield Outcome(container.id, (pid,), text="/tmp/gone")


@contextmanager
def run_dropped(stage: Stage) -> Iterator[Outcome]:
    """A program written into the container's own layer after start."""
    with stage.container() as container:
        yield _run_copy(stage, container, "/tmp")


@contextmanager
def run_dropped_in_tmpfs(stage: Stage) -> Iterator[Outcome]:
    """A program written into a tmpfs that the container was given."""
    with stage.container("--tmpfs", "/scratch:exec") as container:
        yield _run_copy(stage, container, "/scratch")


@contextmanager
def run_dropped_in_shared_memory(stage: Stage) -> Iterator[Outcome]:
    """A program written into /dev/shm, which Docker mounts noexec: it is remounted first."""
    with stage.capable() as container:
        stage.shell(container, "mount -o remount,exec /dev/shm")
        yield _run_copy(stage, container, "/dev/shm")


@contextmanager
def run_dropped_in_volume(stage: Stage) -> Iterator[Outcome]:
    """A program written into a volume: what an init container does honestly, so it is told low."""
    with host_directory() as volume, stage.container("-v", f"{volume}:/volume") as container:
        yield _run_copy(stage, container, "/volume")


def _run_copy(stage: Stage, container: Container, directory: str) -> Outcome:
    path, seconds = f"{directory}/busybox-dropped", unique_seconds()
    stage.shell(container, f"cp /bin/busybox {path}")
    stage.engine.execute(container, path, "sleep", seconds, options=("-d",))
    pid = wait_for_process(seconds, first="busybox-dropped")
    require(file_id(f"/proc/{pid}/exe") == file_id(f"/proc/{container.pid}/root{path}"), "its program is another file")
    return Outcome(container.id, (pid,), text=path)


@contextmanager
def host_runs_file_of_layer(stage: Stage) -> Iterator[Outcome]:
    """A process of the host runs a program that a container wrote into its own layer."""
    with stage.container() as container:
        stage.shell(container, "cp /bin/busybox /tmp/busybox-dropped")
        root = next(line for line in mount_ids(container.pid).values() if line.split(" ")[4] == "/")
        upper = Path(root.split("upperdir=", 1)[1].split(",", 1)[0])
        with host_process(str(upper / "tmp/busybox-dropped"), "sleep", unique_seconds()) as process:
            yield _host_outcome(container, process.pid, upper / "tmp/busybox-dropped")


@contextmanager
def host_runs_file_of_root(stage: Stage) -> Iterator[Outcome]:
    """The same through /proc/PID/root: the file is one of the mounted overlay, not of its upper directory."""
    with stage.container() as container:
        stage.shell(container, "cp /bin/busybox /tmp/busybox-dropped")
        path = Path(f"/proc/{container.pid}/root/tmp/busybox-dropped")
        with host_process(str(path), "sleep", unique_seconds()) as process:
            yield _host_outcome(container, process.pid, path)


@contextmanager
def host_runs_file_of_volume(stage: Stage) -> Iterator[Outcome]:
    """A process of the host runs a program that a container wrote into a volume of the engine's.

    Not a directory of the host: a plug-in that a container installs there is run by the host in all honesty.
    """
    name = f"hullwatch-live-{unique_seconds()}"
    stage.engine.docker("volume", "create", name)
    try:
        point = stage.engine.docker("volume", "inspect", "--format", "{{.Mountpoint}}", name).stdout.decode().strip()
        dropped = Path(point) / "busybox-dropped"
        with stage.container("-v", f"{name}:/volume") as container:
            stage.shell(container, "cp /bin/busybox /volume/busybox-dropped")
            with host_process(str(dropped), "sleep", unique_seconds()) as process:
                yield _host_outcome(container, process.pid, dropped)
    finally:
        stage.engine.docker("volume", "rm", "--force", name)


def _host_outcome(container: Container, pid: int, path: Path) -> Outcome:
    require(file_id(f"/proc/{pid}/exe") == file_id(path), "its program is another file")
    require(container.id not in "".join(cgroups(pid).values()), "it is in the container's cgroup")
    return Outcome(container.id, (pid,), text="busybox-dropped")


ACTS = (
    Act("run_from_memory", run_from_memory, (Expected("HW-222", HIGH),), weakest="netlink"),
    Act("run_unlinked", run_unlinked, (Expected("HW-222", HIGH),), weakest="netlink"),
    Act("run_dropped", run_dropped, (Expected("HW-223", MEDIUM),), weakest="netlink"),
    Act("run_dropped_in_tmpfs", run_dropped_in_tmpfs, (Expected("HW-223", MEDIUM),), weakest="netlink"),
    Act("run_dropped_in_shared_memory", run_dropped_in_shared_memory, (Expected("HW-223", MEDIUM),), weakest="netlink"),
    Act("run_dropped_in_volume", run_dropped_in_volume, (Expected("HW-223", LOW),), weakest="netlink"),
    Act("host_runs_file_of_layer", host_runs_file_of_layer, (Expected("HW-114", CRITICAL),), weakest="netlink"),
    Act("host_runs_file_of_root", host_runs_file_of_root, (Expected("HW-114", CRITICAL),), weakest="netlink"),
    Act("host_runs_file_of_volume", host_runs_file_of_volume, (Expected("HW-114", CRITICAL),), weakest="netlink"),
)
