from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.cli.node import Look
from collectors.events import ContainerSeen, Event, MountTable, Seen
from collectors.facts import CgroupMembership, Confinement, DeclaredMount, DeclaredNamespace, Mount, Unknown
from tests.agent.cli.nodes import clean, invoke, look_at, sleeping
from tests.support import build

OWN = tuple(DeclaredNamespace(kind, None) for kind in ("mnt", "pid", "ipc", "uts", "cgroup"))


def running(number: int, confinement: Confinement | None = None, *more: Mount, **facts: Any) -> tuple[Event, ...]:
    """Container ``number``, whose first process is confined like this."""
    container = build.container(number, **facts)
    first = build.first_process(number, confinement=confinement or build.confinement(number))
    mnt = first.confinement.namespaces.mnt
    assert isinstance(mnt, int)
    table = (*build.mount_table(number), *more)
    return (
        ContainerSeen(build.NOW_NS, container),
        MountTable(build.NOW_NS, mnt, container.id, first.key, table),
        Seen(build.NOW_NS, first),
    )


def differences(look: Look, *arguments: str) -> dict[str, dict[str, Any]]:
    return {each["what"]: each for each in json.loads(invoke(look, "diff", *arguments, "-o", "json").stdout)}


def test_as_declared_is_status_0_and_said() -> None:
    result = invoke(clean(), "diff", "web-1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "hullwatch: no difference\n")
    assert invoke(clean(), "diff", "web-1", "-o", "json").stdout == "[]\n"


def test_wider_than_declared_is_status_1_and_red() -> None:
    wide = build.confinement(capabilities=build.capabilities(build.DOCKER_CAPABILITIES | build.CAP_SYS_ADMIN))
    look = look_at(*running(1, wide))
    result = invoke(look, "diff", "web-1", "--color", "always")
    assert result.exit_code == 1
    assert "\x1b[1;31mWIDER by SYS_ADMIN\x1b[0m" in result.stdout
    found = differences(look, "web-1")
    assert set(found) == {"permitted_capabilities", "effective_capabilities", "bounding_capabilities"}
    assert found["effective_capabilities"]["beyond"] == "SYS_ADMIN"


def test_a_cgroup_hierarchy_that_is_newer_than_the_container_makes_it_no_wider() -> None:
    groups = build.cgroups_v1()
    events = running(1, build.confinement(cgroups=groups), cgroup_paths=frozenset({build.cgroup_path_v1()}))
    later = build.confinement(cgroups=(*groups, CgroupMembership(12, b"misc", b"/")))
    look = look_at(*events, Seen(build.NOW_NS + 1, build.first_process(confinement=later)))
    assert invoke(look, "diff", "web-1").exit_code == 0
    gone = build.confinement(cgroups=(*groups[1:], replace(groups[0], path=b"/")))
    look = look_at(*events, Seen(build.NOW_NS + 1, build.first_process(confinement=gone)))
    assert differences(look, "web-1")["cgroups"]["relation"] == "wider"


def test_narrower_and_unknown_are_told_apart() -> None:
    odd = build.confinement(seccomp=Unknown("denied: proc/status"), no_new_privs=True)
    found = differences(look_at(*running(1, odd)), "web-1")
    assert {name: each["relation"] for name, each in found.items()} == {
        "no_new_privs": "narrower",
        "seccomp": "unknown",
    }


def test_tells_of_mounts_that_are_not_as_declared() -> None:
    asked = build.declared(
        mounts=(*build.declared().mounts, DeclaredMount("/data", "/srv/data", "bind", ("rbind", "ro")))
    )
    table = build.mount(1100, b"/logs", root=b"/var/log"), build.mount(1101, b"/t", fs_type=b"tmpfs", device=77)
    found = differences(look_at(*running(1, None, *table, declared=asked)), "web-1")
    assert found["mount /logs"]["relation"] == "wider"
    assert found["mount /t"]["relation"] == "apart"
    assert found["mount /data"] == {
        "what": "mount /data",
        "left": "bind /srv/data",
        "right": "-",
        "relation": "narrower",
        "beyond": None,
    }


def test_a_first_process_in_the_hosts_mount_namespace_is_wider_in_all_mounts() -> None:
    out = build.confinement(namespaces=build.namespaces(mnt=build.HOST_MNT))
    found = differences(
        look_at(
            ContainerSeen(build.NOW_NS, build.container()), Seen(build.NOW_NS, build.first_process(confinement=out))
        ),
        "web-1",
    )
    assert found["mounts"]["relation"] == "wider"


def test_two_containers_alike_but_for_their_own_things_do_not_differ() -> None:
    def declared(number: int) -> Any:
        hosts = DeclaredMount("/etc/hosts", f"/x/{build.container_id(number)}/hosts", "bind", ("rbind",))
        return build.declared(mounts=(*build.declared().mounts[:-1], hosts))

    look = look_at(*running(1, declared=declared(1)), *running(2, declared=declared(2)))
    result = invoke(look, "diff", "web-1", "web-2")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "hullwatch: no difference\n")


