from __future__ import annotations

from typing import Any

import pytest

from agent.cli.declared import as_confinement, texts
from collectors.confinement import undecided, wider
from collectors.facts import NAMESPACE_KINDS, CgroupMembership, Confinement, DeclaredNamespace
from tests.support import build


def widened(declared: dict[str, Any] | None = None, **observed: Any) -> list[str]:
    """The aspects in which what was observed is wider than what was declared."""
    seen = build.confinement(**observed)
    asked = as_confinement(build.declared(**(declared or {})), seen, build.frame())
    return [each.aspect for each in wider(seen, asked, build.frame())]


def test_a_container_as_docker_makes_it_is_not_wider_than_declared() -> None:
    assert widened() == []
    seen = build.confinement()
    assert undecided(seen, as_confinement(build.declared(), seen, build.frame()), build.frame()) == ()


@pytest.mark.parametrize("kind", ["mnt", "pid", "net", "ipc", "uts", "cgroup"])
def test_the_hosts_namespace_is_wider_than_one_of_its_own(kind: str) -> None:
    host = getattr(build.host_namespaces(), kind)
    assert widened(namespaces=build.namespaces(**{kind: host})) == [f"{kind}_namespace"]


def test_the_hosts_namespaces_are_not_wider_when_they_were_declared() -> None:
    assert widened({"namespaces": ()}, namespaces=build.host_namespaces()) == []


def test_a_namespace_that_is_joined_by_path_may_have_been_the_hosts() -> None:
    namespaces = tuple(DeclaredNamespace(kind, f"/proc/7/ns/{kind}") for kind in NAMESPACE_KINDS)
    assert widened({"namespaces": namespaces}, namespaces=build.host_namespaces()) == []


@pytest.mark.parametrize(
    ("observed", "aspects"),
    [
        ({"root": build.HOST_ROOT_PLACE}, ["root"]),
        ({"cwd": build.host_directory()}, ["cwd"]),
        ({"seccomp": build.seccomp(0)}, ["seccomp"]),
        ({"lsm_label": build.UNCONFINED}, ["lsm_label"]),
        ({"cgroups": build.cgroups(b"/system.slice/cron.service")}, ["cgroups"]),
        ({"uids": build.ids(1000)}, []),
    ],
    ids=lambda each: "" if isinstance(each, list) else next(iter(each)),
)
def test_wider_than_declared(observed: dict[str, Any], aspects: list[str]) -> None:
    assert widened(**observed) == aspects


@pytest.mark.parametrize(
    ("controllers", "path_at_entry", "aspects"),
    [
        (b"misc", None, []),
        (b"misc", b"/", ["cgroups"]),
        (b"misc", build.cgroup_path_v1(), ["cgroups"]),
        (b"name=backup", None, []),
        (b"name=backup", b"/", []),
        (b"name=backup", build.cgroup_path_v1(), ["cgroups"]),
        (b"name=systemd", b"/", ["cgroups"]),
    ],
)
def test_outside_of_a_hierarchy_is_wider_where_the_runtime_may_have_put_it_inside(
    controllers: bytes, path_at_entry: bytes | None, aspects: list[str]
) -> None:
    def vector(path: bytes | None) -> Confinement:
        line = () if path is None else (CgroupMembership(12, controllers, path),)
        return build.confinement(cgroups=(*build.cgroups_v1(), *line))

    frame = build.frame(cgroup_paths=frozenset({build.cgroup_path_v1()}))
    seen = vector(b"/")
    asked = as_confinement(build.declared(), seen, frame, entered=vector(path_at_entry))
    assert [each.aspect for each in wider(seen, asked, frame)] == aspects


def test_capabilities_beyond_the_declared_ones_are_wider() -> None:
    more = build.capabilities(build.DOCKER_CAPABILITIES | build.CAP_SYS_ADMIN)
    assert widened(capabilities=more) == ["permitted_capabilities", "effective_capabilities", "bounding_capabilities"]


def test_root_is_wider_than_the_declared_user() -> None:
    assert widened({"uid": 1000, "gid": 1000}) == ["uids", "gids"]


def test_says_what_was_declared() -> None:
    asked = build.declared(namespaces=(DeclaredNamespace("net", "/proc/7/ns/net"), DeclaredNamespace("pid", None)))
    said = texts(asked)
    assert [said["net_namespace"], said["pid_namespace"], said["mnt_namespace"]] == [
        "joins /proc/7/ns/net",
        "its own",
        "the host's",
    ]
