"""One task read whole, through one directory descriptor, so that a reused pid cannot mix two processes.

The identity comes first (``stat``); without it there is no process to tell of. Every other fact that cannot be read is
``Unknown`` with its reason. The program is read before the confinement, and ``stat`` again after both: a task that
executes meanwhile is read once more, and if it does so again it is told with its older program; one that is ending has
lost its cgroups and namespaces one by one, and is ``Gone``. Values that many
processes share are shared in memory: each reader has a bounded flyweight (``functools.lru_cache``).

A ``ProcessReader`` remembers whether the kernel labels tasks, and what it read last; several threads may use one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from collectors.bounded import open_process, unknown
from collectors.errors import CollectorError, Gone, from_os_error
from collectors.facts import (
    NOT_READ,
    Confinement,
    Connection,
    Descriptor,
    Mount,
    Namespaces,
    Process,
    ProcessKey,
    Unknown,
)
from collectors.host import Roots
from collectors.proc.attr import read_label
from collectors.proc.cgroup import read_cgroup
from collectors.proc.cmdline import read_cmdline
from collectors.proc.fd import read_descriptors
from collectors.proc.inet import connection_of, read_inet
from collectors.proc.mountinfo import read_mountinfo
from collectors.proc.ns import read_namespaces
from collectors.proc.places import read_cwd, read_executable, read_root
from collectors.proc.stat import Stat, open_stat, read_stat, reread_stat
from collectors.proc.status import Status, read_status

T = TypeVar("T")

_KERNEL_THREAD = Unknown("not_read: kernel thread")
_OF_KERNEL = Confinement(
    namespaces=Namespaces(*[_KERNEL_THREAD] * 8),
    root=_KERNEL_THREAD,
    cwd=_KERNEL_THREAD,
    uids=_KERNEL_THREAD,
    gids=_KERNEL_THREAD,
    capabilities=_KERNEL_THREAD,
    no_new_privs=_KERNEL_THREAD,
    seccomp=_KERNEL_THREAD,
    lsm_label=_KERNEL_THREAD,
    cgroups=_KERNEL_THREAD,
)
SINGLE_THREAD_LINKS = 3  # ., .. and one thread: st_nlink of /proc/PID/task


class ProcessReader:
    """Reads tasks below ``roots.proc``; ``nsfs_device`` tells namespaces among open descriptors."""

    def __init__(
        self,
        roots: Roots,
        clock_ns: Callable[[], int],
        *,
        nsfs_device: int | Unknown = NOT_READ,
    ) -> None:
        self._proc = roots.proc
        self._clock_ns = clock_ns
        self._nsfs_device = nsfs_device
        self._are_tasks_labelled = True  # until the kernel says once that it labels none; that cannot change
        self._last_confinement: Confinement | None = None

    def read(self, pid: int, *, tid: int | None = None, descriptors: int = 0) -> Process:
        """The process, or its thread ``tid``; with ``descriptors`` also what it holds open, at most so many.

        Raises ``Gone``, or another ``CollectorError`` kind when not even ``stat`` can be read.
        """
        directory = open_process(self._proc, pid)
        try:
            if tid is None or tid == pid:
                return self._read(directory, None, descriptors)
            leader = read_stat(directory)
            thread = _open_thread(directory, tid)
            try:
                return self._read(thread, ProcessKey(leader.pid, leader.start_ticks), descriptors)
            finally:
                os.close(thread)
        finally:
            os.close(directory)

    def read_stat(self, pid: int) -> Stat:
        """Only ``/proc/PID/stat``; raises a ``CollectorError`` kind."""
        directory = open_process(self._proc, pid)
        try:
            return read_stat(directory)
        finally:
            os.close(directory)

    def read_label(self, pid: int, key: ProcessKey) -> bytes | Unknown | None:
        """The LSM label of a task of process ``pid``, if it is still there."""
        if not self._are_tasks_labelled:
            return None
        try:
            directory = open_process(self._proc, pid)
            try:
                thread = _open_thread(directory, key.pid)
                try:
                    label = _fact(read_label, thread)
                    if read_stat(thread).start_ticks != key.start_ticks:
                        return Unknown("gone: proc/attr")
                finally:
                    os.close(thread)
            finally:
                os.close(directory)
        except CollectorError as error:
            return unknown(error)
        if label is None:
            self._are_tasks_labelled = False
        return label

    def has_threads(self, pid: int) -> bool:
        """It has more tasks than its leader, which may have ended; raises a ``CollectorError`` kind."""
        try:
            return os.stat(f"{self._proc}/{pid}/task").st_nlink > SINGLE_THREAD_LINKS
        except OSError as error:
            raise from_os_error("proc/task", error) from error

    def read_mounts(self, key: ProcessKey, mnt_namespace: int) -> tuple[Mount, ...]:
        """The mount table of a namespace, through a task that was seen in it.

        Raises a ``CollectorError`` kind; ``Gone`` also when the task has left it, or is another one by now.
        """
        directory = open_process(self._proc, key.pid)
        try:
            mounts = read_mountinfo(directory)
            if read_stat(directory).start_ticks != key.start_ticks or read_namespaces(directory).mnt != mnt_namespace:
                raise Gone("proc/mountinfo", f"{key.pid} is not in that mount namespace any more")
            return mounts
        finally:
            os.close(directory)

    def read_connection(self, pid: int, inode: int) -> Connection | None:
        """The network connection that is the socket with this inode; ``None`` when it is none, or can't be read."""
        try:
            directory = open_process(self._proc, pid)
        except CollectorError:
            return None
        try:
            return connection_of(read_inet(directory), inode)
        except CollectorError:
            return None
        finally:
            os.close(directory)

    def _read(self, directory: int, thread_of: ProcessKey | None, descriptors: int) -> Process:
        """The task whose directory this is."""
        stat_file = open_stat(directory)
        try:
            stat = reread_stat(stat_file)
            if stat.is_kernel_thread:
                return self._kernel_thread(stat, thread_of)
            process = self._read_user_task(directory, stat, thread_of, descriptors)
            again = _living(reread_stat(stat_file))
            if again.image_mark != stat.image_mark:
                process = self._read_user_task(directory, again, thread_of, descriptors)
                _living(reread_stat(stat_file))
            return process
        finally:
            os.close(stat_file)

    def _read_user_task(self, directory: int, stat: Stat, thread_of: ProcessKey | None, descriptors: int) -> Process:
        """One look at a task that runs a program."""
        executable = _fact(read_executable, directory)
        arguments = _fact(read_cmdline, directory)
        status = _fact(read_status, directory)
        return Process(
            key=ProcessKey(stat.pid, stat.start_ticks),
            parent_pid=stat.parent_pid,
            name=_intern(stat.name),
            arguments=arguments if isinstance(arguments, bytes) else b"",
            executable=executable,
            confinement=self._read_confinement(directory, status),
            ns_pid=_ns_pid(status, stat.pid),
            is_kernel_thread=False,
            image_mark=stat.image_mark,
            observed_ns=self._clock_ns(),
            thread_of=thread_of,
            descriptors=self._read_descriptors(directory, descriptors),
            tty=stat.tty,
        )

    def _read_confinement(self, directory: int, status: Status | Unknown) -> Confinement:
        """The whole vector; what ``status`` tells is passed in."""
        namespaces = read_namespaces(directory)
        root = _fact(read_root, directory)
        cwd = _fact(read_cwd, directory)
        label = _fact(read_label, directory) if self._are_tasks_labelled else None
        if label is None:
            self._are_tasks_labelled = False
        cgroups = _fact(read_cgroup, directory)
        if isinstance(status, Unknown):
            return Confinement(namespaces, root, cwd, status, status, status, status, status, label, cgroups)
        uids, gids, sets = status.uids, status.gids, status.capabilities
        last = self._last_confinement
        if (
            last is not None  # compared with ``is`` where the readers share equal values
            and last.namespaces is namespaces
            and last.root is root
            and last.cwd is cwd
            and last.cgroups is cgroups
            and last.capabilities is sets
            and last.uids is uids
            and last.gids is gids
            and last.seccomp is status.seccomp
            and last.no_new_privs is status.no_new_privs
            and last.lsm_label == label
        ):
            return last
        self._last_confinement = confinement = Confinement(
            namespaces, root, cwd, uids, gids, sets, status.no_new_privs, status.seccomp, label, cgroups
        )
        return confinement

    def _read_descriptors(self, directory: int, limit: int) -> tuple[Descriptor, ...] | Unknown:
        """What the task holds open; not looked at when nobody asked."""
        if not limit:
            return NOT_READ
        return _fact(lambda fd: read_descriptors(fd, limit, self._nsfs_device), directory)

    def _kernel_thread(self, stat: Stat, thread_of: ProcessKey | None) -> Process:
        """A thread of the kernel: the host itself, so nothing but its identity is read."""
        return Process(
            key=ProcessKey(stat.pid, stat.start_ticks),
            parent_pid=stat.parent_pid,
            name=_intern(stat.name),
            arguments=b"",
            executable=_KERNEL_THREAD,
            confinement=_OF_KERNEL,
            ns_pid=stat.pid,
            is_kernel_thread=True,
            image_mark=stat.image_mark,
            observed_ns=self._clock_ns(),
            thread_of=thread_of,
        )


def _open_thread(directory: int, tid: int) -> int:
    """A descriptor of a thread's directory; the caller closes it."""
    try:
        return os.open(f"task/{tid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise from_os_error("proc/task", error) from error


def _living(stat: Stat) -> Stat:
    """The task as it is now; raises ``Gone`` when it is ending: then what was read before may be a torn-down half."""
    if stat.is_exiting:
        raise Gone("proc/stat", f"{stat.pid} is ending")
    return stat


def _ns_pid(status: Status | Unknown, pid: int) -> int:
    """The pid inside the task's pid namespace; the host's where the kernel does not tell (before 4.1)."""
    return status.ns_pid if isinstance(status, Status) and isinstance(status.ns_pid, int) else pid


def _fact(read: Callable[[int], T], directory: int) -> T | Unknown:
    """What a reader tells, or why it cannot: the edge at which exceptions become values."""
    try:
        return read(directory)
    except CollectorError as error:
        return unknown(error)


@lru_cache(maxsize=4096)
def _intern(name: bytes) -> bytes:
    """The first of equal names (a flyweight that evicts the least recently used)."""
    return name