def test_two_containers_are_compared_in_what_they_have() -> None:
    wide = build.confinement(
        2,
        namespaces=build.namespaces(2, net=build.HOST_NET),
        capabilities=build.capabilities(build.DOCKER_CAPABILITIES & ~1 | build.CAP_SYS_ADMIN),
        seccomp=build.seccomp(0),
    )
    look = look_at(*running(1), *running(2, wide))
    found = differences(look, "web-1", "web-2")
    assert (found["net_namespace"]["left"], found["net_namespace"]["right"]) == ("its own", "the host's")
    assert {name: each["relation"] for name, each in found.items()} == {
        "net_namespace": "wider",
        "permitted_capabilities": "apart",
        "effective_capabilities": "apart",
        "bounding_capabilities": "apart",
        "seccomp": "wider",
    }
    assert found["effective_capabilities"]["beyond"] == "+SYS_ADMIN -CHOWN"
    heading = invoke(look, "diff", "web-1", "web-2").stdout.split("\n")[0].split()
    assert heading == ["WHAT", "web-1", "web-2", "RIGHT", "SIDE", "IS"]
    assert differences(look, "web-2", "web-1")["seccomp"]["relation"] == "narrower"


def test_a_namespace_that_two_containers_share_is_told_and_no_difference() -> None:
    same = build.confinement(2, namespaces=build.namespaces(2, net=build.namespaces(1).net))
    look = look_at(*running(1), *running(2, same))
    result = invoke(look, "diff", "web-1", "web-2")
    assert result.exit_code == 0
    assert "net_namespace  shared by both  shared by both" in result.stdout


def test_two_containers_are_compared_in_what_was_declared() -> None:
    other = replace(
        build.declared(),
        uid=1000,
        masked_paths=build.declared().masked_paths[1:],
        mounts=(*build.declared().mounts, DeclaredMount("/s", "/run/docker.sock", "bind", ("bind",))),
    )
    found = json.loads(
        invoke(
            look_at(*running(1), *running(2, declared=other, image="debian:13")), "diff", "web-1", "web-2", "-o", "json"
        ).stdout
    )
    assert [(each["what"], each["left"], each["right"]) for each in found] == [
        ("image", "debian:12", "debian:13"),
        ("declared user", "0:0", "1000:0"),
        ("declared mount", "-", "/s bind /run/docker.sock (bind)"),
        ("declared masked path", "/proc/asound", "-"),
    ]


@pytest.mark.parametrize("arguments", [["web-1"], ["web-1", "web-9"], ["web-9"]])
def test_refuses_what_it_cannot_compare(arguments: list[str]) -> None:
    look = look_at(*sleeping(1, declared=Unknown("no_bundle")))
    result = invoke(look, "diff", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_without_a_bundle_two_containers_are_compared_all_the_same() -> None:
    look = look_at(*running(1, declared=Unknown("no_bundle")), *running(2))
    found = differences(look, "web-1", "web-2")
    assert found == {
        "declared": {"what": "declared", "left": "no_bundle", "right": "known", "relation": "unknown", "beyond": None}
    }


def joining(path: str, *table: Mount, net: int = build.HOST_NET) -> Look:
    """A container whose bundle joins a net namespace by path, and what the host has mounted."""
    declared = build.declared(namespaces=(*OWN, DeclaredNamespace("net", path)))
    host = MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(900), (*build.host_mount_table(), *table))
    confinement = build.confinement(namespaces=build.namespaces(net=net))
    return look_at(host, *running(1, confinement, declared=declared))


def mounted_namespace(root: bytes) -> Mount:
    return build.mount(77, b"/run/docker/netns/default", root=root, fs_type=b"nsfs", source=b"nsfs")


@pytest.mark.parametrize("path", ["/proc/1/ns/net", "/run/docker/netns/default", "/var/run/docker/netns/default"])
def test_the_hosts_network_joined_by_path_is_as_declared(path: str) -> None:
    table = mounted_namespace(b"net:[%d]" % build.HOST_NET)
    assert differences(joining(path, table), "web-1") == {}


def test_the_hosts_network_is_wider_than_another_one_that_was_joined_by_path() -> None:
    table = mounted_namespace(b"net:[4026532777]")
    found = differences(joining("/var/run/docker/netns/default", table), "web-1")
    assert {name: each["relation"] for name, each in found.items()} == {"net_namespace": "wider"}


@pytest.mark.parametrize("path", ["/run/docker/netns/default", "/proc/4/ns/net", "/proc/1/ns/net/../x", "relative"])
def test_a_path_that_leads_nobody_knows_where_stays_unknown(path: str) -> None:
    found = differences(joining(path), "web-1")
    assert {name: each["relation"] for name, each in found.items()} == {"net_namespace": "unknown"}
