"""The host executes a file that stands in a container.

The kernel's helpers (release_agent, core_pattern, modprobe) run a path on the host; a container that can set one names
a file of its own by where it lies on the host's disk. The same is seen when a hook, a cron job or an administrator is
tricked into running something from a container's layer or volume. The payload runs as root, with no confinement.

*Fires on:* an exec of a process that belongs to no container and is in the host's mount namespace, whose executable,
or the script that it runs, stands on a mount of a container's table, on a container's root file system, below its
overlay layers or declared root, or below a volume that the runtime manages for it. A script is taken for what is run
when the kernel named the process after it. Directories of the host that a container mounts (/opt/cni/bin) are the
host's: silent.
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.container_paths import AMONG_LAYERS, is_below, layer_stores, reason_in_container
from collectors.events import Exec
from collectors.facts import Container, Executable, HostBaseline, Mount, Place, Process, Unknown
from collectors.mount_tables import is_host_disk
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier

# Where no container's files lie. The paths are the kernel's, canonical, and of the host's mount namespace.
_SYSTEM = (b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib64/")

_ON_ITS_MOUNT = "it stands on a mount of the container"

COMM_BYTES = 15  # TASK_COMM_LEN - 1, include/linux/sched.h


def check(event: Exec, view: NodeView) -> Found:
    """Look where the program and its script stand, when a process of the host executed it."""
    process, executable = event.process, event.process.executable
    if process.is_kernel_thread or view.is_becoming(process) or view.member(process) is not None:
        return
    mnt, host_mnt = process.confinement.namespaces.mnt, view.host.namespaces.mnt
    for fact in (executable, mnt, host_mnt):
        if isinstance(fact, Unknown):
            yield Blind(fact.why, process.key)
            return
    assert isinstance(executable, Executable)
    if mnt != host_mnt or isinstance(host_mnt, Unknown):
        return
    if isinstance(executable.place, Unknown):
        yield Blind(executable.place.why, process.key)
        return
    if executable.place.file in view.host.runtime_binaries:
        return  # a runtime on its way into a container stands on a detached mount of itself
    paths = (executable.path, *_script(process))
    is_on_host = _is_on_host_mount(executable.place, host_mnt, view)
    if is_on_host and all(path.startswith(_SYSTEM) for path in paths):
        return
    whose, reason = _whose(executable.place, paths, view, is_on_host=is_on_host)
    if reason is not None:
        yield Finding(
            f"had its file executed by the host: {reason}",
            whose,
            process.key,
            evidence=(("executable", executable.path), ("arguments", tuple(process.arguments.split(b"\0")[:8]))),
        )


def _whose(
    place: Place, paths: tuple[bytes, ...], view: NodeView, *, is_on_host: bool
) -> tuple[str | None, str | None]:
    """The container that the file belongs to and how; ``None`` and how where several share it, or it is not known."""
    stores: set[bytes] = set()
    for container in view.containers():
        first = view.first_process(container.id)
        mnt = first if isinstance(first, Unknown) else first.confinement.namespaces.mnt
        table = () if isinstance(mnt, Unknown) or mnt == view.host.namespaces.mnt else view.mounts(mnt)
        root = None if isinstance(table, Unknown) else next((each for each in table if each.point == b"/"), None)
        if not is_on_host and root is not None and isinstance(mnt, int) and place.mnt_id in view.mount_ids_ever(mnt):
            return container.id, _ON_ITS_MOUNT
        if (reason := _stands_in(place, paths, container, root, view.host)) is not None:
            return container.id, reason
        stores |= layer_stores(root)
    return None, AMONG_LAYERS if is_below(paths, stores) else None


def _is_on_host_mount(place: Place, host_mnt: int, view: NodeView) -> bool:
    """Asked for every exec of the host: its programs stand on one of the first rows of its table."""
    mounts = view.mounts(host_mnt)
    if not isinstance(mounts, Unknown) and any(mount.mnt_id == place.mnt_id for mount in mounts):
        return True
    return place.mnt_id in view.mount_ids_ever(host_mnt)


def _script(process: Process) -> Iterator[bytes]:
    """The script that was executed: the kernel put its path behind the interpreter's, and named the task after it."""
    for argument in process.arguments.split(b"\0")[1:3]:
        if argument.startswith(b"/") and argument.rsplit(b"/", 1)[-1][:COMM_BYTES] == process.name:
            yield argument


def _stands_in(
    place: Place, paths: tuple[bytes, ...], container: Container, root: Mount | None, host: HostBaseline
) -> str | None:
    """How the file belongs to this container and no other; ``None`` when it does not."""
    if root is not None and root.device == place.file.device and not is_host_disk(root, host):
        return _ON_ITS_MOUNT
    return reason_in_container(paths, container, root)


DETECTOR = Detector(
    id="HW-114",
    name="host_runs_container_file",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1059", "Command and Scripting Interpreter", "TA0002", "Execution"),
    ),
    wants=(Exec,),
    check=check,
    weakest=Tier.NETLINK,
    summary="A process of the host executed a file from a container's layers, root file system or volume.",
    benign=(
        "The runtime's own process on its way into a container is becoming it, and not judged.",
        "A host process that entered a container's mount namespace (nsenter) runs its programs there: silent.",
        "Plug-ins that a pod installs into a directory of the host (CNI, CSI): a hostPath is the host's.",
        "An administrator who runs a program out of a container's layer or volume does what an attack does: told.",
    ),
    misses=(
        "A library or a file that is mapped, and not executed: no tier sees that.",
        "A script that an interpreter was told to read: sh /path/to/script.",
        "A container that the agent no longer knows when its file is run.",
        "A file that was copied to a directory of the host first (docker cp).",
    ),
    advice=(
        "The node is taken over until the opposite is proved: isolate it, keep the file and the process' memory.",
        "See who started it: a kernel thread as parent means release_agent, core_pattern or modprobe was replaced.",
        "Read the values of these (hullwatch scan) before you reset them.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://man7.org/linux/man-pages/man5/core.5.html",
        "https://docs.kernel.org/filesystems/overlayfs.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
