"""Connections that lead out: to who governs containers, to the node's and the cloud's services, and raw ones."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.processes import host_process, namespace, require, unique_seconds, wait_until
from tests.support.stage import (
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
    unique_name,
)

METADATA = "169.254.169.254"
DOCKER_PORT, METADATA_PORT = 2375, 80
NODE_ADDRESS, CONTAINER_ADDRESS = "192.0.2.1", "192.0.2.2"  # RFC 5737: nobody's


@contextmanager
def use_given_runtime_socket(stage: Stage) -> Iterator[Outcome]:
    """A connection to containerd by its socket, at its usual place, which was mounted on purpose."""
    socket = Path("/run/docker/containerd/containerd.sock")
    if not socket.is_socket():
        raise CannotHereError("the engine's containerd has its socket at another place")
    with stage.container("-v", f"{socket}:/engine.sock") as container:
        pid = stage.sleep_inside(container, f"{TOOLS}/hold", "unix", "/engine.sock")
        yield Outcome(container.id, (pid,), text=str(socket))


@contextmanager
def use_given_engine_socket(stage: Stage) -> Iterator[Outcome]:
    """The same with the engine's own socket, wherever that is: perhaps where no list has it."""
    with stage.container("-v", f"{stage.engine.socket}:/engine.sock") as container:
        pid = stage.sleep_inside(container, f"{TOOLS}/hold", "unix", "/engine.sock")
        yield Outcome(container.id, (pid,), text=str(stage.engine.socket))


@contextmanager
def _disguised_engine(stage: Stage, directory: Path) -> Iterator[Path]:
    """A second engine under another name, which listens where no list looks; its socket."""
    program, socket = directory / "plain", directory / "plain.sock"
    shutil.copy(needs_program("dockerd"), program)
    options = [*("--containerd", _containerd(stage)), *("--containerd-namespace", unique_name()), *("--group", "root")]
    options += ["--containerd-plugins-namespace", unique_name(), "--data-root", str(directory / "data")]
    options += ["--exec-root", str(directory / "exec"), "--pidfile", str(directory / "pid"), "--bridge", "none"]
    options += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    with host_process(str(program), "-H", f"unix://{socket}", "--storage-driver", "vfs", *options) as daemon:
        try:
            wait_until(socket.is_socket, "the disguised engine", timeout_seconds=30)
            yield socket
        finally:
            daemon.terminate()
            daemon.wait(timeout=30)
            for each in (directory / "exec/netns", directory / "exec"):
                subprocess.run(("umount", "-l", str(each)), check=False, capture_output=True, timeout=30)


def _containerd(stage: Stage) -> str:
    """The socket of the engine's own containerd."""
    socket = stage.engine.exec_root / "containerd/containerd.sock"
    if not socket.is_socket():
        raise CannotHereError("the engine's containerd has its socket at another place")
    return str(socket)


@contextmanager
def use_disguised_engine(stage: Stage) -> Iterator[Outcome]:
    """A connection to an engine that no name gives away, neither its program's nor its socket's."""
    with host_directory() as directory, _disguised_engine(stage, directory) as socket:
        stage.let_it_be_seen()
        with stage.container("-v", f"{socket}:/run/plain.sock") as container:
            pid = stage.sleep_inside(container, f"{TOOLS}/hold", "unix", "/run/plain.sock")
            yield Outcome(container.id, (pid,), text=str(socket))


@contextmanager
def mount_directory_of_later_engine(stage: Stage) -> Iterator[Outcome]:
    """A directory that is empty when the container starts, and in which an engine listens later."""
    with host_directory() as directory, stage.container("-v", f"{directory}:/given") as container:
        stage.let_it_be_seen()
        with _disguised_engine(stage, directory) as socket:
            require(stage.shell(container, "ls /given/*.sock") != "", "it has not got the socket")
            yield Outcome(container.id, text=str(socket))


@contextmanager
def use_log_socket(stage: Stage) -> Iterator[Outcome]:
    """A connection to a daemon of the host that governs nothing, by a socket like /dev/log: a control."""
    seconds = unique_seconds(120)
    with host_directory() as directory:
        script = (
            "import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(%s)"
        )
        with host_process(sys.executable, "-c", script % seconds, f"{directory}/log"):
            wait_until((directory / "log").is_socket, "the log's socket")
            with stage.container("-v", f"{directory}/log:/dev/log") as container:
                pid = stage.sleep_inside(container, f"{TOOLS}/hold", "unix", "/dev/log")
                yield Outcome(container.id, (pid,))


