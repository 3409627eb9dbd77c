"""Escapes into the host's files: a root, a working directory, a descriptor, a program that was never mounted there."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.patience import patient
from tests.support.processes import (
    descriptor_mount,
    file_id,
    mount_ids,
    require,
    unique_seconds,
    wait_for_process,
    wait_until,
)
from tests.support.stage import CRITICAL, HIGH, TOOLS, Act, Expected, Outcome, Stage, host_directory, needs_program

HOST_PID = "--pid=host"


def _require_foreign(container: Container, pid: int, link: str) -> None:
    mount = descriptor_mount(pid, link)
    require(mount not in mount_ids(container.pid), f"{link} stands on mount {mount}, which is the container's own")


@contextmanager
def chroot_into_host_volume(stage: Stage) -> Iterator[Outcome]:
    """`-v /:/host`, then `chroot /host`: no capability beyond Docker's default set is needed."""
    with stage.container("-v", "/:/host") as container:
        pid = stage.sleep_inside(container, "chroot", "/host", program="/bin/sleep")
        require(file_id(f"/proc/{pid}/root") == file_id("/"), "its root is not the host's")
        yield Outcome(container.id, (pid,))


@contextmanager
def chroot_by_first_process(stage: Stage) -> Iterator[Outcome]:
    """The first process itself goes, so that only what was declared says where it belonged."""
    seconds = unique_seconds()
    command = ("sh", "-c", f"sleep {patient(0.5)}; exec chroot /host /bin/sleep {seconds}")
    with stage.container("-v", "/:/host", command=command) as container:
        pid = wait_for_process(seconds, first="/bin/sleep")
        require(pid == container.pid, "it is not the first process")
        require(file_id(f"/proc/{pid}/root") == file_id("/"), "its root is not the host's")
        yield Outcome(container.id, (pid,))


@contextmanager
def chroot_into_image_directory(stage: Stage) -> Iterator[Outcome]:
    """A chroot that goes in, not out, as sshd or a package build does it: a control."""
    with stage.container() as container:
        pid = stage.sleep_inside(container, "chroot", "/jail", program="/bin/sleep")
        require(file_id(f"/proc/{pid}/root") == file_id(f"/proc/{container.pid}/root/jail"), "its root is not the jail")
        yield Outcome(container.id, (pid,))


@contextmanager
def work_in_host_root(stage: Stage) -> Iterator[Outcome]:
    """`cd /proc/HOST-PID/root`: the host's files from a container that has none of them mounted."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        script = f'cd /proc/{victim.pid}/root && exec "$0" "$@"'
        pid = stage.sleep_inside(container, "sh", "-c", script)
        require(file_id(f"/proc/{pid}/cwd") == file_id("/"), "its working directory is not the host's /")
        _require_foreign(container, pid, "cwd")
        yield Outcome(container.id, (pid,))


@contextmanager
def chroot_into_host_process(stage: Stage) -> Iterator[Outcome]:
    """`chroot /proc/HOST-PID/root`."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, "chroot", f"/proc/{victim.pid}/root", program="/bin/sleep")
        require(file_id(f"/proc/{pid}/root") == file_id("/"), "its root is not the host's")
        _require_foreign(container, pid, "root")
        yield Outcome(container.id, (pid,))


@contextmanager
def run_host_program(stage: Stage) -> Iterator[Outcome]:
    """Runs a file of the host through /proc/HOST-PID/root, in the container's own root and directory."""
    program = Path(needs_program("busybox")).resolve()
    seconds = unique_seconds()
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        inside = f"/proc/{victim.pid}/root{program}"
        stage.engine.execute(container, inside, "sleep", seconds, options=("-d",))
        pid = wait_for_process(seconds, first=program.name)
        require(file_id(f"/proc/{pid}/exe") == file_id(program), "its program is not the host's")
        _require_foreign(container, pid, "exe")
        yield Outcome(container.id, (pid,), text=str(program))


