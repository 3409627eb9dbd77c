"""The examination of this node: reads what the questions are asked of, and asks them all."""

from __future__ import annotations

import ctypes
import os
import socket

from agent.assembly import assemble
from agent.config_schema import Config
from agent.doctor import cluster, places, privileges, runtimes, sensors
from agent.doctor.base import Answer, Surroundings, Verdict
from agent.ebpf_assembly import new_ebpf_source
from collectors.bounded import unknown
from collectors.connector.netlink import ConnectorSocket
from collectors.ebpf.libbpf import LIBRARY, load_library
from collectors.errors import CollectorError
from collectors.events import Event
from collectors.facts import Namespaces, Unknown
from collectors.inotify import Inotify
from collectors.proc.attr import read_label
from collectors.proc.ns import read_namespaces
from collectors.proc.status import Status, read_status

CHECKS = (privileges.check, places.check, runtimes.check, cluster.check, sensors.check)
"""Every area, in the order of the report."""

_TIMEX_BYTES = 512  # struct timex is 208 (include/uapi/linux/timex.h)
_TIME_ERROR = 5  # the clock is not synchronised (adjtimex(2))
_DOCKER_SECONDS = 2.0
_ANSWER_BYTES = 1024


def examine(surroundings: Surroundings) -> tuple[Answer, ...]:
    """Every answer."""
    return tuple(answer for check in CHECKS for answer in check(surroundings))


def is_well(answers: tuple[Answer, ...]) -> bool:
    """Nothing failed; a warning is no failure."""
    return all(answer.verdict is not Verdict.FAILED for answer in answers)


def read_surroundings(config: Config) -> Surroundings:
    """This node and this process. Raises a ``CollectorError`` or ``OSError`` where there is no /proc to speak of."""
    collectors = assemble(config, _ignore, watch_mounts=False)

    def try_ebpf() -> str:
        source = new_ebpf_source(collectors, _ignore, ring_bytes=config.ebpf.ring_bytes, request_sweep=_nothing)
        try:
            source.open()
            return source.way
        finally:
            source.close()

    def try_connector() -> str:
        connector = ConnectorSocket.open(receive_buffer_bytes=config.netlink.receive_buffer_bytes)
        try:
            return f"the kernel answers; receive buffer {connector.receive_buffer_bytes >> 10} KiB"
        finally:
            connector.close()

    status, label, own = _ourselves()
    return Surroundings(
        config=config,
        roots=collectors.roots,
        host=collectors.host,
        uid=os.geteuid(),
        capabilities=status.capabilities,
        seccomp=status.seccomp,
        label=label,
        own=own,
        kernel=os.uname().release,
        try_connector=try_connector,
        try_library=_try_library,
        try_ebpf=try_ebpf,
        try_inotify=_try_inotify,
        try_docker=lambda: _try_docker(config.containers.docker.socket),
        is_clock_synchronised=_is_clock_synchronised,
        environment=os.environ,
    )


def _try_inotify() -> str:
    Inotify().close()
    return "to be had"


def _ourselves() -> tuple[Status, bytes | Unknown | None, Namespaces]:
    """What confines this very process: by our own /proc, in which "self" is we, whichever /proc is the node's."""
    directory = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            label: bytes | Unknown | None = read_label(directory)
        except CollectorError as error:
            label = unknown(error)
        return read_status(directory), label, read_namespaces(directory)
    finally:
        os.close(directory)


def _try_library() -> str:
    load_library()
    return f"{LIBRARY} is loaded"


def _try_docker(path: str) -> str:
    """The first line that the engine answers; by hand, since importing the SDK takes longer than to ask."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_DOCKER_SECONDS)
        connection.connect(path)
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        answer = connection.recv(_ANSWER_BYTES).split(b"\r\n", 1)[0].decode("ascii", "replace")
    if " 200 " not in f"{answer} ":
        raise OSError(f"no engine answers there: {answer[:80]!r}")
    return answer


def _is_clock_synchronised() -> bool:
    """What the kernel was told by whoever keeps the time; asks and sets nothing (adjtimex(2) with no modes)."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(state) != _TIME_ERROR


def _ignore(_: Event) -> None:
    """The doctor watches nothing."""


def _nothing() -> None:
    """Nor does it sweep."""
