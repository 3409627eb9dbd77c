"""Finding and waiting for the processes of a live test, by an argument that no other process has.

Every long-lived program of the live tests sleeps for a bounded time whose fraction is unique (`60.1234567`), so that a
process is found by its argument in whatever container, namespace or cgroup it has got to, and ends by itself.
"""

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.support.patience import patient

PROC = Path("/proc")
NEW_NAMES: dict[str, str] = {}  # what programs are called while a test has renamed them all (`tests.support.renamed`)
LOOK_EVERY_SECONDS = patient(0.01)
T = TypeVar("T")


class EffectMissingError(AssertionError):
    """An act did not do what it is there to do, so nothing that a detector says of it counts."""


def unique_seconds(seconds: int = 60) -> str:
    """A duration for sleep(1), in seconds, that doubles as the name of the process that sleeps it."""
    return f"{int(patient(seconds))}.{secrets.randbelow(9 * 10**8) + 10**8}"


def wait_until(
    probe: Callable[[], T], what: str, *, timeout_seconds: float = 10.0, every_seconds: float = LOOK_EVERY_SECONDS
) -> T:
    """The first true value of `probe`; EffectMissingError naming `what` if the time runs out."""
    deadline = time.monotonic() + patient(timeout_seconds)
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise EffectMissingError(f"{what}: did not come about within {patient(timeout_seconds)} s")
        time.sleep(every_seconds)


def require(claim: object, what: str) -> None:
    """Stop with EffectMissingError unless the claim holds: `assert` that survives `python -O` and names the effect."""
    if not claim:
        raise EffectMissingError(what)


def arguments(pid: int) -> list[str]:
    """The arguments of a process, empty when it has gone or is a kernel thread."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="surrogateescape") for part in raw.split(b"\0")[:-1]]


def pids() -> list[int]:
    """The pids of all processes of the machine."""
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def find_processes(argument: str, *, first: str = "") -> list[int]:
    """The pids, oldest first, of processes that have this argument, and whose argument 0 ends in `first`."""
    found = []
    directory, slash, name = first.rpartition("/")
    called = f"{directory}{slash}{NEW_NAMES.get(name, name)}"
    for pid in pids():
        words = arguments(pid)
        if argument in words[1:] and words[0].endswith(called):
            found.append(pid)
    return sorted(found, key=start_ticks)


def wait_for_process(argument: str, *, first: str = "", timeout_seconds: float = 10.0) -> int:
    """The pid of the youngest process with this argument, once there is one."""
    found = wait_until(
        lambda: find_processes(argument, first=first), f"a process {first} {argument}", timeout_seconds=timeout_seconds
    )
    return found[-1]


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on, empty when the process has gone (proc_pid_stat(5))."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes().decode(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when it has gone."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else 0


def parent(pid: int) -> int:
    """The pid of the parent; 0 when the process has gone."""
    fields = stat_fields(pid)
    return int(fields[1]) if fields else 0


def is_alive(pid: int) -> bool:
    """True while the process is there and no zombie."""
    fields = stat_fields(pid)
    return bool(fields) and fields[0] not in "ZX"


def namespace(pid: int | str, kind: str, *, tid: int | None = None) -> int:
    """The inode of one of a process' (or thread's) namespaces: what says that two share it (namespaces(7))."""
    task = PROC / str(pid) if tid is None else PROC / str(pid) / "task" / str(tid)
    return (task / "ns" / kind).stat().st_ino


def shares_namespace(pid: int, kind: str, other: int | str = "self") -> bool:
    """True if both processes are in one namespace; the other is this one unless told."""
    return namespace(pid, kind) == namespace(other, kind)


def cgroups(pid: int) -> dict[str, str]:
    """The path of a process in each hierarchy, by `pids`, `name=systemd`, or nothing for version 2 (man 7 cgroups)."""
    paths = {}
    for line in (PROC / str(pid) / "cgroup").read_text(errors="surrogateescape").split("\n"):
        if line:
            _, controllers, path = line.split(":", 2)
            paths[controllers] = path
    return paths


def status(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status by name (proc_pid_status(5))."""
    text = (PROC / str(pid) / "status").read_text(errors="surrogateescape")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.split("\n")) if name}


def file_id(path: str | Path) -> tuple[int, int]:
    """What a path leads to, as (device, inode): who a file is."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def descriptor_mount(pid: int, name: str) -> int:
    """The mount id under `cwd`, `root` or `exe` of a process, read through a descriptor that opens nothing (O_PATH)."""
    fd = os.open(PROC / str(pid) / name, os.O_PATH)
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    return int(next(line.split(":")[1] for line in text.splitlines() if line.startswith("mnt_id:")))


def mount_ids(pid: int | str) -> dict[int, str]:
    """The mount ids of a process' mount table, each with its line of mountinfo (proc_pid_mountinfo(5))."""
    text = (PROC / str(pid) / "mountinfo").read_text(errors="surrogateescape")
    return {int(line.split(" ", 1)[0]): line for line in text.split("\n") if line}


def end(pid: int) -> None:
    """Kill one process that a test started, if it is still there."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


@contextmanager
def host_process(*command: str, cwd: str = "/") -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host, outside every container, that ends with the block."""
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=patient(5))
