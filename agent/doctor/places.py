"""What the agent reads: the host's processes, mounts and cgroups, and where it keeps its own state."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator

from agent.doctor.base import Answer, Surroundings, Verdict, ok
from agent.heartbeat import NAME as HEARTBEAT
from collectors.facts import Unknown
from collectors.host import INITIAL_NAMESPACES

AREA = "places"
MAX_PROCESSES = 4096
LEAST_FREE_BYTES = 64 << 20
MOST_SECONDS_AHEAD = 60.0
OF_KIND = "Apply the overlay kind, which polls; or watch the real host."


def check(surroundings: Surroundings) -> Iterator[Answer]:
    """Namespaces, /proc, /sys, the host's files, the state directory, the clock."""
    yield _pid_namespace(surroundings)
    yield _net_namespace(surroundings)
    yield _processes(surroundings)
    yield _baseline(surroundings)
    yield _cgroups(surroundings)
    yield _state(surroundings)
    yield _clock(surroundings)


def _pid_namespace(surroundings: Surroundings) -> Answer:
    name, mend = "host's pids", "In a pod: hostPID: true. With docker: --pid=host."
    if surroundings.own.pid == INITIAL_NAMESPACES["pid"]:
        return ok(AREA, name, "the host's pid namespace")
    # Elsewhere process 1 is not the host's. One in another mount namespace than we is that of a node in a container.
    if _is_hosts(surroundings, "pid") and not _is_hosts(surroundings, "mnt"):
        costs = "What the kernel tells of processes has the real host's pids: the tiers netlink and ebpf can't be used."
        return Answer(AREA, name, Verdict.WARNING, "those of a node that is a container itself", costs, OF_KIND)
    costs = "Only processes of that namespace are seen, not the node's."
    return Answer(AREA, name, Verdict.FAILED, "a pid namespace of its own", costs, mend)


def _net_namespace(surroundings: Surroundings) -> Answer:
    if _is_hosts(surroundings, "net"):
        return ok(AREA, "host's network", "the host's net namespace")
    return Answer(
        AREA,
        "host's network",
        Verdict.WARNING,
        "a net namespace of its own",
        "The process connector does not speak there (tier netlink), and peers of the host's sockets are out of sight.",
        "In a pod: hostNetwork: true. With docker: --network=host.",
    )


def _is_hosts(surroundings: Surroundings, kind: str) -> bool:
    own = getattr(surroundings.own, kind)
    return not isinstance(own, Unknown) and own == getattr(surroundings.host.namespaces, kind)


def _processes(surroundings: Surroundings) -> Answer:
    """Whether processes are there, and how many refuse even to show which namespaces they have."""
    proc = surroundings.roots.proc
    try:
        pids = [name for name in os.listdir(proc) if name.isdecimal()][:MAX_PROCESSES]
    except OSError as error:
        mend = "Mount the node's procfs, and name it in roots.proc."
        return Answer(AREA, "processes", Verdict.FAILED, f"{proc}: {error.strerror}", "Nothing can be watched.", mend)
    refused = sum(1 for pid in pids if not _shows_namespaces(proc, pid))
    found = f"{len(pids)} in {proc}, {refused} refuse to show their namespaces"
    if refused * 10 <= len(pids):  # pid 1 of some machines is closed even to root
        return ok(AREA, "processes", found)
    costs = "Of those processes nothing can be compared: they are blind spots."
    return Answer(AREA, "processes", Verdict.FAILED, found, costs, "See the capabilities and the LSM label above.")


def _shows_namespaces(proc: str, pid: str) -> bool:
    try:
        os.readlink(f"{proc}/{pid}/ns/mnt")
    except FileNotFoundError:
        return True  # it has ended
    except OSError:
        return False
    return True


def _baseline(surroundings: Surroundings) -> Answer:
    host = surroundings.host
    missing = [kind for kind in ("mnt", "pid", "net", "user") if isinstance(getattr(host.namespaces, kind), Unknown)]
    if isinstance(host.root, Unknown):
        missing.append("root")
    if not missing:
        return ok(AREA, "host's baseline", f"known (from {host.source}), host files at {surroundings.roots.host}")
    costs = f"Whether a process has the host's {', '.join(missing)} can't be told."
    mend = "Give the agent hostPID, CAP_SYS_PTRACE and, where pid 1 is closed, the host's root in roots.host."
    return Answer(AREA, "host's baseline", Verdict.FAILED, f"not known: {', '.join(missing)}", costs, mend)


