"""Ways around a watcher who looks at names, paths, tables or the usual calls: what other acts do plainly."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import Container
from tests.support.hierarchies import CGROUPS
from tests.support.processes import cgroups, end, mount_ids, require, unique_seconds, wait_for_process
from tests.support.stage import (
    CRITICAL,
    HIGH,
    MEDIUM,
    TOOLS,
    Act,
    CannotHereError,
    Expected,
    Outcome,
    Stage,
    host_directory,
    unique_name,
)

CRON = Path("/etc/cron.d")
NOT_BUILT_IN = 38  # ENOSYS


def _evade(stage: Stage, container: Container, name: str, *arguments: str) -> int:
    """Have a process of the container do it; its result."""
    words = stage.engine.execute(container, f"{TOOLS}/evade", name, *arguments).split()
    require(words[:1] == [name], f"it said {words}")
    if int(words[2]) == NOT_BUILT_IN:
        raise CannotHereError(f"this kernel has no {name}")
    require(int(words[1]) >= 0, f"{name} failed with {words[2]}")
    return int(words[1])


def _linked_into_cron(command: str) -> Act:
    """A file that lies elsewhere is given a name in the host's cron directory: nothing is opened there, or written."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        if not CRON.is_dir():
            raise CannotHereError(f"there is no {CRON}")
        planted = CRON / unique_name()
        with host_directory() as volume, stage.container("-v", "/:/host") as container:
            (volume / "job").write_text("# nothing\n")
            stage.let_it_be_seen()
            try:
                stage.shell(container, f'sleep 0.2; {command} "/host$1" "/host$2"', f"{volume}/job", str(planted))
                require(planted.is_symlink() or planted.exists(), "it is not there")
                yield Outcome(container.id)
            finally:
                planted.unlink(missing_ok=True)

    name = "symlink_into_cron" if "-s" in command else "link_into_cron"
    return Act(name, perform, (Expected("HW-219", CRITICAL),), weakest="ebpf")


@contextmanager
def read_hashes_by_another_name(stage: Stage) -> Iterator[Outcome]:
    """The host's /etc/shadow by a hard link of the container's making."""
    shadow = Path("/etc/shadow")
    with host_directory() as volume, stage.container("-v", "/:/host") as container:
        if volume.stat().st_dev != shadow.stat().st_dev:
            raise CannotHereError("/var/tmp and /etc are on two file systems")
        stage.let_it_be_seen()
        script = 'sleep 0.2; ln "/host/etc/shadow" "/host$1/plain" && head -c 1 "/host$1/plain"'
        stage.shell(container, script, str(volume))
        require((volume / "plain").stat().st_ino == shadow.stat().st_ino, "it is another file")
        yield Outcome(container.id)


@contextmanager
def read_hashes_by_io_uring(stage: Stage) -> Iterator[Outcome]:
    """The host's /etc/shadow, opened by io_uring into its own table: no descriptor of it is ever seen."""
    with stage.capable("-v", "/:/host") as container:
        stage.let_it_be_seen()
        require(_evade(stage, container, "io_uring_direct", "/host/etc/shadow") > 0, "it read nothing")
        yield Outcome(container.id)


@contextmanager
def give_capability_by_new_call(stage: Stage) -> Iterator[Outcome]:
    """A file of a volume gets a capability by setxattrat(2)."""
    with host_directory() as volume, stage.capable("-v", f"{volume}:/volume") as container:
        (volume / "program").write_bytes(b"\x7fELF")
        stage.let_it_be_seen()
        _evade(stage, container, "setxattrat", "/volume/program")
        yield Outcome(container.id)


@contextmanager
def give_capability_by_io_uring(stage: Stage) -> Iterator[Outcome]:
    """A file of a volume gets a capability by a request to io_uring."""
    with host_directory() as volume, stage.capable("-v", f"{volume}:/volume") as container:
        (volume / "program").write_bytes(b"\x7fELF")
        stage.let_it_be_seen()
        _evade(stage, container, "io_uring_setxattr", "/volume/program")
        require("security.capability" in os.listxattr(volume / "program"), "it has got none")
        yield Outcome(container.id)


@contextmanager
def rename_into_cron_by_io_uring(stage: Stage) -> Iterator[Outcome]:
    """A file is renamed into the host's cron directory by a request to io_uring: a thread of the kernel's does it."""
    if not CRON.is_dir():
        raise CannotHereError(f"there is no {CRON}")
    planted = CRON / unique_name()
    beside = Path("/etc") / unique_name()
    with stage.container("-v", "/:/host", "--security-opt", "seccomp=unconfined") as container:
        beside.write_text("# nothing\n")
        stage.let_it_be_seen()
        try:
            _evade(stage, container, "io_uring_rename", f"/host{beside}", f"/host{planted}")
            require(planted.exists(), "it is not there")
            yield Outcome(container.id)
        finally:
            planted.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)


@contextmanager
def mount_for_a_moment(stage: Stage) -> Iterator[Outcome]:
    """A fresh procfs, without the masks of the container's own, that is gone before anybody reads a mount table."""
    with stage.capable() as container:
        stage.let_it_be_seen()
        _evade(stage, container, "flash_mount", "proc", "none", "/mnt")
        yield Outcome(container.id, text="/mnt")


