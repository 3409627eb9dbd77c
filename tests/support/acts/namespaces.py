"""Escapes by joining a namespace: nsenter, a thread's setns, a foreign container, a whole departure."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.engine import Container
from tests.support.hierarchies import HOST_CGROUPS, own_cgroup
from tests.support.patience import patient
from tests.support.processes import (
    cgroups,
    end,
    file_id,
    find_processes,
    namespace,
    parent,
    require,
    shares_namespace,
    unique_seconds,
    wait_for_process,
    wait_until,
)
from tests.support.stage import CRITICAL, HIGH, TOOLS, Act, Expected, Outcome, Stage

HOST_PID = "--pid=host"


def _is_in_host_root(pid: int) -> bool:
    return file_id(f"/proc/{pid}/root") == file_id("/")


def _require_moved(container: Container, pid: int, *kinds: str) -> None:
    for kind in kinds:
        require(not shares_namespace(container.pid, kind), f"the container has the host's {kind} namespace anyway")
        require(shares_namespace(pid, kind), f"process {pid} has not got the host's {kind} namespace")
    require(container.id in own_cgroup(pid), "the process left the container's cgroup")


@contextmanager
def enter_host_mount(stage: Stage) -> Iterator[Outcome]:
    """`nsenter -m` into a host process, from a container that was given the host's pids."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, "nsenter", "-t", str(victim.pid), "-m", "--")
        _require_moved(container, pid, "mnt")
        require(_is_in_host_root(pid), "its root is not the host's")
        yield Outcome(container.id, (pid,))


@contextmanager
def enter_host_net(stage: Stage) -> Iterator[Outcome]:
    """`nsenter -n` into a host process: the host's network, from the container's own files."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, "nsenter", "-t", str(victim.pid), "-n", "--")
        _require_moved(container, pid, "net")
        yield Outcome(container.id, (pid,))


@contextmanager
def enter_host_pid_mount_net(stage: Stage) -> Iterator[Outcome]:
    """`nsenter -p -m -n`: the usual one-liner from a pod with hostPID."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, "nsenter", "-t", str(victim.pid), "-p", "-m", "-n", "--")
        _require_moved(container, pid, "mnt", "net")
        require(shares_namespace(pid, "pid"), "it is not in the host's pid namespace")
        # With -p nsenter forks, and stays behind in the same namespaces.
        yield Outcome(container.id, (parent(pid), pid))


@contextmanager
def enter_host_ipc_uts(stage: Stage) -> Iterator[Outcome]:
    """`nsenter -i -u`: the small namespaces, which nobody looks at."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, "nsenter", "-t", str(victim.pid), "-i", "-u", "--")
        _require_moved(container, pid, "ipc", "uts")
        yield Outcome(container.id, (pid,))


@contextmanager
def enter_host_mount_as_runc(stage: Stage) -> Iterator[Outcome]:
    """The same by a program that calls itself `runc`, which monitors that go by names let pass."""
    seconds = unique_seconds()
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        stage.shell(container, f"cp {TOOLS}/leave /tmp/runc")
        arguments = ("/tmp/runc", "stay", str(victim.pid), "-", "/bin/sleep", seconds)
        stage.engine.execute(container, *arguments, options=("-d",))
        pid = wait_for_process(seconds, first="sleep")
        _require_moved(container, pid, "mnt", "net", "ipc", "uts")
        yield Outcome(container.id, (pid,))


@contextmanager
def enter_host_mount_through_host_proc(stage: Stage) -> Iterator[Outcome]:
    """A container with its own pids and the host's /proc as a volume: namespace files are all it needs."""
    with stage.victim() as victim, stage.capable("-v", "/proc:/host-proc") as container:
        pid = stage.sleep_inside(container, "nsenter", f"--mount=/host-proc/{victim.pid}/ns/mnt", "--")
        _require_moved(container, pid, "mnt")
        yield Outcome(container.id, (pid,))


@contextmanager
def thread_enters_host_mount(stage: Stage) -> Iterator[Outcome]:
    """One thread joins the host's mount namespace, with no exec; /proc/PID/ns/mnt still names the container's."""
    with _thread_in(stage, "mnt") as outcome:
        yield outcome


@contextmanager
def thread_enters_host_net(stage: Stage) -> Iterator[Outcome]:
    """One thread joins the host's network namespace, with no exec."""
    with _thread_in(stage, "net") as outcome:
        yield outcome


@contextmanager
def _thread_in(stage: Stage, kind: str) -> Iterator[Outcome]:
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        path, seconds = f"/proc/{victim.pid}/ns/{kind}", unique_seconds()
        stage.engine.execute(container, f"{TOOLS}/thread_setns", path, seconds, options=("-d",))
        pid = wait_for_process(seconds, first="thread_setns")
        wait_until(lambda: _thread_sharing(pid, kind), f"a thread in the host's {kind} namespace")
        require(not shares_namespace(pid, kind), "the whole process moved, not one thread")
        yield Outcome(container.id, (pid, _thread_sharing(pid, kind)))


