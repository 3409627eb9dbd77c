"""The single calls of the ways out, really made by a child that is marked as a container's task by hand, are told."""

import ctypes
import errno
import functools
import os
import signal
import struct
from collections.abc import Callable, Iterator

import pytest

from collectors.ebpf.acts import act_calls_by_number
from collectors.ebpf.records import CAUSE_SIGNAL
from tests.support.ebpf_kernel import BTF, Kernel, child, perform

NUMBERS = {call.name: number for number, call in act_calls_by_number().items()}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def system_call(name: str, *arguments: int | bytes) -> Callable[[], object]:
    """A call by its number: the C library wraps few of these."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return lambda: ctypes.CDLL(None).syscall(ctypes.c_long(NUMBERS[name]), *words)


COMMANDS = [  # as they are made here no kernel does what they are for
    ("init_module", (b"", 0, b"")),
    ("finit_module", (-1, b"", 0)),
    ("delete_module", (b"no such module", os.O_NONBLOCK)),
    ("kexec_load", (0, 0, 0, -1)),
    ("kexec_file_load", (-1, -1, 0, b"", -1)),
    ("reboot", (0, 0, 0, 0)),
    ("bpf", (0, struct.pack("<16I", 2, 4, 4, 1, *bytes(12)), 64)),
    ("perf_event_open", (struct.pack("<IIQ", 1, 64, 0).ljust(64, b"\0"), 0, -1, -1, 0)),
    ("userfaultfd", (os.O_CLOEXEC,)),
    ("add_key", (b"user", b"hullwatch", b"x", 1, -1)),
    ("keyctl", (0, -1, 1)),
    ("io_uring_setup", (2, bytes(256))),
]


@pytest.mark.parametrize(("name", "arguments"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_call_that_belongs_to_the_ways_out_is_told(
    kernel: Kernel, name: str, arguments: tuple[int | bytes, ...]
) -> None:
    (told,) = perform(kernel, system_call(name, *arguments))
    assert told.task.header.call == NUMBERS[name]
    assert told.act.arguments[0] == arguments[0] or isinstance(arguments[0], bytes) or arguments[0] < 0


def test_a_file_that_is_made_in_memory_is_told_once_with_its_name(kernel: Kernel) -> None:
    (told,) = perform(kernel, lambda: [os.memfd_create(name) for name in ("payload", "other")])
    assert (told.task.header.call, told.act.path) == (NUMBERS["memfd_create"], b"/memfd:payload")
    assert told.act.inode


def test_a_file_by_its_handle_is_told_also_when_it_is_refused(kernel: Kernel) -> None:
    root = os.open("/", os.O_RDONLY)
    handle = struct.pack("<Ii2I", 8, 1, os.stat("/").st_ino & 0xFFFFFFFF, 0)  # FILEID_INO32_GEN
    (told,) = perform(kernel, system_call("open_by_handle_at", root, handle, os.O_RDONLY))
    assert told.task.header.call == NUMBERS["open_by_handle_at"]

    def refused() -> None:
        os.setuid(65534)
        system_call("open_by_handle_at", root, handle, os.O_RDONLY)()

    (told,) = perform(kernel, refused)
    os.close(root)
    assert told.task.header.result == -errno.EPERM


@pytest.mark.parametrize("name", ["process_vm_writev", "pidfd_getfd"])
def test_what_reaches_into_a_process_outside_is_told_and_inside_it_is_not(kernel: Kernel, name: str) -> None:
    victim, writer = child(lambda: None)

    def reach() -> None:
        of = victim if name == "process_vm_writev" else os.pidfd_open(victim)
        system_call(name, of, 0, 0, 0, 0, 0)()

    try:
        (told,) = perform(kernel, reach)
        assert (told.task.header.call, told.act.target_pid) == (NUMBERS[name], victim)
        kernel.mark(victim)
        assert perform(kernel, reach) == []
    finally:
        os.write(writer, b"x")
        os.waitpid(victim, 0)
        os.close(writer)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of these calls are those of x86-64")
@pytest.mark.parametrize("way", ["tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo"])
def test_every_call_that_sends_a_signal_is_seen(kernel: Kernel, way: str) -> None:
    victim, writer = child(lambda: None)
    numbers = {"tkill": 200, "tgkill": 234, "pidfd_send_signal": 424, "rt_sigqueueinfo": 129}  # x86-64
    info = struct.pack("<3i", signal.SIGTERM, 0, -1).ljust(128, b"\0")  # SI_QUEUE

    def send() -> None:
        call = functools.partial(ctypes.CDLL(None).syscall, numbers[way])
        match way:
            case "tkill":
                assert call(victim, signal.SIGTERM) == 0
            case "tgkill":
                assert call(victim, victim, signal.SIGTERM) == 0
            case "pidfd_send_signal":
                assert call(os.pidfd_open(victim), signal.SIGTERM, None, 0) == 0
            case _:
                assert call(victim, signal.SIGTERM, info) == 0

    try:
        (told,) = perform(kernel, send)
        assert (told.task.header.call, told.act.target_pid) == (CAUSE_SIGNAL, victim)
    finally:
        os.waitpid(victim, 0)
        os.close(writer)
