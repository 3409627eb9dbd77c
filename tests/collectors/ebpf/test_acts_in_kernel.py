"""The programs really see acts: of a child that is marked as a container's task by hand. No container, no agent."""

import contextlib
import ctypes
import errno
import functools
import os
import pty
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.ebpf.acts import ActRecord, How, act_calls_by_number
from collectors.ebpf.connections import remote_of
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.processes import file_id
from collectors.ebpf.records import (
    CAUSE_CHANGE,
    CAUSE_IO_URING,
    CAUSE_SIGNAL,
    TaskRecord,
    decode,
    split_rows,
)
from collectors.events import WatchKind
from collectors.watched_objects import Pattern, Watch
from tests.support import io_uring
from tests.support.ebpf_kernel import BTF, VERDICT, Kernel, child, perform

NUMBERS = {call.name: number for number, call in act_calls_by_number().items()}
LOOP = os.makedev(7, 0)
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
CLONE_NEWUTS = 0x04000000  # include/uapi/linux/sched.h
SEIZE = 0x4206  # include/uapi/linux/ptrace.h

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory that stands for the host's root."""
    for name in ("secret", "cron.d/job", "units/deep/x.service", "plain"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


@pytest.fixture(scope="module")
def loaded() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


@pytest.fixture
def kernel(loaded: Kernel, host: Path) -> Kernel:
    patterns = (
        Pattern("/secret", WatchKind.SECRET, Watch.READ),
        Pattern("/cron.d", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES),
        Pattern("/units", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES | Watch.BELOW),
    )
    ObjectWatch(patterns, str(host), 0, clock_ns=time.monotonic_ns).look(loaded.programs)
    return loaded


def opens(path: Path, device: int) -> bool:
    """Make a node of a disk, and see whether it can be opened."""
    os.mknod(path, 0o60600, device)
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def hows(acts: list[ActRecord]) -> list[How]:
    return [How(each.act.how) for each in acts if each.act.how]


def test_a_secret_that_is_read_is_told_whatever_leads_there(kernel: Kernel, host: Path) -> None:
    (host / "link").symlink_to("secret")
    os.link(host / "secret", host / "other")
    for name in ("secret", "link", "other"):
        (told,) = perform(kernel, functools.partial(os.open, host / name, os.O_RDONLY))
        assert (told.act.how, told.act.watched, told.act.inode) == (How.READ, 1, (host / "secret").stat().st_ino)
        assert told.act.path.endswith(b"/other" if name == "other" else b"/secret")
        assert told.task.header.call in {NUMBERS["openat"], NUMBERS.get("open")}


def test_the_same_by_one_process_is_told_once(kernel: Kernel, host: Path) -> None:
    assert len(perform(kernel, lambda: [os.open(host / "secret", os.O_RDONLY) for _ in range(50)])) == 1


def test_what_nobody_watches_is_not_told(kernel: Kernel, host: Path) -> None:
    def act() -> None:
        os.close(os.open(host / "plain", os.O_RDWR))
        os.close(os.open(host / "new", os.O_WRONLY | os.O_CREAT))
        (host / "new").rename(host / "newer")
        (host / "cron.d/job").read_text()

    assert perform(kernel, act) == []


@pytest.mark.parametrize("name", ["cron.d/new", "units/new", "units/deep/new", "cron.d/job"])
def test_a_file_that_is_written_in_a_watched_directory_is_told(kernel: Kernel, host: Path, name: str) -> None:
    told = perform(kernel, lambda: os.open(host / name, os.O_WRONLY | os.O_CREAT))
    assert How.ENTRY in hows(told)
    assert next(each for each in told if each.act.how == How.ENTRY).act.path.endswith(name.encode())


def test_below_is_not_entries(kernel: Kernel, host: Path) -> None:
    (host / "cron.d/deep").mkdir()
    assert perform(kernel, lambda: (host / "cron.d/deep/x").write_text("x")) == []


@pytest.mark.parametrize("call", [os.rename, os.link, os.symlink])
@pytest.mark.parametrize("name", ["cron.d/new", "units/deep/new"])
def test_a_name_that_is_put_into_a_watched_directory_is_told(
    kernel: Kernel, host: Path, call: Callable[[Path, Path], None], name: str
) -> None:
    if not kernel.has_changes:
        pytest.skip("this kernel tells no change of an inode (Linux 6.13)")
    (told,) = perform(kernel, lambda: call(host / "plain", host / name))
    assert (told.act.how, told.task.header.call) == (How.CHANGED, CAUSE_CHANGE)
    assert told.act.inode == (host / name).parent.stat().st_ino


def test_an_object_that_is_replaced_is_watched_again(kernel: Kernel, host: Path) -> None:
    (host / "token").write_text("old")
    objects = ObjectWatch((Pattern("/token", WatchKind.SECRET, Watch.READ),), str(host), 0, clock_ns=lambda: 0)
    objects.look(kernel.programs)
    (host / "fresh").write_text("new")
    (host / "fresh").rename(host / "token")
    assert perform(kernel, lambda: os.open(host / "token", os.O_RDONLY)) == []
    objects.look(kernel.programs)
    (told,) = perform(kernel, lambda: os.open(host / "token", os.O_RDONLY))
    assert objects.objects(told.act.watched)[0].path == "/token"


def test_a_set_uid_bit_is_told_by_path_and_by_descriptor(kernel: Kernel, host: Path) -> None:
    (told,) = perform(kernel, lambda: (host / "plain").chmod(0o4755))
    assert (told.act.how, told.act.mode, told.act.path) == (How.MODE, 0o4755, str(host / "plain").encode())
    (told,) = perform(kernel, lambda: os.fchmod(os.open(host / "plain", os.O_RDONLY), 0o2755))
    assert (told.act.mode, told.act.inode) == (0o2755, (host / "plain").stat().st_ino)
    assert perform(kernel, lambda: (host / "plain").chmod(0o755)) == []


def test_file_capabilities_are_told_and_no_other_attribute(kernel: Kernel, host: Path) -> None:
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # include/uapi/linux/capability.h, revision 2
    (told,) = perform(kernel, lambda: os.setxattr(host / "plain", "security.capability", capability))
    assert (told.act.how, told.act.path) == (How.CAPABILITIES, str(host / "plain").encode())
    assert perform(kernel, lambda: os.setxattr(host / "plain", "user.note", b"x")) == []


def test_file_capabilities_are_told_by_whatever_call(kernel: Kernel, host: Path) -> None:
    path, value = os.fsencode(host / "plain"), struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)

    def give(name: bytes, value: bytes) -> None:
        room = ctypes.create_string_buffer(value)
        arguments = ctypes.create_string_buffer(struct.pack("<QII", ctypes.addressof(room), len(value), 0))
        size = ctypes.c_long(16)  # of all 64 bits
        assert LIBC.syscall(NUMBERS["setxattrat"], AT_FDCWD, path, 0, name, arguments, size) == 0

    if (
        LIBC.syscall(NUMBERS["setxattrat"], AT_FDCWD, path, 0, b"user.note", None, ctypes.c_long(0))
        and ctypes.get_errno() == errno.ENOSYS
    ):
        pytest.skip("the kernel has no setxattrat")
    (told,) = perform(kernel, lambda: give(b"security.capability", value))
    assert (told.act.how, told.act.path) == (How.CAPABILITIES, path)
    assert perform(kernel, lambda: give(b"user.note", b"x")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_across_the_border_is_told(kernel: Kernel, number: int) -> None:
    victim, writer = child(lambda: None)
    try:
        (told,) = perform(kernel, lambda: os.kill(victim, number))
        assert (told.task.header.call, told.act.signal, told.act.target_pid) == (CAUSE_SIGNAL, number, victim)
        assert told.act.target_session == 0
    finally:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        os.close(writer)


def test_a_signal_within_the_container_or_one_that_ends_nothing_is_not_told(kernel: Kernel) -> None:
    victim, writer = child(lambda: None)
    try:
        assert perform(kernel, lambda: os.kill(victim, signal.SIGCONT)) == []
        kernel.mark(victim)
        assert perform(kernel, lambda: os.kill(victim, signal.SIGTERM)) == []
    finally:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        os.close(writer)


def test_tracing_across_the_border_is_told_and_within_it_is_not(kernel: Kernel) -> None:
    victim, writer = child(lambda: None)

    def trace() -> None:
        assert ctypes.CDLL(None).ptrace(SEIZE, victim, 0, 0) == 0

    try:
        (told,) = perform(kernel, trace)
        assert (told.task.header.call, told.act.target_pid) == (NUMBERS["ptrace"], victim)
        kernel.mark(victim)
        assert perform(kernel, trace) == []
    finally:
        os.write(writer, b"x")
        os.waitpid(victim, 0)
        os.close(writer)


@pytest.mark.parametrize(("name", "how"), [("mem", How.MEMORY), ("environ", How.ENVIRON)])
def test_the_memory_of_others_is_told_and_its_own_is_not(kernel: Kernel, name: str, how: How) -> None:
    me = os.getpid()
    (told,) = perform(kernel, lambda: os.open(f"/proc/{me}/{name}", os.O_RDONLY))
    assert (told.act.how, told.act.target_pid) == (how, me)
    assert perform(kernel, lambda: os.open(f"/proc/self/{name}", os.O_RDONLY)) == []


def test_a_value_of_the_kernel_that_is_opened_for_writing_is_told(kernel: Kernel) -> None:
    (told,) = perform(kernel, lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    assert (told.act.how, told.act.path) == (How.KERNEL, b"/proc/sys/kernel/core_pattern")
    affinity = "/proc/irq/default_smp_affinity"  # its number is like a namespace's
    (told,) = perform(kernel, lambda: os.open(affinity, os.O_WRONLY))
    assert (told.act.how, told.act.path) == (How.KERNEL, affinity.encode())
    assert perform(kernel, lambda: os.open("/proc/sys/kernel/core_pattern", os.O_RDONLY)) == []
    assert perform(kernel, lambda: os.open("/proc/self/comm", os.O_WRONLY)) == []


def test_a_raw_socket_is_told_and_an_ordinary_one_is_not(kernel: Kernel) -> None:
    (told,) = perform(kernel, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255))
    assert told.act.arguments[:3] == (socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 255)
    assert perform(kernel, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) == []


def test_a_connection_to_a_listener_outside_is_told_with_the_listeners_name(kernel: Kernel, host: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(host / "sock"))
        server.listen()
        os.link(host / "sock", host / "other")
        (told,) = perform(kernel, lambda: socket.socket(socket.AF_UNIX).connect(str(host / "other")))
    assert (told.act.how, told.act.target_pid) == (How.CONNECTED, os.getpid())
    assert told.act.path.rstrip(b"\0") == str(host / "sock").encode()


def test_a_connection_within_the_container_is_not_told(kernel: Kernel, host: Path) -> None:
    def act() -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(host / "own"))
        server.listen()
        socket.socket(socket.AF_UNIX).connect(str(host / "own"))

    assert perform(kernel, act) == []


