"""The values that govern the kernel, and whether one is no longer what it was.

A value that makes the kernel run a program, that lowers a wall, or that says what it has loaded is read at start and
compared at every look. However it was written (through which mount, by which system call, by which io_uring), the value
tells. Who wrote it, a value cannot tell.

``WATCHED`` is the table; beside it are values of which a node has several: a cgroup v1 hierarchy's ``release_agent``,
the entries of binfmt_misc, and of each container's own cgroups ``notify_on_release`` and ``devices.list`` (cgroup v1)
or the ids of its device programs (v2; a few containers at each look). Everything is read on the host's side: below our
own /proc and /sys, and at mount points of the host's own table. A hierarchy that only a container has mounted is not
read: the way there is the container's to lay (HW-112 tells of the mount).

Sources: ``Documentation/admin-guide/sysctl/{kernel,fs,net,user,vm}.rst``, ``admin-guide/cgroup-v1/``,
``admin-guide/binfmt-misc.rst``, ``ABI/testing/sysfs-kernel-*``, cgroups(7), core(5).

Whoever calls ``look`` owns it (``agent.sources`` calls it after each sweep). Bounded: entries of
binfmt_misc, hierarchies, containers in a look and children of a cgroup; a value is read to 4 KiB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from collectors.bounded import unknown
from collectors.cgroup_programs import read_device_programs
from collectors.errors import CollectorError, from_os_error
from collectors.events import Event, KernelValue
from collectors.facts import NOT_READ, Container, HostBaseline, Mount, Unknown
from collectors.host import Roots, read_host_mounts
from collectors.kernel_modules import ForeignModules
from collectors.moments import is_within
from collectors.proc.ns import parse_ns_link

SOURCE = "kernel value"
MAX_VALUE_BYTES = 4096
MAX_ENTRIES = 256  # of binfmt_misc
MAX_HIERARCHIES = 64
MAX_CHILDREN = 16  # cgroups below a container's own that are looked at
CONTAINERS_AT_A_LOOK = 4
FIND_EVERY = 30  # looks
SETTLE_NS = 5_000_000_000  # a runtime writes its container's cgroup for a while

_BINFMT_CONTROLS = frozenset({b"register", b"status"})


class Below(StrEnum):
    """The file system that a value is read from."""

    PROC = "proc"
    SYS = "sys"


@dataclass(frozen=True, slots=True)
class Watched:
    """One value: its name, where it is, and the namespace whose it is, where it is not the whole kernel's.

    ``wants`` is a capability without which the kernel shows it to nobody, whatever the file's mode says.
    """

    name: str
    below: Below
    path: str
    namespace: str | None = None
    wants: str = ""


WATCHED: tuple[Watched, ...] = (
    # Programs that the kernel runs by itself, as root, on the host (kernel/umh.c and its callers)
    Watched("core_pattern", Below.PROC, "sys/kernel/core_pattern"),
    Watched("modprobe", Below.PROC, "sys/kernel/modprobe"),
    Watched("poweroff_cmd", Below.PROC, "sys/kernel/poweroff_cmd"),
    Watched("hotplug", Below.PROC, "sys/kernel/hotplug"),
    Watched("uevent_helper", Below.SYS, "kernel/uevent_helper"),
    Watched("cache_getent", Below.SYS, "module/nfs/parameters/cache_getent"),
    # Walls
    Watched("kernel.kptr_restrict", Below.PROC, "sys/kernel/kptr_restrict"),
    Watched("kernel.dmesg_restrict", Below.PROC, "sys/kernel/dmesg_restrict"),
    Watched("kernel.yama.ptrace_scope", Below.PROC, "sys/kernel/yama/ptrace_scope"),
    Watched("kernel.unprivileged_bpf_disabled", Below.PROC, "sys/kernel/unprivileged_bpf_disabled"),
    Watched("kernel.unprivileged_userns_clone", Below.PROC, "sys/kernel/unprivileged_userns_clone"),
    Watched(
        "kernel.apparmor_restrict_unprivileged_userns",
        Below.PROC,
        "sys/kernel/apparmor_restrict_unprivileged_userns",
    ),
    Watched("kernel.perf_event_paranoid", Below.PROC, "sys/kernel/perf_event_paranoid"),
    Watched("kernel.randomize_va_space", Below.PROC, "sys/kernel/randomize_va_space"),
    Watched("kernel.io_uring_disabled", Below.PROC, "sys/kernel/io_uring_disabled"),
    Watched("kernel.kexec_load_disabled", Below.PROC, "sys/kernel/kexec_load_disabled"),
    Watched("kernel.modules_disabled", Below.PROC, "sys/kernel/modules_disabled"),
    Watched("kernel.sysrq", Below.PROC, "sys/kernel/sysrq"),
    Watched("kernel.ftrace_enabled", Below.PROC, "sys/kernel/ftrace_enabled"),
    Watched("vm.mmap_min_addr", Below.PROC, "sys/vm/mmap_min_addr"),
    Watched("vm.unprivileged_userfaultfd", Below.PROC, "sys/vm/unprivileged_userfaultfd"),
    Watched("fs.protected_symlinks", Below.PROC, "sys/fs/protected_symlinks"),
    Watched("fs.protected_hardlinks", Below.PROC, "sys/fs/protected_hardlinks"),
    Watched("fs.protected_fifos", Below.PROC, "sys/fs/protected_fifos"),
    Watched("fs.protected_regular", Below.PROC, "sys/fs/protected_regular"),
    Watched("fs.suid_dumpable", Below.PROC, "sys/fs/suid_dumpable"),
    # net/core/sysctl_net_core.c, proc_dointvec_minmax_bpf_restricted
    Watched("net.core.bpf_jit_harden", Below.PROC, "sys/net/core/bpf_jit_harden", "net", "CAP_SYS_ADMIN"),
    Watched("net.ipv4.conf.all.route_localnet", Below.PROC, "sys/net/ipv4/conf/all/route_localnet", "net"),
    Watched("user.max_user_namespaces", Below.PROC, "sys/user/max_user_namespaces", "user"),
    Watched("selinux.enforce", Below.SYS, "fs/selinux/enforce"),
    Watched("apparmor.mode", Below.SYS, "module/apparmor/parameters/mode"),
    Watched("apparmor.enabled", Below.SYS, "module/apparmor/parameters/enabled"),
    Watched("lockdown", Below.SYS, "kernel/security/lockdown"),
    # What the kernel has loaded
    Watched("tainted", Below.PROC, "sys/kernel/tainted"),
    Watched("kexec_loaded", Below.SYS, "kernel/kexec_loaded"),
)

Value = bytes | Unknown


@dataclass(slots=True, eq=False)
class _Known:
    """What a value was when it was first met, what it is, and for a container's, whose."""

    at_start: Value
    now: Value
    container_id: str | None


