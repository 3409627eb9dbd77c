"""Facts with real-looking defaults, for tests: each builder takes overrides by keyword.

Containers are numbered from 1; everything of container N (id, namespaces, mounts, cgroup, root) follows from N, so that
two containers never share anything by accident. The defaults are what ``docker run debian`` gives on Debian 12 with
cgroup v2: own mnt, pid, net, ipc, uts and cgroup namespaces, the host's user and time namespace, root with 14
capabilities, one seccomp filter, the ``docker-default`` AppArmor profile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from collectors.confinement import Frame
from collectors.facts import (
    Capabilities,
    CgroupMembership,
    Confinement,
    Container,
    Declared,
    DeclaredMount,
    DeclaredNamespace,
    Descriptor,
    DescriptorKind,
    Executable,
    FileId,
    FileKind,
    HostBaseline,
    Ids,
    Layer,
    Mount,
    MountSource,
    Namespaces,
    Place,
    Process,
    ProcessKey,
    Reach,
    Reached,
    Seccomp,
    SeccompMode,
)
from collectors.proc.stat import image_mark
from detectors.base import Member

NOW_NS = 1_763_700_000_000_000_000
"""Wall time at which everything in a test is observed."""

# include/linux/proc_ns.h: PROC_*_INIT_INO, and what the first mnt and net namespace get.
HOST_MNT = 4026531832
HOST_NET = 4026531833
HOST_TIME = 4026531834
HOST_CGROUP = 4026531835
HOST_PID = 4026531836
HOST_USER = 4026531837
HOST_UTS = 4026531838
HOST_IPC = 4026531839

HOST_DEVICE = 0xFD01  # 253:1, an LVM root
HOST_ROOT = FileId(HOST_DEVICE, 2)
HOST_ROOT_MOUNT = 27
OVERLAY_DEVICE = 0x2A  # plus the container's number: every overlay has its own anonymous device
PROC_DEVICE = 0x15
TMPFS_DEVICE = 0x19
MEMFD_DEVICE = 0x01
NSFS_DEVICE = 0x04
PIPEFS_DEVICE = 0x0E
SOCKFS_DEVICE = 0x08

DOCKER_CAPABILITIES = 0xA80425FB  # dockerd's default 14
FULL_CAPABILITIES = 0x1FFFFFFFFFF  # 41 capabilities, CAP_CHECKPOINT_RESTORE the last
CAP_SETUID = 1 << 7
CAP_SYS_ADMIN = 1 << 21

UNCONFINED = b"unconfined"
DOCKER_DEFAULT = b"docker-default (enforce)"


def host_namespaces(**overrides: Any) -> Namespaces:
    """The initial namespaces."""
    base = Namespaces(
        mnt=HOST_MNT,
        pid=HOST_PID,
        net=HOST_NET,
        ipc=HOST_IPC,
        uts=HOST_UTS,
        user=HOST_USER,
        cgroup=HOST_CGROUP,
        time=HOST_TIME,
    )
    return replace(base, **overrides)


def namespaces(number: int = 1, **overrides: Any) -> Namespaces:
    """The namespaces of container ``number``: user and time are the host's."""
    first = 4026532000 + 100 * number
    base = Namespaces(
        mnt=first,
        uts=first + 1,
        ipc=first + 2,
        pid=first + 3,
        cgroup=first + 4,
        net=first + 5,
        user=HOST_USER,
        time=HOST_TIME,
    )
    return replace(base, **overrides)


def mnt_namespace(number: int = 1) -> int:
    """The inode of the mount namespace of container ``number``."""
    return 4026532000 + 100 * number


def own_user_namespace(number: int = 1) -> int:
    """The inode of a user namespace for container ``number``, where a test wants one."""
    return 4026532000 + 100 * number + 6


def capabilities(mask: int = DOCKER_CAPABILITIES, **overrides: Any) -> Capabilities:
    """Permitted, effective and bounding are ``mask``; inheritable and ambient are empty (docker since 20.10.14)."""
    return replace(Capabilities(inheritable=0, permitted=mask, effective=mask, bounding=mask, ambient=0), **overrides)


def ids(number: int = 0, **overrides: Any) -> Ids:
    """All four ids are ``number``."""
    return replace(Ids(real=number, effective=number, saved=number, fs=number), **overrides)


def seccomp(filters: int = 1) -> Seccomp:
    """Seccomp with that many filters; none means disabled."""
    return Seccomp(SeccompMode.FILTER if filters else SeccompMode.DISABLED, filters)


