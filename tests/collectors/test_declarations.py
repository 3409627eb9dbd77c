from __future__ import annotations

import os

import pytest

from collectors.declarations import (
    allows_all_devices,
    allows_device,
    in_own_user_namespace,
    is_privileged,
    names_device,
)
from collectors.facts import DeclaredNamespace, DeviceRule, Unknown
from tests.support import build

NOT_SEEN = Unknown("not_read")


def rules(*texts: str) -> tuple[DeviceRule, ...]:
    """``+b 8:0 rw`` allows, ``-a`` denies."""
    found = []
    for text in texts:
        kind, _, rest = text[1:].partition(" ")
        numbers, _, access = rest.partition(" ")
        major, minor = (None if each in {"", "*"} else int(each) for each in (numbers + ":").split(":")[:2])
        found.append(DeviceRule(text[0] == "+", kind, major, minor, access or "rwm"))
    return tuple(found)


@pytest.mark.parametrize(
    ("texts", "device", "allowed"),
    [
        ((), ("b", 8, 0), False),
        (("-a", "+b 8:0 rw"), ("b", 8, 0), True),
        (("-a", "+b 8:0 rw"), ("b", 8, 1), False),
        (("-a", "+b 8:* r"), ("b", 8, 1), True),
        (("-a", "+b 8:* r"), ("b", None, None), False),
        (("-a", "+b *:* m"), ("b", 8, 0), False),
        (("+a",), ("c", 1, 1), True),
        (("+a", "-c 1:1 rwm"), ("c", 1, 1), False),
        (("+a", "-c 1:1 w"), ("c", 1, 1), True),
        (("+b 8:0 rw", "-a"), ("b", 8, 0), False),
        (("+c 1:1 rw",), ("b", 1, 1), False),
    ],
)
def test_the_last_rule_that_covers_a_device_decides(
    texts: tuple[str, ...], device: tuple[str, int | None, int | None], *, allowed: bool
) -> None:
    assert allows_device(build.declared(device_rules=rules(*texts)), *device) is allowed


@pytest.mark.parametrize(
    ("text", "is_named", "is_named_or_its_major"),
    [
        ("+c 10:200 rw", True, True),
        ("+c 10:* rw", False, True),
        ("+c *:* rw", False, False),
        ("+c *:200 rw", False, False),
        ("+a", False, False),
        ("-c 10:200 rw", False, False),
        ("+b 10:200 rw", False, False),
        ("+c 10:201 rw", False, False),
        ("+c 11:200 rw", False, False),
    ],
)
def test_a_device_is_named_by_its_number(text: str, *, is_named: bool, is_named_or_its_major: bool) -> None:
    container = build.container(declared=build.declared(device_rules=rules("-a", text)))
    assert names_device(container, "c", os.makedev(10, 200)) is is_named
    assert names_device(container, "c", os.makedev(10, 200), or_its_major=True) is is_named_or_its_major


def test_no_device_is_named_by_a_bundle_that_is_not_known() -> None:
    assert not names_device(build.container(declared=NOT_SEEN), "c", os.makedev(10, 200))


def test_all_devices_are_block_and_character_devices() -> None:
    assert allows_all_devices(build.declared(device_rules=rules("+a")))
    assert allows_all_devices(build.declared(device_rules=rules("+b *:* rw", "+c *:* rw")))
    assert not allows_all_devices(build.declared(device_rules=rules("+b *:* rw")))


def test_privileged_is_everything_that_the_node_has() -> None:
    everything = {"seccomp": False, "device_rules": rules("+a")}
    host = build.host_baseline(bounding=0xFF)
    assert is_privileged(build.declared(capabilities=build.capabilities(0xFF), **everything), host)
    assert not is_privileged(build.declared(capabilities=build.capabilities(0x7F), **everything), host)


def test_the_first_process_tells_of_the_user_namespace_before_the_bundle_does() -> None:
    host, plain = build.host_baseline(), build.declared()
    apart = build.first_process(
        confinement=build.confinement(namespaces=build.namespaces(user=build.own_user_namespace()))
    )
    own = build.declared(namespaces=(*plain.namespaces, DeclaredNamespace("user", None)))
    joined = build.declared(namespaces=(*plain.namespaces, DeclaredNamespace("user", "/proc/1/ns/user")))
    assert in_own_user_namespace(plain, apart, host)
    assert not in_own_user_namespace(own, build.first_process(), host)
    assert in_own_user_namespace(own, NOT_SEEN, host)
    assert not in_own_user_namespace(plain, NOT_SEEN, host)
    assert not in_own_user_namespace(joined, NOT_SEEN, host)