class KernelValues:
    """Watches the node's values; ``containers`` gives those that are there now."""

    def __init__(
        self,
        roots: Roots,
        host: HostBaseline,
        emit: Callable[[Event], None],
        *,
        clock_ns: Callable[[], int],
        containers: Callable[[], Iterable[Container]],
        read_programs: Callable[[bytes], tuple[int, ...]] = read_device_programs,
    ) -> None:
        self._roots = roots
        self._emit = emit
        self._clock_ns = clock_ns
        self._containers = containers
        self._read_programs = read_programs
        self._unified: bytes | None = None
        self._known: dict[tuple[str, bytes], _Known] = {}
        self._looks = 0
        self._hierarchies: tuple[Mount, ...] = ()
        self._binfmt: bytes | None = None
        self._binfmt_listing: frozenset[tuple[bytes, int]] | None = None
        self._has_modules = False
        self._modules = ForeignModules(roots)
        self._noticed_ns: dict[str, int] = {}
        self._turn = 0
        self._must_tell_again = False
        roots_of = {Below.PROC: roots.proc, Below.SYS: roots.sys}
        foreign = {kind for kind in ("net", "user") if not _is_hosts(roots, host, kind)}
        self._all_files = tuple(
            (each.name, f"{roots_of[each.below]}/{each.path}", f"/{each.below.value}/{each.path}".encode(), each.wants)
            for each in WATCHED
            if each.namespace not in foreign
        )
        self._files = self._all_files

    def look(self) -> None:
        """Compare everything with what it was; tells of what is new or different."""
        if self._looks % FIND_EVERY == 0:
            self._find_what_is_there()
        self._looks += 1
        if self._must_tell_again:
            self._tell_again()
        for name, path, where, wants in self._files:
            self._compare(name, where, _as_given_up(_read(path), wants))
        if self._has_modules:
            self._look_at_modules()
        self._look_at_binfmt()
        for mount in self._hierarchies:
            where = mount.point + b"/release_agent"
            self._compare("release_agent", where, _read(os.fsencode(self._roots.host) + where))
        self._look_at_containers()

    def tell_again_at_next_look(self) -> None:
        """After a loss downstream: tell once more of everything that is not as it was at the start; from any thread."""
        self._must_tell_again = True

    def _tell_again(self) -> None:
        self._must_tell_again = False
        for (name, where), known in self._known.items():
            if known.now != known.at_start:
                self._tell(name, where, known.at_start, known)

    # One value -------------------------------------------------------------------------------------------------

    def _compare(self, name: str, where: bytes, value: Value, container_id: str | None = None) -> None:
        """Tell of a value that is new or different; one that this kernel has not got (any more) is no news."""
        if isinstance(value, Unknown) and value.why.startswith("gone"):
            self._known.pop((name, where), None)
            return
        known = self._known.get((name, where))
        if known is None:
            known = self._known[name, where] = _Known(value, value, container_id)
            self._tell(name, where, NOT_READ, known)
        elif known.now != value:
            before, known.now = known.now, value
            if isinstance(known.at_start, Unknown):
                known.at_start = value
            self._tell(name, where, before, known)

    def _tell(self, name: str, where: bytes, before: Value, known: _Known) -> None:
        self._emit(
            KernelValue(
                at_ns=self._clock_ns(),
                name=name,
                before=before,
                after=known.now,
                where=where,
                at_start=known.at_start,
                container_id=known.container_id,
            )
        )

    # Values that a node has several of -------------------------------------------------------------------------

    def _find_what_is_there(self) -> None:
        """The values that this kernel has, and where the host has mounted binfmt_misc and cgroup v1."""
        self._files = tuple(each for each in self._all_files if os.path.exists(each[1]))
        self._has_modules = self._modules.are_there()
        mounts = read_host_mounts(self._roots)
        self._binfmt = next((each.point for each in mounts if each.fs_type == b"binfmt_misc"), None)
        self._unified = next((each.point for each in mounts if each.fs_type == b"cgroup2" and each.root == b"/"), None)
        hierarchies = {
            each.device: each for each in reversed(mounts) if each.fs_type == b"cgroup" and each.root == b"/"
        }
        self._hierarchies = tuple(hierarchies.values())[:MAX_HIERARCHIES]

    def _look_at_modules(self) -> None:
        try:
            value: Value = b"\n".join(sorted(self._modules.look()))
        except CollectorError as error:
            value = unknown(error)
        self._compare("foreign_modules", b"/proc/modules", value)

    def _look_at_binfmt(self) -> None:
        """An entry is never changed, only removed and made anew, with another inode: the listing tells."""
        if self._binfmt is None:
            return
        directory = os.fsencode(self._roots.host) + self._binfmt
        try:
            with os.scandir(directory) as entries:
                listing = frozenset(
                    (entry.name, entry.inode())
                    for entry, _ in zip(entries, range(MAX_ENTRIES), strict=False)
                    if entry.name not in _BINFMT_CONTROLS
                )
        except OSError as error:
            self._compare("binfmt_misc", self._binfmt, unknown(from_os_error(SOURCE, error)))
            return
        if listing == self._binfmt_listing:
            return
        self._binfmt_listing = listing
        found = []
        for name in sorted(name for name, _ in listing):
            entry = _read(directory + b"/" + name)
            if isinstance(entry, bytes):
                found.append(parse_binfmt_entry(name, entry))
        self._compare("binfmt_misc", self._binfmt, b"\n".join(found))

    def _look_at_containers(self) -> None:
        """The cgroups of a few containers, each once it has settled; those that are gone are forgotten."""
        if not self._hierarchies and self._unified is None:
            return
        containers = {each.id: each for each in self._containers()}
        now_ns = self._clock_ns()
        for container_id in self._noticed_ns.keys() - containers.keys():
            del self._noticed_ns[container_id]
            for key in [key for key, known in self._known.items() if known.container_id == container_id]:
                del self._known[key]
        for container_id in containers:
            self._noticed_ns.setdefault(container_id, now_ns)
        settled = [each for each in self._noticed_ns if not is_within(now_ns, self._noticed_ns[each], SETTLE_NS)]
        for _ in range(min(CONTAINERS_AT_A_LOOK, len(settled))):
            self._turn = (self._turn + 1) % len(settled)
            self._look_at_container(containers[settled[self._turn]])

    def _look_at_container(self, container: Container) -> None:
        host = os.fsencode(self._roots.host)
        for path in container.cgroup_paths if self._unified is not None else ():
            where = (self._unified or b"") + path
            self._compare("device_programs", where, self._device_programs(host + where), container.id)
        for mount in self._hierarchies:
            is_devices = b"devices" in mount.super_options
            is_named = any(option.startswith(b"name=") for option in mount.super_options)
            for path in container.cgroup_paths:
                group = mount.point + path
                if is_devices:
                    where = group + b"/devices.list"
                    self._compare("devices.list", where, _sorted(_read(host + where)), container.id)
                if is_named:
                    continue  # systemd's own: an init in a container sets the flag, and the agent is the host's
                for each in _with_children(host, group):
                    where = each + b"/notify_on_release"
                    self._compare("notify_on_release", where, _read(host + where), container.id)

    def _device_programs(self, directory: bytes) -> Value:
        try:
            return b" ".join(b"%d" % each for each in self._read_programs(directory))
        except CollectorError as error:
            return unknown(error)