@pytest.mark.parametrize(
    ("family", "address", "port"),
    [
        (socket.AF_INET, "127.0.0.1", 10250),
        (socket.AF_INET6, "::1", 2375),
        (socket.AF_INET6, "::ffff:127.0.0.1", 10250),
    ],
)
def test_a_connection_to_a_watched_port_is_told_also_when_nobody_is_there(
    kernel: Kernel, family: int, address: str, port: int
) -> None:
    def act() -> None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.socket(family).connect((address, port))

    (told,) = perform(kernel, act)
    assert remote_of(told.act.arguments) == (address.removeprefix("::ffff:"), port)
    assert told.act.inode


def test_a_connection_elsewhere_is_not_told(kernel: Kernel) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert perform(kernel, lambda: socket.socket().connect(server.getsockname())) == []


def test_what_io_uring_opens_and_connects_is_told(kernel: Kernel, host: Path) -> None:
    def read() -> None:
        assert io_uring.open_file(os.fsencode(host / "secret")) > 0

    def connect() -> None:
        assert io_uring.connect_unix(socket.socket(socket.AF_UNIX).fileno(), os.fsencode(host / "sock")) == 0

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(host / "sock"))
        server.listen()
        made, told = perform(kernel, read)
        assert made.task.header.call == NUMBERS["io_uring_setup"]
        assert (told.task.header.call, told.act.how, told.act.watched) == (CAUSE_IO_URING, How.READ, 1)
        _, told = perform(kernel, connect)
    assert (told.task.header.call, told.act.how, told.act.target_pid) == (CAUSE_IO_URING, How.CONNECTED, os.getpid())


