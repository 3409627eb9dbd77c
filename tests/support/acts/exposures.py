"""Containers that were started with a way out: told once each, from their bundle, used or not."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.patience import patient
from tests.support.processes import require, shares_namespace, status, unique_seconds
from tests.support.stage import (
    HIGH,
    INFO,
    LOW,
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

CAP_SYS_ADMIN, CAP_SYS_MODULE = 21, 16


def shared(kind: str, option: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A container that was given one of the host's namespaces."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container(option) as container:
            require(shares_namespace(container.pid, kind), f"it has not got the host's {kind} namespace")
            yield Outcome(container.id)

    return perform


def granted(number: int, name: str) -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A container that was given one capability with which a host can be taken over."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container(f"--cap-add={name}") as container:
            require(int(status(container.pid)["CapBnd"], 16) >> number & 1, f"it has not got {name}")
            yield Outcome(container.id, text=name)

    return perform


@contextmanager
def privileged(stage: Stage) -> Iterator[Outcome]:
    """`docker run --privileged`: everything at once."""
    with stage.privileged() as container:
        require(int(status(container.pid)["CapBnd"], 16) >> CAP_SYS_MODULE & 1, "it has not got every capability")
        require(status(container.pid)["Seccomp"] == "0", "it has a seccomp filter")
        yield Outcome(container.id)


def started(*options: str, text: str = "") -> Callable[[Stage], AbstractContextManager[Outcome]]:
    """A container with these options; `text` belongs in the evidence."""

    @contextmanager
    def perform(stage: Stage) -> Iterator[Outcome]:
        with stage.container(*options) as container:
            yield Outcome(container.id, text=text)

    return perform


@contextmanager
def mount_through_link(stage: Stage) -> Iterator[Outcome]:
    """The host's /etc under another name: a symbolic link of the host."""
    with host_directory() as directory:
        link = directory / "harmless"
        link.symlink_to("/etc")
        with stage.container("-v", f"{link}:/data:ro") as container:
            read = stage.shell(container, "ls /data")
            require("passwd" in read.split(), "it has not got the host's /etc")
            yield Outcome(container.id, text="/etc")


@contextmanager
def mount_runtime_socket(stage: Stage) -> Iterator[Outcome]:
    """The directory of the engine's own containerd socket, read-only."""
    socket = Path("/run/docker/containerd/containerd.sock")
    if not socket.is_socket():
        raise CannotHereError("the engine's containerd has its socket at another place")
    with stage.container("-v", f"{socket.parent}:/engine:ro") as container:
        require("containerd.sock" in stage.shell(container, "ls /engine").split(), "it has not got the socket")
        yield Outcome(container.id, text=str(socket))


@contextmanager
def give_disk(stage: Stage) -> Iterator[Outcome]:
    """A block device of the host, to read only."""
    disks = [path for path in sorted(Path("/dev").iterdir()) if path.is_block_device()]
    if not disks:
        raise CannotHereError("this machine shows no block device")
    with stage.container("--device", f"{disks[0]}:/dev/disk:r") as container:
        stage.shell(container, "test -b /dev/disk")
        yield Outcome(container.id, text="block device")


@contextmanager
def share_mount(stage: Stage) -> Iterator[Outcome]:
    """A volume whose mounts show on the host."""
    with host_directory() as directory:
        run_on_host("mount", "-t", "tmpfs", "none", str(directory))
        try:
            run_on_host("mount", "--make-shared", str(directory))
            with stage.container("-v", f"{directory}:/data:shared") as container:
                yield Outcome(container.id, text="/data")
        finally:
            run_on_host("umount", str(directory))


@contextmanager
def start_with_strange_hook(stage: Stage) -> Iterator[Outcome]:
    """A bundle with a hook outside the system's directories: the runtime runs it on the host, as root."""
    runc, container = needs_program("runc"), secrets.token_hex(32)
    with host_directory() as bundle:
        (bundle / "rootfs").mkdir()
        shutil.copy(needs_program("busybox"), bundle / "rootfs/busybox")
        hook, mark = bundle / "hook", bundle / "hook.ran"
        hook.write_text(f"#!/bin/sh\necho $$ > {mark}\n")
        hook.chmod(0o755)
        subprocess.run((runc, "spec", "--bundle", str(bundle)), check=True, timeout=patient(30))
        spec = json.loads((bundle / "config.json").read_text())
        spec["process"] |= {"terminal": False, "args": ["/busybox", "sleep", unique_seconds()]}
        spec["hooks"] = {"poststart": [{"path": str(hook)}]}
        (bundle / "config.json").write_text(json.dumps(spec))
        # Under the engine's own root: that is where whoever watches looks.
        command = (runc, "--root", str(stage.engine.runtime_root))
        try:
            subprocess.run(
                (*command, "run", "--detach", "--bundle", str(bundle), container),
                check=True,
                timeout=patient(30),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            require(mark.exists(), "the hook did not run")
            yield Outcome(container, text=str(hook))
        finally:
            subprocess.run(
                (*command, "delete", "--force", container), check=False, capture_output=True, timeout=patient(30)
            )


ACTS = (
    Act("start_with_strange_hook", start_with_strange_hook, (Expected("HW-311", HIGH),)),
    Act("share_host_pid", shared("pid", "--pid=host"), (Expected("HW-302", LOW),)),
    Act("share_host_ipc", shared("ipc", "--ipc=host"), (Expected("HW-302", LOW),)),
    Act("share_host_uts", shared("uts", "--uts=host"), (Expected("HW-302", LOW),)),
    Act("share_host_net", shared("net", "--network=host"), (Expected("HW-302", INFO),)),
    Act("grant_sys_admin", granted(CAP_SYS_ADMIN, "SYS_ADMIN"), (Expected("HW-303", MEDIUM),)),
    Act("grant_sys_module", granted(CAP_SYS_MODULE, "SYS_MODULE"), (Expected("HW-303", MEDIUM),)),
    Act("privileged", privileged, (Expected("HW-301", MEDIUM), Expected("HW-303", MEDIUM))),
    Act("mount_runtime_socket", mount_runtime_socket, (Expected("HW-304", MEDIUM),)),
    Act("mount_host_etc", started("-v", "/etc:/host/etc", text="/etc"), (Expected("HW-305", MEDIUM),)),
    Act("mount_host_root_read_only", started("-v", "/:/host:ro", text="has every file"), (Expected("HW-305", LOW),)),
    Act("mount_through_link", mount_through_link, (Expected("HW-305", LOW),)),
    Act("give_disk", give_disk, (Expected("HW-306", MEDIUM),)),
    Act("leave_seccomp_off", started("--security-opt", "seccomp=unconfined"), (Expected("HW-307", LOW),)),
    Act("run_as_root", started(), (Expected("HW-308", INFO),)),
    Act(
        "leave_paths_open",
        started("--security-opt", "systempaths=unconfined", text="/proc/sys"),
        (Expected("HW-309", MEDIUM),),
    ),
    Act("share_mount", share_mount, (Expected("HW-310", LOW),)),
)