@contextmanager
def use_engine_socket_through_proc(stage: Stage) -> Iterator[Outcome]:
    """The same from a container that was given nothing but the host's pids: through a host process' root."""
    with stage.victim() as victim, stage.capable("--pid=host") as container:
        path = f"/proc/{victim.pid}/root{stage.engine.socket}"
        pid = stage.sleep_inside(container, f"{TOOLS}/hold", "unix", path)
        yield Outcome(container.id, (pid,), text=str(stage.engine.socket))


@contextmanager
def _neighbourhood(container: Container, address: str, port: int) -> Iterator[None]:
    """A network namespace of our own beside the container's, and a listener in it: nothing of the host's is touched."""
    needs_program("ip")
    near, far, seconds = unique_name(), unique_name(), unique_seconds(120)
    with host_process("unshare", "-n", "sleep", seconds) as owner:
        wait_until(lambda: namespace(owner.pid, "net") != namespace("self", "net"), "a network namespace")
        outside = ("nsenter", "-t", str(owner.pid), "-n")
        inside = ("nsenter", "-t", str(container.pid), "-n")
        link = ("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", str(container.pid))
        run_on_host(*outside, *link)
        run_on_host(*outside, "ip", "address", "add", f"{address}/32", "dev", near)
        run_on_host(*outside, "ip", "link", "set", near, "up")
        run_on_host(*inside, "ip", "address", "add", f"{CONTAINER_ADDRESS}/32", "dev", far)
        run_on_host(*inside, "ip", "link", "set", far, "up")
        run_on_host(*inside, "ip", "route", "add", f"{address}/32", "dev", far)
        run_on_host(*outside, "ip", "route", "add", f"{CONTAINER_ADDRESS}/32", "dev", near)
        busybox = needs_program("busybox")
        with host_process(*outside, busybox, "nc", "-l", "-p", str(port), "-e", "/bin/sleep", seconds):
            wait_until(lambda: _listens(owner.pid, port), f"a listener on port {port}")
            yield


def _listens(pid: int, port: int) -> bool:
    """/proc/PID/net/tcp{,6}: state 0A is LISTEN (include/net/tcp_states.h)."""
    rows: list[list[str]] = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}") as file:
            rows += [line.split() for line in file]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows[1:] if len(row) > 3)


def _contact(address: str, port: int) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A TCP connection to a service, which is kept."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container() as container, _neighbourhood(container, address, port):
            pid = stage.sleep_inside(container, "sh", "-c", 'exec nc "$0" "$1" -e "$2" "$3"', address, str(port))
            require(os.readlink(f"/proc/{pid}/fd/0").startswith("socket:"), "it is not connected")
            yield Outcome(container.id, (pid,), text=address)

    return perform


def _raw(kind: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A packet socket or a raw one; CAP_NET_RAW is Docker's default."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container() as container:
            pid = stage.sleep_inside(container, f"{TOOLS}/hold", kind, "-")
            yield Outcome(container.id, (pid,), text=kind)

    return perform


ACTS = (
    Act(
        "use_given_runtime_socket",
        use_given_runtime_socket,
        (Expected("HW-304", MEDIUM), Expected("HW-210", LOW), Expected("HW-001", MEDIUM)),
    ),
    Act("use_given_engine_socket", use_given_engine_socket, (Expected("HW-304", MEDIUM), Expected("HW-210", LOW))),
    Act("use_disguised_engine", use_disguised_engine, (Expected("HW-304", MEDIUM), Expected("HW-210", LOW))),
    Act("mount_directory_of_later_engine", mount_directory_of_later_engine, (Expected("HW-304", MEDIUM),)),
    Act("use_log_socket", use_log_socket, ()),
    Act("use_engine_socket_through_proc", use_engine_socket_through_proc, (Expected("HW-210", HIGH),)),
    Act("contact_docker_port", _contact(NODE_ADDRESS, DOCKER_PORT), (Expected("HW-211", HIGH),)),
    Act("contact_metadata_service", _contact(METADATA, METADATA_PORT), (Expected("HW-212", MEDIUM),)),
    Act("open_packet_socket", _raw("packet"), (Expected("HW-228", LOW),)),
    Act("open_raw_socket", _raw("raw"), (Expected("HW-228", LOW),)),
)