@pytest.mark.parametrize("slot", [1, 3, io_uring.ANY_SLOT])
def test_what_io_uring_opens_into_its_own_table_is_told(kernel: Kernel, host: Path, slot: int) -> None:
    def read(name: str) -> None:
        assert io_uring.open_file(os.fsencode(host / name), slot) >= 0

    _, told = perform(kernel, lambda: read("secret"))
    assert (told.task.header.call, told.act.how, told.act.watched) == (CAUSE_IO_URING, How.READ, 1)
    assert told.act.inode == (host / "secret").stat().st_ino
    (made,) = perform(kernel, lambda: read("plain"))
    assert made.task.header.call == NUMBERS["io_uring_setup"]


def test_a_disk_that_is_opened_is_told_and_the_null_device_is_not(kernel: Kernel, host: Path) -> None:
    disk = next((each for each in (os.stat("/").st_dev, LOOP) if opens(host / str(each), each)), None)
    if disk is None:
        pytest.skip("no block device may be opened here")

    def act() -> None:
        os.close(os.open("/dev/null", os.O_RDWR))
        os.close(os.open(host / str(disk), os.O_RDONLY))

    (told,) = perform(kernel, act)
    assert told.act.how == How.DEVICE
    assert file_id(told.act.device, 0).device == disk