def _cgroups(surroundings: Surroundings) -> Answer:
    path = f"{surroundings.roots.sys}/fs/cgroup"
    if not _is_listable(path):
        costs = "In a cgroup namespace of its own the agent sees paths as /../..; members may not be found."
        mend = "In a pod: mount hostPath /sys/fs/cgroup at the same place, read-only."
        return Answer(AREA, "cgroups", Verdict.WARNING, f"{path} can't be read", costs, mend)
    is_v2 = os.path.exists(f"{path}/cgroup.controllers")
    found = f"{path} ({'v2' if is_v2 else 'v1 or hybrid'})"
    if _is_hosts(surroundings, "cgroup"):
        return ok(AREA, "cgroups", found)
    # cgroups(7): the root of the hierarchy has no cgroup.type (v2), and alone has release_agent (v1).
    is_whole = not os.path.exists(f"{path}/cgroup.type") if is_v2 else _has_v1_root(path)
    if is_whole:
        return ok(AREA, "cgroups", f"{found}; a cgroup namespace of its own, and the node's hierarchy is mounted")
    costs = "Paths of other pods' processes begin with /../..: whose they are can't be told."
    mend = "In a pod: mount hostPath /sys/fs/cgroup at the same place, read-only. With docker: --cgroupns=host."
    return Answer(AREA, "cgroups", Verdict.WARNING, f"{found}: only a part of the hierarchy", costs, mend)


def _has_v1_root(path: str) -> bool:
    return any(os.path.exists(f"{path}/{name}/release_agent") for name in os.listdir(path))


def _state(surroundings: Surroundings) -> Answer:
    """Looked at and not made: the doctor leaves no trace."""
    name, directory = "state directory", surroundings.config.state.directory
    costs = "Alerts that no sink has taken yet are lost with the agent, and HW-904 can't tell how long it was away."
    mend = "Give the agent a directory that root alone may write and that outlives it (state.directory)."
    if directory is None:
        return Answer(AREA, name, Verdict.WARNING, "none: memory only", costs, mend)
    problem = _problem_of(directory, surroundings.uid)
    if problem:
        return Answer(AREA, name, Verdict.FAILED, f"{directory} {problem}", costs, mend)
    if not os.path.isdir(directory):
        return ok(AREA, name, f"{directory} will be made")
    space = os.statvfs(directory)
    free = space.f_bavail * space.f_frsize
    if free < LEAST_FREE_BYTES:
        found = f"{directory}: {free >> 20} MiB are free"
        return Answer(AREA, name, Verdict.WARNING, found, costs, "Make room on that file system.")
    return ok(AREA, name, f"{directory}, {free >> 20} MiB free")


def _problem_of(directory: str, uid: int) -> str:
    """Why the agent would not take it, as ``agent.state_directory`` sees it; empty where it would."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        parent = os.path.dirname(directory.rstrip("/")) or "/"
        return "" if os.access(parent, os.W_OK) else "is not there, and can't be made"
    except OSError as error:
        return f"can't be seen: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return "is no directory"
    if status.st_mode & stat.S_IWOTH or status.st_uid not in {0, uid}:
        return "is not root's alone: the agent refuses to start"
    return "" if os.access(directory, os.W_OK) else "can't be written"


def _clock(surroundings: Surroundings) -> Answer:
    ahead = _seconds_ahead(surroundings.config.state.directory)
    if ahead > MOST_SECONDS_AHEAD:
        found = f"the agent's last heartbeat is {ahead:.0f} s ahead of it"
        costs = "It was set back: alerts from now on look older than those before, and HW-904 misses an absence."
        return Answer(AREA, "clock", Verdict.WARNING, found, costs, "Run chrony or systemd-timesyncd.")
    try:
        is_synchronised = surroundings.is_clock_synchronised()
    except OSError as error:
        return Answer(AREA, "clock", Verdict.WARNING, f"not known: {error.strerror}", "", "")
    if is_synchronised:
        return ok(AREA, "clock", "synchronised")
    costs = "Times in alerts may be wrong: they can't be set beside those of other nodes."
    return Answer(AREA, "clock", Verdict.WARNING, "not synchronised", costs, "Run chrony or systemd-timesyncd.")


def _seconds_ahead(directory: str | None) -> float:
    try:
        return os.stat(f"{directory}/{HEARTBEAT}").st_mtime - time.time() if directory is not None else 0.0
    except OSError:
        return 0.0


def _is_listable(path: str) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False