def container_id(number: int = 1) -> str:
    """64 hexadecimal digits, as docker and containerd name containers."""
    return f"{number:04x}" * 16


def cgroup_path(number: int = 1) -> bytes:
    """The cgroup of container ``number`` (docker, systemd driver)."""
    return b"/system.slice/docker-" + container_id(number).encode() + b".scope"


def cgroups(path: bytes | None = None, number: int = 1) -> tuple[CgroupMembership, ...]:
    """Membership in a pure cgroup v2 node."""
    return (CgroupMembership(0, b"", cgroup_path(number) if path is None else path),)


def cgroup_path_v1(number: int = 1) -> bytes:
    """The cgroup of container ``number`` in every v1 hierarchy (docker, cgroupfs driver)."""
    return b"/docker/" + container_id(number).encode()


def cgroups_v1(number: int = 1, **paths: bytes) -> tuple[CgroupMembership, ...]:
    """Membership in a v1 node with four hierarchies; ``paths`` overrides by controller."""
    return tuple(
        CgroupMembership(hierarchy, controller.encode(), paths.get(controller, cgroup_path_v1(number)))
        for hierarchy, controller in ((11, "memory"), (9, "pids"), (4, "devices"), (2, "cpu"))
    )


def mount(mnt_id: int, point: bytes = b"/", **overrides: Any) -> Mount:
    """A private read-write ext4 mount of the host's root device, attached to the host's root mount."""
    base = Mount(
        mnt_id=mnt_id,
        parent_id=HOST_ROOT_MOUNT,
        device=HOST_DEVICE,
        root=b"/",
        point=point,
        options=(b"rw", b"relatime"),
        shared=None,
        master=None,
        fs_type=b"ext4",
        source=b"/dev/mapper/vg-root",
        super_options=(b"rw",),
    )
    return replace(base, **overrides)


def host_mount_table() -> tuple[Mount, ...]:
    """A short mount table of the host."""
    return (
        mount(HOST_ROOT_MOUNT, parent_id=1, shared=1),
        mount(22, b"/proc", device=PROC_DEVICE, fs_type=b"proc", source=b"proc", shared=13),
        mount(23, b"/sys", device=0x16, fs_type=b"sysfs", source=b"sysfs", shared=7),
        mount(28, b"/sys/fs/cgroup", device=0x1A, fs_type=b"cgroup2", source=b"cgroup2", shared=9, parent_id=23),
        mount(30, b"/run", device=0x18, fs_type=b"tmpfs", source=b"tmpfs", shared=5),
    )


def root_mount(number: int = 1) -> int:
    """The mount id of container ``number``'s root."""
    return 1000 * number + 1


def mount_table(number: int = 1) -> tuple[Mount, ...]:
    """The mount table of container ``number``: overlay root, proc, dev, sysfs, cgroup, shm and ``/etc/hosts``."""
    root = root_mount(number)
    read_only = (b"ro", b"nosuid", b"nodev", b"noexec", b"relatime")
    upper = b"upperdir=/var/lib/docker/overlay2/" + container_id(number).encode() + b"/diff"
    return (
        mount(
            root, device=OVERLAY_DEVICE + number, fs_type=b"overlay", source=b"overlay", super_options=(b"rw", upper)
        ),
        mount(root + 1, b"/proc", parent_id=root, device=0x60 + number, fs_type=b"proc", source=b"proc"),
        mount(root + 2, b"/dev", parent_id=root, device=0x70 + number, fs_type=b"tmpfs", source=b"tmpfs"),
        mount(root + 3, b"/sys", parent_id=root, device=0x16, fs_type=b"sysfs", source=b"sysfs", options=read_only),
        mount(
            root + 4,
            b"/sys/fs/cgroup",
            parent_id=root + 3,
            root=cgroup_path(number),
            device=0x1A,
            fs_type=b"cgroup2",
            source=b"cgroup",
            options=read_only,
        ),
        mount(root + 5, b"/dev/shm", parent_id=root + 2, device=0x80 + number, fs_type=b"tmpfs", source=b"shm"),
        mount(
            root + 6,
            b"/etc/hosts",
            parent_id=root,
            root=b"/var/lib/docker/containers/" + container_id(number).encode() + b"/hosts",
        ),
    )


def root_place(number: int = 1) -> Place:
    """The root directory of container ``number``."""
    return Place(FileId(OVERLAY_DEVICE + number, 2_000_000 + number), root_mount(number))