@contextmanager
def work_in_leaked_directory(stage: Stage) -> Iterator[Outcome]:
    """A directory of the host leaks through `runc exec` as descriptor 3, and is entered: what CVE-2024-21626 leaves."""
    runc, seconds = needs_program("runc"), unique_seconds()
    with stage.container() as container:
        root = str(stage.engine.runtime_root)
        script = 'exec 3</etc; exec "$@"'
        inside = ("sh", "-c", f"cd /proc/self/fd/3 && exec sleep {seconds} 3<&-")
        command = (runc, "--root", root, "exec", "--detach", "--preserve-fds", "1", container.id, *inside)
        subprocess.run(
            ("sh", "-c", script, "sh", *command),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=patient(30),
        )
        pid = wait_for_process(seconds, first="sleep")
        require(file_id(f"/proc/{pid}/cwd") == file_id("/etc"), "its working directory is not the host's /etc")
        _require_foreign(container, pid, "cwd")
        yield Outcome(container.id, (pid,))


@contextmanager
def work_in_passed_directory(stage: Stage) -> Iterator[Outcome]:
    """A host process passes a directory over a unix socket (SCM_RIGHTS), and the container works in it."""
    with _receiver(stage, "enter") as (container, pid):
        wait_until(lambda: file_id(f"/proc/{pid}/cwd") == file_id("/"), "the working directory of the host")
        _require_foreign(container, pid, "cwd")
        yield Outcome(container.id, (pid,))


@contextmanager
def hold_passed_directory(stage: Stage) -> Iterator[Outcome]:
    """The same, but the descriptor is only held open: everything of the host can be opened through it at any time."""
    with _receiver(stage, "hold") as (container, pid):
        held = wait_until(lambda: _descriptor_of(pid, file_id("/")), "an open descriptor of the host's /")
        yield Outcome(container.id, (pid,), text=f"fd/{held}")


def _descriptor_of(pid: int, wanted: tuple[int, int]) -> str:
    for name in sorted(os.listdir(f"/proc/{pid}/fd")):
        try:
            if file_id(f"/proc/{pid}/fd/{name}") == wanted:
                return name
        except OSError:
            continue
    return ""


@contextmanager
def _receiver(stage: Stage, mode: str) -> Iterator[tuple[Container, int]]:
    seconds = unique_seconds()
    with host_directory() as volume, stage.container("-v", f"{volume}:/volume") as container:
        command = (f"{TOOLS}/receive_directory", "/volume/socket", mode, seconds)
        stage.engine.execute(container, *command, options=("-d",))
        pid = wait_for_process(seconds, first="receive_directory")
        path = volume / "socket"
        wait_until(path.exists, "the container's socket")
        directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                wait_until(lambda: peer.connect_ex(str(path)) == 0, "a connection to the container's socket")
                socket.send_fds(peer, [b"x"], [directory])
        finally:
            os.close(directory)
        yield container, pid


ACTS = (
    Act("chroot_into_host_volume", chroot_into_host_volume, (Expected("HW-103", CRITICAL),)),
    Act("chroot_by_first_process", chroot_by_first_process, (Expected("HW-103", CRITICAL),)),
    Act("chroot_into_image_directory", chroot_into_image_directory, ()),
    Act("work_in_host_root", work_in_host_root, (Expected("HW-104", CRITICAL),)),
    Act("chroot_into_host_process", chroot_into_host_process, (Expected("HW-103", CRITICAL),)),
    Act("run_host_program", run_host_program, (Expected("HW-104", HIGH),)),
    Act("work_in_leaked_directory", work_in_leaked_directory, (Expected("HW-104", HIGH),)),
    Act("work_in_passed_directory", work_in_passed_directory, (Expected("HW-104", CRITICAL),)),
    Act("hold_passed_directory", hold_passed_directory, (Expected("HW-104", HIGH),)),
)
