"""What `docker run --privileged` is taken over by in every tutorial, on machines that allow all of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import file_id, mount_ids, parent, require, shares_namespace
from tests.support.stage import CRITICAL, Act, CannotHereError, Expected, Outcome, Stage

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")
NSENTER = "/usr/bin/dynamic-nsenter"  # util-linux's: busybox' has no --all


def _host_disk() -> tuple[str, str]:
    """The device below the host's / and its file system."""
    row = next(line.split(" ") for line in mount_ids("self").values() if line.split(" ")[4] == "/")
    events = Path(f"/sys/dev/block/{row[2]}/uevent")
    if row[3] != "/" or not events.exists():
        raise CannotHereError("the host's / is not the root of a block device")
    name = next(line.removeprefix("DEVNAME=") for line in events.read_text().split("\n") if line.startswith("DEVNAME="))
    try:
        os.close(os.open(f"/dev/{name}", os.O_RDONLY))
    except OSError as error:
        raise CannotHereError(f"/dev/{name} is closed, even to root: {error.strerror}") from error
    return f"/dev/{name}", row[row.index("-") + 1]


@contextmanager
def mount_disk_as_privileged(stage: Stage) -> Iterator[Outcome]:
    """The host's disk is in a privileged container's /dev: `mount`, `chroot`, and the host's files are one's own."""
    device, file_system = _host_disk()
    with stage.privileged() as container:
        stage.let_it_be_seen()
        stage.shell(container, f"mount -t {file_system} {device} /mnt")
        pid = stage.sleep_inside(container, "chroot", "/mnt", program="/bin/sleep")
        require(file_id(f"/proc/{pid}/root") == file_id("/"), "its root is not the host's")
        yield Outcome(container.id, (pid,), text="/mnt")


@contextmanager
def enter_first_process(stage: Stage) -> Iterator[Outcome]:
    """`nsenter -t 1 -a`: a shell of the host from a privileged container with the host's pids."""
    try:
        os.readlink("/proc/1/ns/mnt")
    except OSError as error:
        raise CannotHereError(f"the namespaces of process 1 are closed, even to root: {error.strerror}") from error
    with stage.privileged("--pid=host") as container:
        stage.let_it_be_seen()
        pid = stage.sleep_inside(container, NSENTER, "--target", "1", "--all", "--")
        for kind in NAMESPACES:
            require(shares_namespace(pid, kind, 1), f"it has not got the {kind} namespace of process 1")
        require(file_id(f"/proc/{pid}/root") == file_id("/"), "its root is not the host's")
        # nsenter forks, and stays behind in the same namespaces.
        yield Outcome(container.id, (parent(pid), pid))


ACTS = (
    Act(
        "mount_disk_as_privileged",
        mount_disk_as_privileged,
        (Expected("HW-112", CRITICAL), Expected("HW-103", CRITICAL)),
    ),
    Act("enter_first_process", enter_first_process, (Expected("HW-101", CRITICAL), Expected("HW-103", CRITICAL))),
)