def directory(number: int = 1, inode: int = 3_000_000) -> Place:
    """Another directory of the image of container ``number``."""
    return Place(FileId(OVERLAY_DEVICE + number, inode), root_mount(number))


def host_directory(inode: int = 131073, device: int = HOST_DEVICE, mnt_id: int = HOST_ROOT_MOUNT) -> Place:
    """A directory of the host, on a mount of the host (default: something like ``/etc``)."""
    return Place(FileId(device, inode), mnt_id)


HOST_ROOT_PLACE = Place(HOST_ROOT, HOST_ROOT_MOUNT)


def confinement(number: int = 1, **overrides: Any) -> Confinement:
    """What confines the first process of container ``number``."""
    base = Confinement(
        namespaces=namespaces(number),
        root=root_place(number),
        cwd=root_place(number),
        uids=ids(),
        gids=ids(),
        capabilities=capabilities(),
        no_new_privs=False,
        seccomp=seccomp(),
        lsm_label=DOCKER_DEFAULT,
        cgroups=cgroups(number=number),
    )
    return replace(base, **overrides)


def host_confinement(**overrides: Any) -> Confinement:
    """What (hardly) confines root's shell on the host."""
    base = Confinement(
        namespaces=host_namespaces(),
        root=HOST_ROOT_PLACE,
        cwd=HOST_ROOT_PLACE,
        uids=ids(),
        gids=ids(),
        capabilities=capabilities(FULL_CAPABILITIES),
        no_new_privs=False,
        seccomp=seccomp(0),
        lsm_label=UNCONFINED,
        cgroups=cgroups(b"/user.slice/user-0.slice/session-1.scope"),
    )
    return replace(base, **overrides)


def executable(path: bytes = b"/usr/bin/bash", number: int = 1, **overrides: Any) -> Executable:
    """A program of the image of container ``number``."""
    base = Executable(
        path=path,
        place=directory(number, inode=4_000_000 + sum(path)),
        mode=0o100755,
        owner_uid=0,
        links=1,
        changed_ns=NOW_NS - 10**16,
        layer=Layer.IMAGE,
    )
    return replace(base, **overrides)


def key(pid: int) -> ProcessKey:
    """The identity of the task that has ``pid`` throughout a test."""
    return ProcessKey(pid, 100_000 + pid)


def process(pid: int = 4242, number: int = 1, **overrides: Any) -> Process:
    """A shell in container ``number``, child of its first process."""
    base = Process(
        key=key(pid),
        parent_pid=first_pid(number),
        name=b"bash",
        arguments=b"bash\x00",
        executable=executable(number=number),
        confinement=confinement(number),
        ns_pid=pid % 1000,
        is_kernel_thread=False,
        image_mark=image_mark(0x5500_0000_0000 + pid, 0x5500_0010_0000 + pid, 0x7FFC_0000_0000 + pid),
        observed_ns=NOW_NS,
    )
    return replace(base, **overrides)


def first_pid(number: int = 1) -> int:
    """The host's pid of the first process of container ``number``."""
    return 4000 + 100 * number


def first_process(number: int = 1, **overrides: Any) -> Process:
    """The first process of container ``number``, as it was when it entered; child of a shim."""
    base = process(
        first_pid(number),
        number,
        parent_pid=900,
        name=b"sleep",
        arguments=b"sleep\x00infinity\x00",
        executable=executable(b"/usr/bin/sleep", number),
        ns_pid=1,
    )
    return replace(base, **overrides)


def host_process(pid: int = 800, **overrides: Any) -> Process:
    """A root shell of the host, child of pid 1."""
    place = Place(FileId(HOST_DEVICE, 400_000), HOST_ROOT_MOUNT)
    base = process(
        pid,
        parent_pid=1,
        executable=Executable(b"/usr/bin/bash", place, 0o100755, 0, 1, NOW_NS - 10**16),
        confinement=host_confinement(),
        ns_pid=pid,
    )
    return replace(base, **overrides)


def thread(of: Process, tid: int, confined: Confinement) -> Process:
    """A thread of ``of`` with a confinement of its own."""
    return replace(of, key=key(tid), thread_of=of.key, confinement=confined)


def descriptor(
    number: int, place: Place, kind: DescriptorKind = DescriptorKind.DIRECTORY, **overrides: Any
) -> Descriptor:
    """An open descriptor, by default of a directory."""
    return replace(Descriptor(number, kind, place, b"/etc"), **overrides)


