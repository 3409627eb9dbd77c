from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agent.cli.node import Look
from collectors.events import ContainerSeen, Event, Exec, MountTable, Seen
from collectors.facts import DeclaredMount, Mount, Reach, Unknown
from tests.agent.cli.nodes import broken_out, clean, invoke, look_at, sleeping
from tests.support import build

HOST_TABLE = MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(900), build.host_mount_table())


def mounted(*more: Mount, leave_out: tuple[bytes, ...] = (), **facts: Any) -> Look:
    """Container 1 with these mounts besides those that every container has; the host's table is known."""
    table = tuple(each for each in build.mount_table() if each.point not in leave_out) + more
    first = build.first_process()
    seen = ContainerSeen(build.NOW_NS, build.container(**facts))
    return look_at(
        HOST_TABLE,
        seen,
        MountTable(build.NOW_NS, build.mnt_namespace(), seen.container.id, first.key, table),
        Seen(build.NOW_NS, first),
    )


def rows(look: Look, wanted: str = "web-1") -> dict[str, dict[str, Any]]:
    return {each["point"]: each for each in json.loads(invoke(look, "mounts", wanted, "-o", "json").stdout)}


def test_tells_the_declared_from_the_runtimes() -> None:
    found = rows(mounted(build.mount(1100, b"/proc/kcore", fs_type=b"tmpfs", root=b"/null", device=build.TMPFS_DEVICE)))
    assert found["/proc"]["origin"] == "declared"
    assert found["/proc"]["declared"]["type"] == "proc"
    assert found["/"]["origin"] == "runtime"
    assert found["/proc/kcore"]["origin"] == "runtime"


def test_says_where_the_host_has_what_is_shown() -> None:
    found = rows(mounted(build.mount(1100, b"/logs", root=b"/var/log")))
    assert found["/etc/hosts"]["host_path"] == f"/var/lib/docker/containers/{build.container_id()}/hosts"
    assert found["/logs"]["host_path"] == "/var/log"
    assert found["/dev/shm"]["host_path"] is None


def test_what_nobody_declared_and_lies_on_a_disk_of_the_host_is_red() -> None:
    look = mounted(
        build.mount(1100, b"/logs", root=b"/var/log"), build.mount(1101, b"/mine", fs_type=b"tmpfs", device=77)
    )
    assert rows(look)["/logs"]["origin"] == "not_declared"
    lines = invoke(look, "mounts", "web-1", "--color", "always").stdout.split("\n")
    assert next(line for line in lines if "/logs" in line).startswith("\x1b[1;31m/logs\x1b[0m")
    assert next(line for line in lines if "/mine" in line).startswith("\x1b[33m/mine\x1b[0m")
    assert next(line for line in lines if "/etc/hosts" in line).startswith("/etc/hosts")


def test_what_was_not_there_at_the_start_came_later() -> None:
    first = build.first_process()
    table = MountTable(build.NOW_NS, build.mnt_namespace(), build.container_id(), first.key, build.mount_table())
    more = replace(table, at_ns=build.NOW_NS + 1, mounts=(*table.mounts, build.mount(1100, b"/logs", root=b"/var/log")))
    look = look_at(ContainerSeen(build.NOW_NS, build.container()), table, Exec(build.NOW_NS, first), more)
    assert rows(look)["/logs"]["origin"] == "later"


def test_what_is_declared_and_not_there_is_missing() -> None:
    found = rows(mounted(leave_out=(b"/dev/shm",)))
    assert found["/dev/shm"]["origin"] == "missing"
    assert found["/dev/shm"]["mount"] is None
    assert (
        "/dev/shm        missing   -       tmpfs" in invoke(mounted(leave_out=(b"/dev/shm",)), "mounts", "web-1").stdout
    )


def test_what_may_be_written_though_declared_read_only_is_marked() -> None:
    writable = build.mount(1100, b"/sys", fs_type=b"sysfs", source=b"sysfs", device=0x16)
    found = rows(mounted(writable, leave_out=(b"/sys",)))
    assert found["/sys"]["is_writable_beyond_declared"] is True
    assert "  rw!  " in invoke(mounted(writable, leave_out=(b"/sys",)), "mounts", "web-1").stdout


