"""Escapes by mount: disks, host directories, kernel file systems, and masks that are taken away."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.processes import file_id, mount_ids, require, wait_until
from tests.support.stage import (
    CRITICAL,
    HIGH,
    MEDIUM,
    Act,
    CannotHereError,
    Expected,
    Outcome,
    Stage,
    host_directory,
    needs_program,
    run_on_host,
)

DISK_BYTES = 8 << 20


def _row(pid: int | str, mount_point: str) -> list[str]:
    """The fields of the topmost mount at a mount point; empty when nothing is mounted there."""
    rows = [line.split(" ") for line in mount_ids(pid).values() if line.split(" ")[4] == mount_point]
    return rows[-1] if rows else []


def _require_mounted(container: Container, point: str, file_system: str = "") -> list[str]:
    row = _row(container.pid, point)
    require(row, f"nothing is mounted at {point}")
    require(not file_system or row[row.index("-") + 1] == file_system, f"no {file_system} at {point}: {row}")
    return row


@contextmanager
def mount_disk(stage: Stage) -> Iterator[Outcome]:
    """A block device that was given to the container, with an ext4 of its own on it, is mounted after start."""
    needs_program("mkfs.ext4")
    with host_directory() as directory:
        disk = directory / "disk"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        run_on_host("mkfs.ext4", "-q", "-F", str(disk))
        device = run_on_host("losetup", "--find", "--show", str(disk)).strip()
        try:
            with stage.capable("--device", device) as container:
                stage.let_it_be_seen()
                stage.shell(container, f"mount -t ext4 {device} /mnt")
                _require_mounted(container, "/mnt", "ext4")
                yield Outcome(container.id, text=device)
        finally:
            run_on_host("losetup", "--detach", device)


@contextmanager
def mount_host_disk(stage: Stage) -> Iterator[Outcome]:
    """The host's own root disk by mknod, a mount of it, and a chroot: the classic way out of a privileged container.

    The kernel hands out the file system that is mounted already, so the host's is neither checked nor changed.
    """
    row = _row("self", "/")
    numbers, file_system = row[2], row[row.index("-") + 1]
    if row[3] != "/" or numbers.startswith("0:"):
        raise CannotHereError("the host's / is not the root of a block device")
    major, minor = numbers.split(":")
    with stage.capable("--device-cgroup-rule", f"b {numbers} rwm") as container:
        stage.let_it_be_seen()
        stage.shell(container, f"mknod /disk b {major} {minor}; mount -t {file_system} /disk /mnt")
        require(_require_mounted(container, "/mnt")[2] == numbers, "another device is mounted")
        pid = stage.sleep_inside(container, "chroot", "/mnt", program="/bin/sleep")
        require(file_id(f"/proc/{pid}/root") == file_id("/"), "its root is not the host's")
        yield Outcome(container.id, (pid,), text="/mnt")


@contextmanager
def graft_host_directory(stage: Stage) -> Iterator[Outcome]:
    """From the host, a copy of its /etc is attached in the container by open_tree and move_mount."""
    with stage.container() as container:
        stage.let_it_be_seen()
        run_on_host(str(stage.tools / "graft_mount"), "/etc", str(container.pid), "/mnt")
        _require_mounted(container, "/mnt")
        require(file_id(f"/proc/{container.pid}/root/mnt") == file_id("/etc"), "it is not the host's /etc")
        yield Outcome(container.id, text="/mnt")


def mounted(file_system: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """The act of mounting a fresh instance of one kernel file system."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        if f"\t{file_system}\n" not in Path("/proc/filesystems").read_text():
            raise CannotHereError(f"the kernel has no {file_system}")
        with stage.capable() as container:
            stage.let_it_be_seen()
            stage.shell(container, f"mount -t {file_system} none /mnt")
            _require_mounted(container, "/mnt", file_system)
            yield Outcome(container.id, text="/mnt")

    return perform


