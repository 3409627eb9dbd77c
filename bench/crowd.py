"""A crowd of sleeping processes to measure against, of the host or in a made-up container's cgroup."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HIERARCHIES = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup")
CONTAINER_ID = "be" * 32


@contextlib.contextmanager
def crowd(size: int, *, in_container: bool) -> Iterator[list[int]]:
    """The pids of ``size`` sleepers, ended when the block ends. Needs root for a cgroup."""
    cgroup = _make_cgroup() if in_container else None
    leader = subprocess.Popen(
        ["/bin/sh", "-c", f"i=0; while [ $i -lt {size} ]; do sleep 600 & i=$((i+1)); done; echo ready; wait"],
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=(lambda: _enter(cgroup)) if cgroup is not None else None,  # noqa: PLW1509  no threads here
    )
    try:
        assert leader.stdout is not None
        leader.stdout.readline()
        children = Path(f"/proc/{leader.pid}/task/{leader.pid}/children").read_text()
        yield [int(pid) for pid in children.split()]
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        if cgroup is not None:
            remove_cgroup(cgroup)


def _make_cgroup() -> Path:
    root = next(Path(each) for each in HIERARCHIES if os.access(f"{each}/cgroup.procs", os.W_OK))
    cgroup = root / "docker" / CONTAINER_ID
    cgroup.mkdir(parents=True, exist_ok=True)
    return cgroup


def _enter(cgroup: Path) -> None:
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))


def remove_cgroup(cgroup: Path) -> None:
    """Once its last process has been reaped."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            cgroup.rmdir()
            break
        time.sleep(0.1)
    with contextlib.suppress(OSError):
        cgroup.parent.rmdir()