def parse_binfmt_entry(name: bytes, data: bytes) -> bytes:
    """One entry as ``name interpreter flags``; a disabled one has ``disabled`` instead of an interpreter."""
    interpreter, flags, is_enabled = b"", b"", data.startswith(b"enabled")
    for line in data.split(b"\n"):
        word, _, rest = line.partition(b" ")
        if word == b"interpreter":
            interpreter = rest
        elif word == b"flags:":
            flags = rest
    return b" ".join((name, interpreter if is_enabled else b"disabled", flags)).rstrip()


def _with_children(host: bytes, group: bytes) -> Iterator[bytes]:
    """A cgroup of a container, and those that it made right below; nothing where it has none in this hierarchy."""
    try:
        with os.scandir(host + group) as entries:
            names = [
                entry.name
                for entry, _ in zip(entries, range(4 * MAX_VALUE_BYTES), strict=False)
                if entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return
    yield group
    for name in names[:MAX_CHILDREN]:
        yield group + b"/" + name


def _sorted(value: Value) -> Value:
    return value if isinstance(value, Unknown) else b"\n".join(sorted(value.split(b"\n")))


def _read(path: str | bytes) -> Value:
    """A value without its newline, or why there is none: one read, since the kernel gives these in one piece."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, MAX_VALUE_BYTES + 1)
        finally:
            os.close(fd)
    except OSError as error:
        return unknown(from_os_error(SOURCE, error))
    return data.rstrip(b"\n") if len(data) <= MAX_VALUE_BYTES else Unknown(f"too_large: {SOURCE}")


def _as_given_up(value: Value, wants: str) -> Value:
    """That a capability is missing which the agent never keeps is no trouble of this node: another word for it."""
    if wants and isinstance(value, Unknown) and value.why.startswith("denied"):
        return Unknown(f"unsupported: only who has {wants} may read it")
    return value


def _is_hosts(roots: Roots, host: HostBaseline, kind: str) -> bool:
    """We read /proc/sys in the host's own namespace of this kind: the values of another one are not the host's."""
    try:
        own = parse_ns_link(os.readlink(os.fsencode(f"{roots.proc}/self/ns/{kind}")), kind)
    except (OSError, CollectorError):
        return False
    return bool(own == getattr(host.namespaces, kind))