def test_the_tmpfs_of_the_controllers_of_cgroup_v1_is_the_runtimes_business() -> None:
    tmpfs = build.mount(1100, b"/sys/fs/cgroup", fs_type=b"tmpfs", source=b"tmpfs", device=build.TMPFS_DEVICE)
    assert (
        rows(mounted(tmpfs, leave_out=(b"/sys/fs/cgroup",)))["/sys/fs/cgroup"]["is_writable_beyond_declared"] is False
    )


def test_says_what_a_declared_mount_gives() -> None:
    bind = DeclaredMount("/host", "/var/run", "bind", ("rbind", "rw"))
    asked = build.declared(mounts=(*build.declared().mounts, bind))
    source = build.source("/host", "/run", ("/run", Reach.IS), ("/run/docker.sock", Reach.ABOVE))
    look = mounted(
        build.mount(1100, b"/host", root=b"/", device=0x18, fs_type=b"tmpfs"),
        build.mount(1101, b"/host/user/0", root=b"/", device=0x99, fs_type=b"tmpfs"),
        declared=asked,
        sources=(source,),
    )
    found = rows(look)
    assert found["/host"]["gives"] == [
        "has the sockets and the state of the host's services",
        "socket /run/docker.sock",
    ]
    assert found["/host"]["host_path"] == "/run"
    assert (found["/host/user/0"]["origin"], found["/host/user/0"]["gives"]) == ("declared", [])


def test_a_mount_behind_a_link_of_the_image_is_the_declared_one() -> None:
    bind = DeclaredMount("/var/run/secrets", "/x/secrets", "bind", ("rbind",))
    asked = build.declared(mounts=(*build.declared().mounts, bind))
    found = rows(mounted(build.mount(1100, b"/run/secrets", root=b"/x/secrets"), declared=asked))
    assert found["/run/secrets"]["origin"] == "declared"
    assert "/var/run/secrets" not in found


def test_a_mount_that_came_with_one_of_the_host_is_propagated() -> None:
    shared = (build.mount(40, b"/srv", shared=3), build.mount(41, b"/srv/new", parent_id=40, shared=4, device=9))
    host = replace(HOST_TABLE, mounts=(*HOST_TABLE.mounts, *shared))
    bind = DeclaredMount("/srv", "/srv", "bind", ("bind", "rslave"))
    asked = build.declared(mounts=(*build.declared().mounts, bind))
    ours = (build.mount(1100, b"/srv", master=3), build.mount(1101, b"/srv/new", parent_id=1100, master=4, device=9))
    first = build.first_process()
    events: tuple[Event, ...] = (
        host,
        ContainerSeen(build.NOW_NS, build.container(declared=asked)),
        MountTable(build.NOW_NS, build.mnt_namespace(), build.container_id(), first.key, (*build.mount_table(), *ours)),
        Seen(build.NOW_NS, first),
    )
    assert rows(look_at(*events))["/srv/new"]["origin"] == "propagated"


def test_without_a_bundle_nothing_is_said_of_origins() -> None:
    look = mounted(declared=Unknown("no_bundle"))
    assert {each["origin"] for each in rows(look).values()} == {"unknown"}
    assert "what was declared is not known: no_bundle" in invoke(look, "mounts", "web-1").stderr


def test_the_hosts_own_mount_namespace_is_no_table() -> None:
    result = invoke(broken_out(), "mounts", "4242")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "the mounts are not known: it is in the host's own mount namespace" in result.stderr


def test_points_at_other_mount_namespaces_of_the_container() -> None:
    confinement = build.confinement(namespaces=build.namespaces(mnt=4026539999))
    nested = build.process(4300, confinement=confinement)
    table = MountTable(build.NOW_NS, 4026539999, build.container_id(), nested.key, build.mount_table())
    look = look_at(*sleeping(1), table, Seen(build.NOW_NS, nested))
    assert "hullwatch mounts pid:4300\n" in invoke(look, "mounts", "web-1").stderr
    assert rows(look, "pid:4300")["/proc"]["origin"] == "declared"


def test_refuses_a_process_of_the_host() -> None:
    result = invoke(clean(), "mounts", "900")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "belongs to no container" in result.stderr
