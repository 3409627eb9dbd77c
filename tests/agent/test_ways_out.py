from __future__ import annotations

from typing import Any

from agent.way_steps import CAPABILITIES, INTERFACES, NAMESPACES, NODE_CHECKS, PARTS, Ease, Gain
from agent.ways_out import Exposure, Way, find_exposures, rank
from collectors.capabilities import mask
from collectors.facts import Container, DeclaredMount, DeclaredNamespace, DeviceRule, Reach, Unknown
from detectors import dangerous_capabilities, hostile_bundle, kernel_interfaces_unmasked, node_weak
from detectors.base import Family, Severity
from detectors.catalog import DETECTORS
from tests.support import build
from tests.support.view import FakeView

KNOWN = frozenset({"HW-101", "HW-103", "HW-112", "HW-114", "HW-208"})
EVERYTHING = (DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm"),)
NO_PID = tuple(DeclaredNamespace(kind, None) for kind in ("mnt", "net", "uts", "ipc", "cgroup"))
DOCKER_SOCKET = "/run/docker.sock"


def ways(container: Container, *node: Exposure) -> tuple[Way, ...]:
    view = FakeView().put_container(container, build.first_process())
    exposures, unknown = find_exposures(container, view, DETECTORS)
    assert unknown == ()
    return rank(exposures, node, KNOWN)


def declared(**overrides: Any) -> Container:
    return build.container(declared=build.declared(**overrides))


def told(found: tuple[Way, ...]) -> list[tuple[Ease, str, str]]:
    return [(each.ease, each.rule_id, each.declared) for each in found]


def test_plain_docker_run_has_only_the_way_of_every_root() -> None:
    assert told(ways(build.container())) == [
        (Ease.NEEDS_A_FAULT, "HW-308", "root in the host's user namespace"),
    ]


def test_the_easiest_comes_first_and_only_known_rules_see_it() -> None:
    container = build.container(
        declared=build.declared(capabilities=build.capabilities(build.DOCKER_CAPABILITIES | mask(["CAP_SYS_ADMIN"]))),
        sources=(build.source("/s", DOCKER_SOCKET, (DOCKER_SOCKET, Reach.IS)),),
    )
    found = ways(container)
    assert told(found)[:2] == [
        (Ease.ONE_STEP, "HW-304", f"socket {DOCKER_SOCKET}"),
        (Ease.FEW_STEPS, "HW-303", "CAP_SYS_ADMIN"),
    ]
    assert found[0].gain is Gain.ROOT_ON_HOST
    assert found[0].seen_by == ()
    assert found[1].seen_by == ("HW-112",)


def test_the_hosts_pids_are_a_way_only_with_ptrace() -> None:
    alone = ways(declared(namespaces=NO_PID))
    assert (Ease.NEEDS_A_FAULT, "HW-302", "host's pid namespace") in told(alone)
    traced = ways(
        declared(
            namespaces=NO_PID,
            capabilities=build.capabilities(build.DOCKER_CAPABILITIES | mask(["CAP_SYS_PTRACE"])),
        )
    )
    assert told(traced)[0] == (Ease.ONE_STEP, "HW-302", "host's pid namespace and CAP_SYS_PTRACE")


def test_a_shared_mount_is_easier_with_sys_admin() -> None:
    mounts = (DeclaredMount("/csi", "/srv", "bind", ("rshared",)),)
    assert (Ease.NEEDS_A_FAULT, "HW-310", "shared mount") in told(ways(declared(mounts=mounts)))
    able = build.capabilities(build.DOCKER_CAPABILITIES | mask(["CAP_SYS_ADMIN"]))
    assert (Ease.FEW_STEPS, "HW-310", "shared mount") in told(ways(declared(mounts=mounts, capabilities=able)))


def test_a_privileged_container_begins_with_that() -> None:
    found = ways(
        declared(capabilities=build.capabilities(build.FULL_CAPABILITIES), seccomp=False, device_rules=EVERYTHING)
    )
    assert told(found)[0] == (Ease.ONE_STEP, "HW-301", "privileged")
    assert [each.ease for each in found] == sorted(each.ease for each in found)


def test_mounts_are_ways_by_what_can_be_done_with_them() -> None:
    container = build.container(
        sources=(
            build.source("/e", "/etc", ("/etc", Reach.IS)),
            build.source("/k", "/etc/kubernetes", ("/etc/kubernetes", Reach.IS), is_read_only=True),
            build.source("/u", "/usr", ("/usr", Reach.IS), is_read_only=True),
        )
    )
    assert told(ways(container))[:2] == [
        (Ease.ONE_STEP, "HW-305", "/etc writable"),
        (Ease.ONE_STEP, "HW-305", "/etc/kubernetes readable"),
    ]
    assert (Ease.NEEDS_A_FAULT, "HW-305", "/usr readable") in told(ways(container))


def test_devices_interfaces_filters_and_hostile_parts_are_ways() -> None:
    container = declared(
        device_rules=(
            DeviceRule(allow=True, kind="b", major=8, minor=0, access="rw"),
            DeviceRule(allow=True, kind="c", major=10, minor=232, access="rw"),
        ),
        readonly_paths=(),
        seccomp=False,
        working_directory="/proc/self/fd/7",
    )
    found = {way.declared: way.ease for way in ways(container)}
    assert found["block device 8:0"] is Ease.ONE_STEP
    assert found["kvm"] is Ease.NEEDS_A_FAULT
    assert found["/proc/sys open"] is Ease.ONE_STEP
    assert found["no seccomp"] is Ease.NEEDS_A_FAULT
    assert found["working directory in a descriptor of the runtime: /proc/self/fd/7"] is Ease.ONE_STEP


def test_the_nodes_weaknesses_are_ways_of_every_container() -> None:
    breakouts = Exposure(
        "HW-351",
        Severity.HIGH,
        {"software": "runc", "version": "1.1.11", "breakouts": ("CVE-2024-21626",), "needs": ("an image",)},
    )
    open_engine = Exposure("HW-351", Severity.HIGH, {"check": "docker_tcp_without_tls"})
    mild = Exposure("HW-351", Severity.INFO, {"checks": ("kexec",)})
    assert told(ways(build.container(), breakouts, open_engine, mild)) == [
        (Ease.FEW_STEPS, "HW-351", "Docker daemon on TCP without TLS"),
        (Ease.NEEDS_A_FAULT, "HW-308", "root in the host's user namespace"),
        (Ease.NEEDS_A_FAULT, "HW-351", "CVE-2024-21626 in runc 1.1.11"),
    ]


def test_what_could_not_be_told_is_said_once() -> None:
    container = build.container(declared=Unknown("no_bundle"), sources=Unknown("no_bundle"))
    exposures, unknown = find_exposures(container, FakeView(), DETECTORS)
    assert exposures == ()
    asked = [each for each in DETECTORS if each.family is Family.EXPOSURE and each is not node_weak.DETECTOR]
    assert set(unknown) == {f"{each.id}: no_bundle" for each in asked}


def test_a_rule_without_a_table_tells_what_it_opens() -> None:
    (way,) = rank([Exposure("HW-399", Severity.LOW, {"opens": ("does this", "does that")})], (), KNOWN)
    assert (way.declared, way.steps) == ("HW-399", ("does this", "does that"))


def test_the_tables_speak_the_words_of_the_detectors() -> None:
    assert set(CAPABILITIES) == set(dangerous_capabilities.OPENS)
    assert set(NAMESPACES) == {"mnt", "pid", "ipc", "net", "uts"}
    interfaces = {*kernel_interfaces_unmasked.MASKED, *kernel_interfaces_unmasked.READ_ONLY, "/sys", "/sys/fs/cgroup"}
    assert set(INTERFACES) <= interfaces
    for part in hostile_bundle.OPENS:
        assert any(part.startswith(start) for start in PARTS)
    source = node_weak.__file__
    assert source is not None
    with open(source, encoding="utf-8") as file:
        text = file.read()
    assert all(f'"{check}"' in text for check in NODE_CHECKS)
