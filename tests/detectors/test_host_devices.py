from __future__ import annotations

import pytest

from collectors.events import ContainerSeen
from collectors.facts import DeviceRule, Unknown
from detectors.base import Blind, Finding, Severity
from detectors.host_devices import CHARACTER_DEVICES, DETECTOR
from tests.support import build
from tests.support.view import FakeView, run


def rule(text: str, *, allow: bool = True) -> DeviceRule:
    """As the kernel writes one: ``c 1:3 rwm``, ``b *:* m``, ``a``."""
    kind, _, rest = text.partition(" ")
    numbers, _, access = rest.partition(" ")
    major, _, minor = numbers.partition(":")
    return DeviceRule(
        allow, kind, int(major) if major.isdigit() else None, int(minor) if minor.isdigit() else None, access or "rwm"
    )


DENY = rule("a", allow=False)
USUAL = (DENY, *(rule(f"c {each} rwm") for each in ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*")))
MKNOD = (rule("c *:* m"), rule("b *:* m"))


def find(*rules: DeviceRule, seccomp: bool = True, everything: bool = False) -> list[Finding | Blind]:
    capabilities = build.capabilities(build.FULL_CAPABILITIES if everything else build.DOCKER_CAPABILITIES)
    declared = build.declared(device_rules=rules, seccomp=seccomp, capabilities=capabilities)
    return run(DETECTOR, ContainerSeen(build.NOW_NS, build.container(declared=declared)), FakeView())


def found(*rules: DeviceRule) -> tuple[object, Severity | None]:
    (finding,) = find(*rules)
    assert isinstance(finding, Finding)
    return dict(finding.evidence)["devices"], finding.severity


def test_fires_when_a_disk_is_given() -> None:
    assert find(*USUAL, rule("b 8:0 rwm")) == [
        Finding(
            "was started with devices of the host: block device 8:0",
            build.container_id(),
            evidence=(
                ("devices", ("block device 8:0",)),
                ("opens", ("reads and writes every file of the disk",)),
            ),
            severity=Severity.MEDIUM,
        )
    ]


@pytest.mark.parametrize(
    ("rules", "devices", "severity"),
    [
        ((rule("b 8:* r"),), ("block device 8:*",), Severity.MEDIUM),
        ((rule("b *:* rw"),), ("every block device",), Severity.MEDIUM),
        ((rule("c *:* rw"),), ("every character device",), Severity.MEDIUM),
        ((rule("a"),), ("every block device", "every character device"), Severity.MEDIUM),
        ((rule("c 1:1 r"),), ("mem",), Severity.MEDIUM),
        ((rule("c 1:* r"),), ("mem", "kmem", "port"), Severity.MEDIUM),
        ((rule("c 21:0 rw"),), ("sg",), Severity.MEDIUM),
        ((rule("c 21:* rw"),), ("sg",), Severity.MEDIUM),
        ((rule("c 10:229 rwm"),), ("fuse",), Severity.LOW),
        ((rule("c 10:232 rwm"), rule("c 10:200 rwm")), ("tun", "kvm"), Severity.LOW),
    ],
)
def test_fires_when_a_dangerous_device_is_given(
    rules: tuple[DeviceRule, ...], devices: tuple[str, ...], severity: Severity
) -> None:
    assert found(*USUAL, *rules) == (devices, severity)


def test_fires_when_many_disks_are_given_with_a_bound() -> None:
    devices, _ = found(*USUAL, *(rule(f"b 8:{minor} rw") for minor in range(40)))
    assert isinstance(devices, tuple)
    assert len(devices) == 16


@pytest.mark.parametrize(
    "rules",
    [(), USUAL, (*USUAL, *MKNOD), (*USUAL, rule("b 8:0 rwm"), DENY), (*USUAL, rule("b 8:0 m")), (rule("c 195:* rwm"),)],
    ids=["none", "usual", "mknod-without-use", "denied-again", "mknod-of-a-disk", "gpu"],
)
def test_silent_when_the_devices_lead_nowhere(rules: tuple[DeviceRule, ...]) -> None:
    assert find(*rules) == []


def test_silent_when_it_is_privileged_which_another_rule_tells() -> None:
    assert find(rule("a"), seccomp=False, everything=True) == []


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]


def test_the_table_names_each_device_once() -> None:
    names = [name for name, _, _ in CHARACTER_DEVICES.values()]
    assert len(set(names)) == len(names)
