"""Gains of privilege: user namespaces, and a runtime that enters a container with more than it declares.

What a kernel exploit leaves behind (HW-107, HW-108, HW-109) cannot be made without a kernel bug: no system call gives a
process a capability beyond its bounding set, takes a seccomp filter off or clears no_new_privs, neither from inside nor
for a debugger from outside. Those three are tested on captures, in `tests/scenarios`, not here.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.hierarchies import own_cgroup
from tests.support.patience import patient
from tests.support.processes import (
    namespace,
    require,
    shares_namespace,
    status,
    unique_seconds,
    wait_for_process,
)
from tests.support.stage import HIGH, MEDIUM, Act, Expected, Outcome, Stage, needs_program

UNFILTERED = ("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
CAP_SYS_ADMIN = 21


def _effective(pid: int) -> int:
    return int(status(pid)["CapEff"], 16)


def _bounding(pid: int) -> int:
    return int(status(pid)["CapBnd"], 16)


@contextmanager
def gain_user_namespace(stage: Stage) -> Iterator[Outcome]:
    """`unshare -Ur` by an ordinary user of a container without a filter: every capability, in a new namespace."""
    with stage.container(*UNFILTERED, "--user", "1000") as container:
        pid = stage.sleep_inside(container, "unshare", "-U", "-r", "--")
        require(namespace(pid, "user") != namespace(container.pid, "user"), "it has no user namespace of its own")
        require(_effective(pid) >> CAP_SYS_ADMIN & 1, "it has not got CAP_SYS_ADMIN there")
        yield Outcome(container.id, (pid,))


@contextmanager
def mount_in_user_namespace(stage: Stage) -> Iterator[Outcome]:
    """`unshare -Urm`, and a mount with what was gained: the first half of most kernel exploits."""
    with stage.container(*UNFILTERED, "--user", "1000") as container:
        script = 'mount -t tmpfs none /mnt && exec "$0" "$@"'
        pid = stage.sleep_inside(container, "unshare", "-U", "-r", "-m", "--", "sh", "-c", script)
        require(namespace(pid, "user") != namespace(container.pid, "user"), "it has no user namespace of its own")
        require(not shares_namespace(pid, "mnt", container.pid), "it has no mount namespace of its own")
        yield Outcome(container.id)  # of it or of its child, the shell's `mount`: whichever was seen first


@contextmanager
def exec_with_capability(stage: Stage) -> Iterator[Outcome]:
    """`runc exec --cap CAP_SYS_ADMIN` into a container that has not got it."""
    runc, seconds = needs_program("runc"), unique_seconds()
    with stage.container() as container:
        root = str(stage.engine.runtime_root)
        command = (runc, "--root", root, "exec", "-d", "--cap", "CAP_SYS_ADMIN", container.id, "sleep", seconds)
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=patient(30),
        )
        pid = wait_for_process(seconds, first="sleep")
        require(_effective(pid) >> CAP_SYS_ADMIN & 1, "it has not got the capability")
        require(not _bounding(container.pid) >> CAP_SYS_ADMIN & 1, "the container has the capability anyway")
        require(container.id in own_cgroup(pid), "it is not in the container's cgroup")
        yield Outcome(container.id, (pid,))


@contextmanager
def exec_privileged(stage: Stage) -> Iterator[Outcome]:
    """`docker exec --privileged` into a container that is not."""
    with stage.container(*stage.runtime_options()) as container:
        pid = stage.sleep_inside(container, options=("--privileged",))
        require(_effective(pid) & ~_bounding(container.pid), "it has no more than the container")
        require(container.id in own_cgroup(pid), "it is not in the container's cgroup")
        yield Outcome(container.id, (pid,))


ACTS = (
    Act("gain_user_namespace", gain_user_namespace, (Expected("HW-111", MEDIUM),)),
    Act("mount_in_user_namespace", mount_in_user_namespace, (Expected("HW-111", HIGH),)),
    Act("exec_with_capability", exec_with_capability, (Expected("HW-110", MEDIUM),), weakest="netlink"),
    Act("exec_privileged", exec_privileged, (Expected("HW-110", MEDIUM),), weakest="netlink"),
)