def remounted(point: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """The act of making one read-only mount of the container writable."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.capable() as container:
            stage.let_it_be_seen()
            require("ro" in _require_mounted(container, point)[5].split(","), f"{point} was writable from the start")
            stage.shell(container, f"mount -o remount,rw {point}")
            require("rw" in _require_mounted(container, point)[5].split(","), f"{point} is read-only still")
            yield Outcome(container.id, text=point)

    return perform


@contextmanager
def mount_at_start(stage: Stage) -> Iterator[Outcome]:
    """The first process mounts a procfs as its first act: nobody has seen the container without it."""
    with stage.capable(command=("sh", "-c", "mount -t proc none /mnt; exec sleep 300")) as container:
        wait_until(lambda: _row(container.pid, "/mnt"), "the mount")
        yield Outcome(container.id, text="/mnt")


def unmasked(point: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """The act of taking away the mask that the runtime laid over one path of /proc or /sys."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        if not os.path.exists(point):
            raise CannotHereError(f"the kernel has no {point}")
        with stage.capable() as container:
            stage.let_it_be_seen()
            require(_row(container.pid, point), f"{point} was not masked from the start")
            stage.shell(container, f"umount {point}")
            require(not _row(container.pid, point), f"{point} is masked still")
            yield Outcome(container.id, text=point)

    return perform


@contextmanager
def propagate_to_host(stage: Stage) -> Iterator[Outcome]:
    """A window into the kernel, mounted below a bidirectional volume, appears in the host's mount table too.

    A file system of its own would be what storage plug-ins declare such a volume for.
    """
    with host_directory() as volume:
        run_on_host("mount", "--bind", str(volume), str(volume))
        try:
            run_on_host("mount", "--make-rshared", str(volume))
            (volume / "below").mkdir()
            with stage.capable("-v", f"{volume}:/shared:rshared") as container:
                stage.let_it_be_seen()
                stage.shell(container, "mount -t proc none /shared/below")
                require(_row("self", f"{volume}/below"), "the mount does not show in the host's table")
                yield Outcome(container.id, text=f"{volume}/below")
        finally:
            # Peers of the propagation: unmounted here, gone there. Innermost first.
            for point in (f"{volume}/below", str(volume)):
                while _row("self", point):
                    run_on_host("umount", point)


def own(name: str, script: str, point: str) -> Act:
    """A control: a mount of the container's own, which widens nothing."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.capable() as container:
            stage.let_it_be_seen()
            stage.shell(container, script)
            _require_mounted(container, point)
            yield Outcome(container.id, text=point)

    return Act(name, perform, ())


OVERLAY = "mkdir /tmp/a; mount -t tmpfs none /tmp/a; cd /tmp/a; mkdir l u w; "
OVERLAY += "mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none /mnt"

ACTS = (
    Act("mount_disk", mount_disk, (Expected("HW-112", MEDIUM),)),
    Act("mount_host_disk", mount_host_disk, (Expected("HW-112", CRITICAL), Expected("HW-103", CRITICAL))),
    Act("graft_host_directory", graft_host_directory, (Expected("HW-112", MEDIUM),)),
    *(
        Act(f"mount_{name}", mounted(name), (Expected("HW-112", HIGH),))
        for name in ("proc", "sysfs", "debugfs", "tracefs", "bpf", "securityfs", "binfmt_misc")
    ),
    Act("mount_at_start", mount_at_start, (Expected("HW-112", HIGH),)),
    Act("remount_sys", remounted("/sys"), (Expected("HW-112", MEDIUM),)),
    Act("remount_proc_sys", remounted("/proc/sys"), (Expected("HW-112", MEDIUM),)),
    Act("unmask_keys", unmasked("/proc/keys"), (Expected("HW-112", MEDIUM),)),
    Act("unmask_firmware", unmasked("/sys/firmware"), (Expected("HW-112", MEDIUM),)),
    Act("propagate_to_host", propagate_to_host, (Expected("HW-113", HIGH),)),
    own("mount_own_tmpfs", "mount -t tmpfs none /mnt", "/mnt"),
    own("mount_own_directory", "mount --bind /etc /mnt", "/mnt"),
    own("mount_own_overlay", OVERLAY, "/mnt"),
)