def test_the_terminal_of_a_row_is_that_which_stat_shows(kernel: Kernel) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.write(1, b"x")
        time.sleep(30)
        os._exit(0)
    try:
        os.read(terminal, 1)
        rows = [decode(each) for each in split_rows(kernel.programs.read_iterator("each_task"))]
        shown = {row.header.tid: row.terminal for row in rows if isinstance(row, TaskRecord)}
        number = shown[pid]
        assert os.makedev(number >> 20, number & 0xFFFFF) == int(Path(f"/proc/{pid}/stat").read_text().split()[6])
        assert number
        assert shown[2] == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_a_namespace_of_others_that_is_opened_is_told(kernel: Kernel) -> None:
    me = os.getpid()

    def act() -> None:
        assert ctypes.CDLL(None).unshare(CLONE_NEWUTS) == 0
        os.open(f"/proc/{me}/ns/uts", os.O_RDONLY)
        os.open(f"/proc/{me}/ns/mnt", os.O_RDONLY)

    (told,) = perform(kernel, act)
    assert (told.act.how, told.act.inode) == (How.NAMESPACE, Path("/proc/self/ns/uts").stat().st_ino)


def test_a_device_node_is_told_also_when_it_is_refused(kernel: Kernel, host: Path) -> None:
    (told,) = perform(kernel, lambda: os.mknod(host / "disk", 0o60600, os.makedev(7, 99)))
    assert (told.act.device, told.act.mode) == (os.makedev(7, 99), 0o60600)

    def refused() -> None:
        os.setuid(65534)
        os.mknod("/tmp/disk-that-is-refused", 0o60600, os.makedev(7, 99))

    (told,) = perform(kernel, refused, status=1)
    assert told.task.header.result == -1
    assert perform(kernel, lambda: os.mkfifo(host / "pipe")) == []


def test_nothing_is_told_of_a_task_that_was_judged_to_be_the_hosts(kernel: Kernel, host: Path) -> None:
    pid, writer = child(lambda: os.open(host / "secret", os.O_RDONLY))
    rows = map(decode, split_rows(kernel.programs.read_iterator("each_task")))
    row = next(row for row in rows if isinstance(row, TaskRecord) and row.header.tid == pid)
    where = (row.vector.namespaces[0], row.vector.namespaces[1], row.vector.css_set)
    assert kernel.programs.run("judge", VERDICT.pack(pid, row.header.start_ns, 0, 0, *where)) == 0
    os.write(writer, b"x")
    os.close(writer)
    os.waitpid(pid, 0)
    assert kernel.acts(pid) == []