def _thread_sharing(pid: int, kind: str) -> int:
    """The tid of the second thread if it shares the host's namespace, else 0. The kernel numbers threads like pids."""
    for tid in range(pid + 1, pid + 200):
        try:
            if namespace(pid, kind, tid=tid) == namespace("self", kind):
                return tid
        except FileNotFoundError:
            continue
    return 0


@contextmanager
def go_out_and_back(stage: Stage) -> Iterator[Outcome]:
    """Joins the host's network for 60 ms, forty times in five seconds, and is at home in between and in the end."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        path, seconds = f"/proc/{victim.pid}/ns/net", unique_seconds()
        stage.engine.execute(container, f"{TOOLS}/setns_loop", path, "40", seconds, options=("-d",))
        pid = wait_for_process(seconds, first="setns_loop")
        for _ in range(2):
            wait_until(lambda: shares_namespace(pid, "net"), "the host's network namespace")
            wait_until(lambda: not shares_namespace(pid, "net"), "the container's network namespace again")
        yield Outcome(container.id, (pid,))


@contextmanager
def enter_other_container(stage: Stage) -> Iterator[Outcome]:
    """Joins the mount and network namespace of a neighbour: not the host, and not its own either."""
    with stage.container() as neighbour, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, "nsenter", "-t", str(neighbour.pid), "-m", "-n", "--")
        for kind in ("mnt", "net"):
            require(shares_namespace(pid, kind, neighbour.pid), f"it has not got the neighbour's {kind} namespace")
        require(container.id in own_cgroup(pid), "the process left its cgroup")
        yield Outcome(container.id, (pid,))


@contextmanager
def leave_by_double_fork(stage: Stage) -> Iterator[Outcome]:
    """Every namespace, every cgroup and the parent are the host's in a few milliseconds: only ancestry tells."""
    with _departed(stage, "fork", wait_seconds=0.3) as outcome:
        require(parent(outcome.pids[0]) != 0, "it has gone")
        yield outcome


@contextmanager
def leave_in_place(stage: Stage) -> Iterator[Outcome]:
    """The same without a fork, by a process that was seen in the container for two seconds before it left."""
    with _departed(stage, "stay", wait_seconds=2) as outcome:
        yield outcome


@contextmanager
def _departed(stage: Stage, mode: str, wait_seconds: float) -> Iterator[Outcome]:
    seconds = unique_seconds()
    script = f'sleep {patient(wait_seconds)}; exec {TOOLS}/leave {mode} "$1" /host-cgroups /bin/sleep "$2"'
    with stage.victim() as victim, stage.capable(HOST_PID, *HOST_CGROUPS) as container:
        stage.engine.execute(container, "sh", "-c", script, "sh", str(victim.pid), seconds, options=("-d",))
        leaver = wait_for_process(seconds, first="sh")  # it leaves, and has the children that run the program
        pid = wait_for_process(seconds, first="/bin/sleep")
        try:
            require(container.id not in "".join(cgroups(pid).values()), f"still in the container: {cgroups(pid)}")
            for kind in ("mnt", "net", "ipc", "uts", "pid", "user"):
                require(shares_namespace(pid, kind), f"it has not got the host's {kind} namespace")
            yield Outcome(container.id, (pid, leaver))
        finally:
            # It is in no cgroup of the container any more, so nobody else ends it.
            for left in find_processes(seconds):
                end(left)


ACTS = (
    Act("enter_host_mount", enter_host_mount, (Expected("HW-101", CRITICAL), Expected("HW-103", CRITICAL))),
    Act("enter_host_net", enter_host_net, (Expected("HW-101", HIGH),)),
    Act("enter_host_pid_mount_net", enter_host_pid_mount_net, (Expected("HW-101", CRITICAL),)),
    Act("enter_host_ipc_uts", enter_host_ipc_uts, (Expected("HW-101", HIGH),)),
    Act("enter_host_mount_as_runc", enter_host_mount_as_runc, (Expected("HW-101", CRITICAL),)),
    Act("enter_host_mount_through_host_proc", enter_host_mount_through_host_proc, (Expected("HW-101", CRITICAL),)),
    Act("thread_enters_host_mount", thread_enters_host_mount, (Expected("HW-101", CRITICAL),)),
    Act("thread_enters_host_net", thread_enters_host_net, (Expected("HW-101", HIGH),)),
    Act("go_out_and_back", go_out_and_back, (Expected("HW-101", HIGH),)),
    Act("enter_other_container", enter_other_container, (Expected("HW-102", HIGH),)),
    Act("leave_by_double_fork", leave_by_double_fork, (Expected("HW-106", CRITICAL),), weakest="netlink"),
    Act("leave_in_place", leave_in_place, (Expected("HW-106", CRITICAL),)),
)
