"""Single system calls of the ways out, each made by a process that ends at once: only the eBPF tier sees those."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.patience import patient
from tests.support.processes import is_alive, require, wait_until
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
)

HOST_PID = "--pid=host"
NOT_BUILT_IN = 38  # ENOSYS
Perform = Callable[[Stage], AbstractContextManager[Outcome]]


def call_once(stage: Stage, container: Container, name: str, *arguments: object) -> tuple[int, int]:
    """Have a process of the container make one call; its result, and the errno where it failed."""
    words = stage.engine.execute(container, f"{TOOLS}/call_once", name, *map(str, arguments)).split()
    require(words[:1] == [name], f"it said {words}")
    return int(words[1]), int(words[2])


def succeeds(name: str, *arguments: object, options: tuple[str, ...] = ()) -> Perform:
    """A container that may do everything makes a call, and it succeeds."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.capable(*options) as container:
            result, error = call_once(stage, container, name, *arguments)
            require(result >= 0, f"{name} failed with {error}")
            yield Outcome(container.id)

    return perform


def fails(name: str, *, within: tuple[int, ...]) -> Perform:
    """A container that may do everything makes a call that no kernel grants as it is made here."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.capable() as container:
            result, error = call_once(stage, container, name)
            require(result < 0 and error in within, f"{name} gave {result}, {error}")
            yield Outcome(container.id)

    return perform


def reaches(name: str, *more: Callable[[int], object]) -> Perform:
    """A container with the host's pid namespace goes after a process of the host."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.victim() as victim, stage.capable(HOST_PID) as container:
            stage.let_it_be_seen()
            result, error = call_once(stage, container, name, victim.pid, *(each(victim.pid) for each in more))
            require(result >= 0, f"{name} failed with {error}")
            yield Outcome(container.id)

    return perform


def _bottom_of_stack(pid: int) -> str:
    """An address that the process can do without: its stack has not grown there."""
    line = next(line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if line.endswith("[stack]"))
    return "0x" + line.partition("-")[0]


@contextmanager
def end_host_process(stage: Stage) -> Iterator[Outcome]:
    """`kill` of a process of the host, from a container with the host's pid namespace."""
    with stage.victim() as victim, stage.container(HOST_PID) as container:
        stage.let_it_be_seen()
        stage.shell(container, 'kill -TERM "$1"', str(victim.pid))
        wait_until(lambda: victim.poll() is not None, "the end of the victim")
        yield Outcome(container.id)


@contextmanager
def end_own_process(stage: Stage) -> Iterator[Outcome]:
    """`kill` of a process of the same container: a control."""
    with stage.container() as container:
        pid = stage.sleep_inside(container)
        stage.shell(container, "pkill -TERM sleep || kill -TERM $(pidof sleep)")
        wait_until(lambda: not is_alive(pid), "the end of the sleep")
        yield Outcome(container.id)


@contextmanager
def make_disk_node(stage: Stage) -> Iterator[Outcome]:
    """`mknod` of the disk that the host's root lives on, with nothing but Docker's default capabilities."""
    device = os.stat("/").st_dev
    if not Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").exists():
        raise CannotHereError("the host's root lives on no block device")
    with stage.container() as container:
        result, error = call_once(stage, container, "mknod_block", "/tmp/disk", device)
        require(result == 0, f"mknod failed with {error}")
        yield Outcome(container.id)


@contextmanager
def open_host_root_by_handle(stage: Stage) -> Iterator[Outcome]:
    """The host's root directory by its inode, through the file system of the container's /etc/hosts: "shocker"."""
    with stage.capable() as container:
        hosts = next(Path(f"/proc/{container.pid}/root").glob("etc/hosts"))
        if hosts.stat().st_dev != os.stat("/").st_dev:
            raise CannotHereError("/etc/hosts of containers is not on the file system of the host's root")
        result, error = call_once(stage, container, "open_by_handle_at", "/etc/hosts", os.stat("/").st_ino)
        require(result >= 0, f"open_by_handle_at failed with {error}")
        yield Outcome(container.id)


@contextmanager
def open_by_handle_refused(stage: Stage) -> Iterator[Outcome]:
    """The same without CAP_DAC_READ_SEARCH."""
    with stage.container() as container:
        result, error = call_once(stage, container, "open_by_handle_at", "/etc/hosts", 2)
        require(result < 0 and error == 1, f"it gave {result}, {error}")
        yield Outcome(container.id)


