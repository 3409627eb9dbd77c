"""What the agent reads: the host's processes, mounts, cgroups and runtimes, and where it keeps its own state."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from agent.doctor.base import Answer, Surroundings, Verdict, off, ok
from collectors.containers.runtime_state import BUNDLE_DIRECTORIES, STATE_DIRECTORIES
from collectors.containers.state_directory import resolve_directory
from collectors.errors import CollectorError
from collectors.facts import Unknown

AREA = "places"
MAX_PROCESSES = 4096
LEAST_FREE_BYTES = 64 << 20


def check(surroundings: Surroundings) -> Iterator[Answer]:
    """Namespaces, /proc, /sys, the host's files, runtimes, Docker, the state directory, the clock."""
    yield _pid_namespace(surroundings)
    yield _net_namespace(surroundings)
    yield _processes(surroundings)
    yield _baseline(surroundings)
    yield _cgroups(surroundings)
    yield _runtimes(surroundings)
    yield _docker(surroundings)
    yield _state(surroundings)
    yield _clock(surroundings)


def _pid_namespace(surroundings: Surroundings) -> Answer:
    if _is_hosts(surroundings, "pid"):
        return ok(AREA, "host's pids", "the host's pid namespace")
    return Answer(
        AREA,
        "host's pids",
        Verdict.FAILED,
        "a pid namespace of its own",
        "Only processes of that namespace are seen, not the node's.",
        "In a pod: hostPID: true. With docker: --pid=host.",
    )


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
    version = "v2" if os.path.exists(f"{path}/cgroup.controllers") else "v1 or hybrid"
    return ok(AREA, "cgroups", f"{path} ({version})")


def _runtimes(surroundings: Surroundings) -> Answer:
    extra = surroundings.config.containers.state_directories
    known = [
        *((each.runtime, each.path) for each in BUNDLE_DIRECTORIES if "*" not in each.path),
        *((each.runtime, each.path) for each in STATE_DIRECTORIES if "*" not in each.path),
        *(("configured", each) for each in extra),
    ]
    found: dict[str, str] = {}  # by the real path: /var/run is a link
    for runtime, path in known:
        try:
            found.setdefault(resolve_directory(surroundings.roots.host, path), runtime)
        except CollectorError:
            continue
    if found:
        return ok(AREA, "runtimes", ", ".join(f"{runtime} ({path})" for path, runtime in found.items()))
    costs = "What containers were declared to be, and their names, is not known: exposure and diff are blind."
    mend = (
        "Where a runtime is installed: in a pod mount hostPath /run with mountPropagation HostToContainer; a directory "
        "elsewhere belongs in containers.state_directories."
    )
    return Answer(AREA, "runtimes", Verdict.WARNING, "no state directory of a runtime is there", costs, mend)


def _docker(surroundings: Surroundings) -> Answer:
    docker = surroundings.config.containers.docker
    if docker.enabled is False:
        return off(AREA, "Docker API", "off in the configuration")
    if docker.enabled == "auto" and not os.path.exists(docker.socket):
        return off(AREA, "Docker API", f"no socket at {docker.socket}")
    try:
        return ok(AREA, "Docker API", f"{docker.socket}: {surroundings.try_docker()}")
    except OSError as error:
        verdict = Verdict.FAILED if docker.enabled is True else Verdict.WARNING
        costs = "Containers of docker have no names, images and labels; detection works without."
        mend = "Mount the socket and name it in containers.docker.socket, or set containers.docker.enabled: false."
        return Answer(AREA, "Docker API", verdict, f"{docker.socket}: {error.strerror or error}", costs, mend)


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
    try:
        is_synchronised = surroundings.is_clock_synchronised()
    except OSError as error:
        return Answer(AREA, "clock", Verdict.WARNING, f"not known: {error.strerror}", "", "")
    if is_synchronised:
        return ok(AREA, "clock", "synchronised")
    costs = "Times in alerts may be wrong: they can't be set beside those of other nodes."
    return Answer(AREA, "clock", Verdict.WARNING, "not synchronised", costs, "Run chrony or systemd-timesyncd.")


def _is_listable(path: str) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False