def declared(**overrides: Any) -> Declared:
    """What ``docker run debian sleep infinity`` declares."""
    base = Declared(
        namespaces=tuple(DeclaredNamespace(kind, None) for kind in ("mnt", "net", "uts", "pid", "ipc", "cgroup")),
        capabilities=capabilities(),
        no_new_privs=False,
        seccomp=True,
        apparmor_profile="docker-default",
        selinux_label=None,
        mounts=(
            DeclaredMount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
            DeclaredMount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
            DeclaredMount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
            DeclaredMount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
            DeclaredMount("/dev/shm", "shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", "size=67108864")),
            DeclaredMount("/etc/hosts", "/var/lib/docker/containers/x/hosts", "bind", ("rbind", "rprivate")),
        ),
        masked_paths=("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"),
        readonly_paths=("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"),
        device_rules=(),
        uid=0,
        gid=0,
        arguments=("sleep", "infinity"),
        environment=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=0001"),
        working_directory="/",
        root_path="/var/lib/docker/overlay2/0001/merged",
        root_readonly=False,
        terminal=False,
        cgroups_path="system.slice:docker:" + container_id(),
        hooks=(),
        sysctls=(),
        annotations=(),
    )
    return replace(base, **overrides)


def container(number: int = 1, **overrides: Any) -> Container:
    """A docker container."""
    first = key(first_pid(number))
    base = Container(
        id=container_id(number),
        runtime="docker",
        declared=declared(),
        cgroup_paths=frozenset({cgroup_path(number)}),
        first_pid=first.pid,
        first_start_ticks=first.start_ticks,
        created_ns=NOW_NS - 3600 * 10**9,
        bundle_path="/run/containerd/io.containerd.runtime.v2.task/moby/" + container_id(number),
        name=f"web-{number}",
        image="debian:12",
        sources=(source("/etc/hosts", "/var/lib/docker/containers/" + container_id(number) + "/hosts"),),
        has_linked_dev=False,
    )
    return replace(base, **overrides)


def source(destination: str, path: str, *reached: tuple[str, Reach], **overrides: Any) -> MountSource:
    """The source of a declared bind mount: a writable directory of the host that comes with these places."""
    base = MountSource(
        destination=destination,
        path=path,
        is_read_only=False,
        file=FileId(HOST_DEVICE, 700_000 + sum(path.encode())),
        kind=FileKind.DIRECTORY,
        reached=tuple(Reached(*each) for each in reached),
    )
    return replace(base, **overrides)


def frame(number: int = 1, **overrides: Any) -> Frame:
    """What the confinement of container ``number`` is measured against."""
    base = Frame(
        namespaces=host_namespaces(),
        root=HOST_ROOT,
        given_mounts=frozenset(each.mnt_id for each in mount_table(number)),
        cgroup_paths=frozenset({cgroup_path(number)}),
    )
    return replace(base, **overrides)


def member(task: Process, number: int = 1, **overrides: Any) -> Member:
    """``task`` as a process of container ``number`` that came in through the first process."""
    first = overrides.pop("first", first_process(number))
    base = Member(
        process=task,
        container=container(number),
        first=first,
        entry=first,
        frame=frame(number),
        by_lineage=False,
        in_container_cgroup=True,
        previous=None,
    )
    return replace(base, **overrides)


def host_baseline(**overrides: Any) -> HostBaseline:
    """A Debian 12 node."""
    base = HostBaseline(
        namespaces=host_namespaces(),
        root=HOST_ROOT,
        boot_id="1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9",
        boot_time_ns=NOW_NS - 86_400 * 10**9,
        ticks_per_second=100,
        source="pid1",
        internal_devices=frozenset({MEMFD_DEVICE, NSFS_DEVICE, PIPEFS_DEVICE, SOCKFS_DEVICE}),
        memfd_device=MEMFD_DEVICE,
        nsfs_device=NSFS_DEVICE,
        block_devices=frozenset({HOST_DEVICE, 0x0800, 0x0801}),
        helper_paths=frozenset({b"/sbin/modprobe"}),
        known_helpers=frozenset({FileId(HOST_DEVICE, 500_001), FileId(HOST_DEVICE, 500_002)}),
        runtime_binaries=frozenset({FileId(HOST_DEVICE, 600_001), FileId(HOST_DEVICE, 600_002)}),
        bounding=FULL_CAPABILITIES,
        lsms=frozenset({"capability", "apparmor", "yama"}),
    )
    return replace(base, **overrides)