@contextmanager
def chroot_for_a_moment(stage: Stage) -> Iterator[Outcome]:
    """`chroot /host true`: over in a millisecond."""
    with stage.container("-v", "/:/host") as container:
        stage.let_it_be_seen()
        listed = stage.shell(container, f"sleep {patient(0.5)}; chroot /host /bin/ls /")
        require(re.search(r"^etc$", listed, re.MULTILINE), "it did not see the host's /etc")
        yield Outcome(container.id)


@contextmanager
def chroot_refused(stage: Stage) -> Iterator[Outcome]:
    """`chroot` without CAP_SYS_CHROOT."""
    with stage.container("--cap-drop", "SYS_CHROOT", "-v", "/:/host") as container:
        said = stage.shell(container, f"sleep {patient(0.5)}; chroot /host /bin/true 2>&1 || echo refused")
        require("refused" in said, f"it was not refused: {said}")
        yield Outcome(container.id)


@contextmanager
def setns_refused(stage: Stage) -> Iterator[Outcome]:
    """`setns` with a pidfd of a host process, without the capability for it.

    Not `nsenter`, which is refused already when it opens the namespace's file, and never calls setns.
    """
    with stage.container(HOST_PID, *("--security-opt", "seccomp=unconfined")) as container, stage.victim() as victim:
        stage.let_it_be_seen()
        result, error = call_once(stage, container, "setns", victim.pid)
        require(result < 0 and error == errno.EPERM, f"it gave {result}, {error}")
        yield Outcome(container.id)


PERMITTED = (1, 22, NOT_BUILT_IN)

ACTS = (
    Act("trace_host_process", reaches("ptrace"), (Expected("HW-213", CRITICAL),), weakest="ebpf"),
    Act(
        "write_host_memory",
        reaches("process_vm_writev", _bottom_of_stack),
        (Expected("HW-213", CRITICAL),),
        weakest="ebpf",
    ),
    Act("take_host_descriptor", reaches("pidfd_getfd"), (Expected("HW-213", CRITICAL),), weakest="ebpf"),
    Act("end_host_process", end_host_process, (Expected("HW-214", HIGH),), weakest="ebpf"),
    Act("end_own_process", end_own_process, ()),
    Act(
        "load_module",
        fails("init_module", within=(*PERMITTED, 8, 14)),
        (Expected("HW-215", HIGH),),
        weakest="ebpf",
    ),
    Act("load_kernel", fails("kexec_load", within=PERMITTED), (Expected("HW-217", HIGH),), weakest="ebpf"),
    Act("reboot_node", fails("reboot", within=PERMITTED), (Expected("HW-217", MEDIUM),), weakest="ebpf"),
    Act("make_bpf_map", succeeds("bpf"), (Expected("HW-216", MEDIUM),), weakest="ebpf"),
    Act("count_events_of_all", succeeds("perf_event_open", -1), (Expected("HW-216", MEDIUM),), weakest="ebpf"),
    Act("make_disk_node", make_disk_node, (Expected("HW-203", CRITICAL),), weakest="ebpf"),
    Act("make_memory_node", succeeds("mknod_mem", "/tmp/mem"), (Expected("HW-204", HIGH),), weakest="ebpf"),
    Act("open_host_root_by_handle", open_host_root_by_handle, (Expected("HW-218", CRITICAL),), weakest="ebpf"),
    Act("open_by_handle_refused", open_by_handle_refused, (Expected("HW-218", MEDIUM),), weakest="ebpf"),
    Act("make_userfaultfd", succeeds("userfaultfd"), (Expected("HW-225", LOW),), weakest="ebpf"),
    Act("add_key", succeeds("add_key"), (Expected("HW-225", LOW),), weakest="ebpf"),
    Act("make_io_uring", succeeds("io_uring_setup"), (Expected("HW-225", LOW),), weakest="ebpf"),
    Act("call_as_32_bits", succeeds("int80"), (Expected("HW-225", LOW),), weakest="ebpf"),
    Act("make_raw_socket", succeeds("raw_socket"), (Expected("HW-228", LOW),), weakest="ebpf"),
    Act("chroot_for_a_moment", chroot_for_a_moment, (Expected("HW-202", HIGH),), weakest="ebpf"),
    Act("chroot_refused", chroot_refused, (Expected("HW-202", MEDIUM),), weakest="ebpf"),
    Act("setns_refused", setns_refused, (Expected("HW-201", MEDIUM),), weakest="ebpf"),
)