@contextmanager
def mount_host_disk_for_a_moment(stage: Stage) -> Iterator[Outcome]:
    """The host's root disk, in a mount namespace that ends with the process that made it."""
    row = [line.split(" ") for line in mount_ids("self").values() if line.split(" ")[4] == "/"][-1]
    numbers, file_system = row[2], row[row.index("-") + 1]
    if row[3] != "/" or numbers.startswith("0:"):
        raise CannotHereError("the host's / is not the root of a block device")
    with stage.capable("--device-cgroup-rule", f"b {numbers} rwm") as container:
        stage.let_it_be_seen()
        stage.shell(container, f"mknod /disk b {numbers.replace(':', ' ')}")
        _evade(stage, container, "flash_mount_apart", file_system, "/disk", "/mnt")
        yield Outcome(container.id, text="/mnt")


@contextmanager
def look_into_detached_mount(stage: Stage) -> Iterator[Outcome]:
    """A sysfs that fsmount(2) made and nothing attaches: it is read by its descriptor, and closed."""
    with stage.capable() as container:
        stage.let_it_be_seen()
        _evade(stage, container, "flash_fsmount", "sysfs", "none")
        yield Outcome(container.id)


@contextmanager
def open_detached_release_agent(stage: Stage) -> Iterator[Outcome]:
    """release_agent of a hierarchy that fsmount(2) made, and that stands in no mount table."""
    with stage.capable() as container:
        stage.let_it_be_seen()
        _evade(stage, container, "detached_release_agent", unique_name())
        yield Outcome(container.id)


@contextmanager
def move_mask_away(stage: Stage) -> Iterator[Outcome]:
    """The mask over /proc/keys is moved to another place: nothing is unmounted."""
    with stage.capable("--security-opt", "seccomp=unconfined") as container:
        stage.let_it_be_seen()
        stage.shell(container, "touch /tmp/keys; mount -o move /proc/keys /tmp/keys")
        shown = Path(f"/proc/{container.pid}/mountinfo").read_text()
        require(" /proc/keys " not in shown and " /tmp/keys " in shown, "it is masked still")
        yield Outcome(container.id, text="/proc/keys")


@contextmanager
def be_born_outside(stage: Stage) -> Iterator[Outcome]:
    """A child that clone3(2) puts into the root of the cgroup hierarchy as it is born: nobody is moved."""
    root = next((each for each in (CGROUPS, CGROUPS / "unified") if (each / "cgroup.controllers").exists()), None)
    if root is None:
        raise CannotHereError("no cgroup v2 is mounted")
    with stage.capable("--cgroupns=host", "-v", f"{root}:/host-cgroups") as container:
        stage.let_it_be_seen()
        seconds = unique_seconds()
        _evade(stage, container, "clone_into", "/host-cgroups", seconds)
        pid = wait_for_process(seconds, first="sleep")
        try:
            require(cgroups(pid)[""] == "/", f"it is not there: {cgroups(pid)}")
            yield Outcome(container.id, (pid,))
        finally:
            end(pid)


@contextmanager
def rename_own_cgroup(stage: Stage) -> Iterator[Outcome]:
    """The container's own cgroups get a name that says nothing of a container."""
    plain = unique_name()
    with stage.container("-v", "/sys/fs/cgroup:/host-cgroups") as container:
        stage.let_it_be_seen()
        pid = stage.sleep_inside(container)
        stage.let_it_be_seen()
        renamed: list[Path] = []
        try:
            found = [each for each in CGROUPS.glob(f"*/docker/{container.id}") if (each / "notify_on_release").exists()]
            if not found:
                raise CannotHereError("the engine does not keep its cgroups in version 1")
            renamed += found
            names = " ".join(each.parent.parent.name for each in found)
            script = f'for each in {names}; do mv "/host-cgroups/$each/docker/$1" "/host-cgroups/$each/docker/$2"; done'
            stage.shell(container, script, container.id, plain)
            require(plain in cgroups(pid)["pids"], f"it bears its name still: {cgroups(pid)}")
            yield Outcome(container.id, (container.pid, pid))
        finally:
            for hierarchy in renamed:
                if hierarchy.with_name(plain).exists():
                    hierarchy.with_name(plain).rename(hierarchy)


ACTS = (
    _linked_into_cron("ln"),
    _linked_into_cron("ln -s"),
    Act("read_hashes_by_another_name", read_hashes_by_another_name, (Expected("HW-220", HIGH),), weakest="ebpf"),
    Act("read_hashes_by_io_uring", read_hashes_by_io_uring, (Expected("HW-220", HIGH),), weakest="ebpf"),
    Act("give_capability_by_new_call", give_capability_by_new_call, (Expected("HW-224", MEDIUM),), weakest="ebpf"),
    Act("give_capability_by_io_uring", give_capability_by_io_uring, (Expected("HW-224", MEDIUM),), weakest="ebpf"),
    Act("rename_into_cron_by_io_uring", rename_into_cron_by_io_uring, (Expected("HW-219", CRITICAL),), weakest="ebpf"),
    Act("mount_for_a_moment", mount_for_a_moment, (Expected("HW-112", HIGH),), weakest="ebpf"),
    Act("mount_host_disk_for_a_moment", mount_host_disk_for_a_moment, (Expected("HW-112", CRITICAL),), weakest="ebpf"),
    Act("look_into_detached_mount", look_into_detached_mount, (Expected("HW-112", HIGH),), weakest="ebpf"),
    Act("open_detached_release_agent", open_detached_release_agent, (Expected("HW-206", CRITICAL),), weakest="ebpf"),
    Act("move_mask_away", move_mask_away, (Expected("HW-112", MEDIUM),)),
    Act("be_born_outside", be_born_outside, (Expected("HW-105", HIGH),)),
    Act("rename_own_cgroup", rename_own_cgroup, (Expected("HW-105", HIGH),)),
)
