"""Records the one real story that the scenarios are made of: ``python -m tests.scenarios.record``, as root.

runc starts a container as a runtime of Kubernetes would: uid 1000, few capabilities, no_new_privs, a seccomp filter,
masked paths. The agent's own sensors (netlink tier) watch it for a few seconds, and its events are written to
``base.capture``. What is left out, or replaced, so that no stranger's process is in the file:

- processes of the host that are no ancestors of the container, and other containers;
- the arguments of the ancestors, the name of the host's first process, the host's own mounts, the cgroup in which the
  recorder runs, and in the header the facts of the machine (its name, for one), which are those of the tests.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from msgspec import structs

from agent.capture.file import CaptureReader, CaptureWriter
from agent.capture.recording import record
from agent.config_schema import Config
from collectors.confinement import is_within
from collectors.events import (
    ContainerSeen,
    Event,
    Exec,
    Fork,
    MountTable,
    ProcessEvent,
    Seen,
    SweepDone,
)
from collectors.facts import CgroupMembership
from tests.agent import alerts

BASE = Path(__file__).with_name("base.capture")
STAY_SECONDS = 4.0
READY_SECONDS = 30.0
_SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
    "syscalls": [{"names": ["reboot", "kexec_load", "init_module"], "action": "SCMP_ACT_ERRNO"}],
}


@contextmanager
def _container() -> Iterator[str]:
    """A container of runc whose first process sleeps, as does a child of it; its id."""
    name = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="hullwatch-scenario-", dir="/var/tmp") as directory:
        bundle = Path(directory)
        bundle.chmod(0o755)
        (bundle / "rootfs/bin").mkdir(parents=True)
        busybox = shutil.which("busybox")
        assert busybox, "busybox is not installed"
        shutil.copy(busybox, bundle / "rootfs/bin/busybox")
        for link in ("sh", "sleep"):
            (bundle / "rootfs/bin" / link).symlink_to("busybox")
        subprocess.run(("runc", "spec", "--bundle", directory), check=True, timeout=30)
        spec = json.loads((bundle / "config.json").read_text())
        script = "sleep 0.5; sleep 301 & exec sleep 302"
        spec["process"] |= {
            "terminal": False,
            "args": ["sh", "-c", script],
            "user": {"uid": 1000, "gid": 1000},
            "env": ["PATH=/bin"],
        }
        spec["linux"]["seccomp"] = _SECCOMP
        spec["root"]["readonly"] = False
        (bundle / "config.json").write_text(json.dumps(spec))
        null = subprocess.DEVNULL
        command = ("runc", "run", "--detach", "--bundle", directory, name)
        subprocess.run(command, check=True, timeout=30, stdin=null, stdout=null, stderr=null)
        try:
            yield name
        finally:
            subprocess.run(("runc", "delete", "--force", name), check=False, capture_output=True, timeout=30)


def record_base() -> tuple[bytes, str]:
    """Everything that the sensors told while the container ran, and its id."""
    stream = BytesIO()
    ready, over = threading.Event(), threading.Event()

    def run() -> None:
        config = structs.replace(Config(), sensor="netlink")
        record(config, stream, is_over=over.is_set, on_ready=lambda _: ready.set())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(READY_SECONDS)
        with _container() as name:
            time.sleep(STAY_SECONDS)
            over.set()  # while it lives: its end is no part of the story
            thread.join(READY_SECONDS)
    finally:
        over.set()
        thread.join(READY_SECONDS)
    return stream.getvalue(), name


def kept(events: list[Event], container_id: str) -> Iterator[Event]:
    """The events of the container and of its ancestors on the host, in their order."""
    begin = next(
        index
        for index, each in enumerate(events)
        if isinstance(each, ContainerSeen) and each.container.id == container_id
    )
    inside = _family(events[begin:], container_id)
    above = set(_ancestors(events, inside))
    told: set[int] = set()
    for index, event in enumerate(events):
        match event:
            case ContainerSeen(container=container) if container.id == container_id:
                yield event
            case MountTable(container_id=owner) if owner == container_id:
                yield event
            case Fork(parent=parent, child=child) if {parent.pid, child.pid} <= inside:
                yield event
            case ProcessEvent(process=process) if process.key.pid in inside and index > begin:
                yield event
            case ProcessEvent(process=process) if process.key.pid in above - told:
                told.add(process.key.pid)
                name = b"init" if process.key.pid == 1 else process.name
                yield replace(event, process=replace(process, name=name, arguments=name + b"\0"))
            case SweepDone():
                yield event
            case _:
                continue


def _family(events: list[Event], container_id: str) -> set[int]:
    """The container's first process, and all that descend from it."""
    tables = (each for each in events if isinstance(each, MountTable) and each.container_id == container_id)
    inside = {next(tables).seen_by.pid}
    for event in events:
        if isinstance(event, Fork) and event.parent.pid in inside:
            inside.add(event.child.pid)
    return inside


def _ancestors(events: list[Event], pids: set[int]) -> Iterator[int]:
    parents = {each.process.key.pid: each.process.parent_pid for each in events if isinstance(each, ProcessEvent)}
    for pid in pids:
        above = parents.get(pid, 0)
        while above:
            yield above
            above = parents.get(above, 0)


def without_machine(value: Any, prefixes: tuple[bytes, ...]) -> Any:
    """The same with cgroup paths that begin with the recorder's own cgroup beginning at the root instead."""
    match value:
        case bytes():
            return next((value[len(each) :] or b"/" for each in prefixes if is_within(value, each)), value)
        case CgroupMembership(controllers=controllers) if controllers.startswith(b"name=hwlive"):
            return None  # another test's
        case tuple():
            items = (without_machine(each, prefixes) for each in value)
            made = tuple(item for item, each in zip(items, value, strict=True) if item is not None or each is None)
            return type(value)(*made) if hasattr(value, "_fields") else made
        case frozenset():
            return frozenset(without_machine(each, prefixes) for each in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            changed = {each.name: without_machine(getattr(value, each.name), prefixes) for each in fields(value)}
            return replace(value, **changed)
        case _:
            return value


def _own_cgroups() -> tuple[bytes, ...]:
    paths = {line.split(b":", 2)[2] for line in Path("/proc/self/cgroup").read_bytes().splitlines()}
    return tuple(sorted(paths - {b"/"}, key=len, reverse=True))


def main() -> None:
    """Write ``base.capture``."""
    data, container_id = record_base()
    reader = CaptureReader(BytesIO(data))
    prefixes = _own_cgroups()
    events = [without_machine(each, prefixes) for each in kept(list(reader.events()), container_id)]
    assert any(isinstance(each, (Seen, Exec)) for each in events), "the container was not seen"
    with BASE.open("wb") as stream:
        writer = CaptureWriter(stream, replace(reader.header, facts=alerts.HOST))
        for event in events:
            writer.add(event)
        writer.finish()


if __name__ == "__main__":
    main()
