from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.containers.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_TEXT_CHARACTERS,
    MAX_TEXTS,
    parse_bundle,
    parse_bundle_with_remarks,
    read_bundle,
)
from collectors.errors import CollectorError, Gone, Malformed, TooLarge
from collectors.facts import Capabilities, DeclaredMount, DeclaredNamespace, DeviceRule

CAPS = ["CAP_CHOWN", "CAP_SYS_ADMIN"]
FULL: dict[str, Any] = {
    "ociVersion": "1.0.2-dev",
    "process": {
        "terminal": True,
        "user": {"uid": 1000, "gid": 100, "additionalGids": [7]},
        "args": ["sh", "-c", "true"],
        "env": ["PATH=/bin"],
        "cwd": "/srv",
        "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS, "inheritable": None},
        "noNewPrivileges": True,
        "apparmorProfile": "docker-default",
        "selinuxLabel": "",
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "h",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
        {"destination": "/host", "source": "/"},
    ],
    "hooks": {
        "prestart": [{"path": "/proc/1/exe", "args": ["x"]}],
        "createContainer": [{"path": "/usr/bin/nvidia-ctk"}],
        "poststop": None,
    },
    "annotations": {"a": "b"},
    "linux": {
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "namespaces": [{"type": "mount"}, {"type": "network", "path": "/proc/7/ns/net"}, {"type": "pid", "path": ""}],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "cgroupsPath": "/docker/x",
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"]}]},
        "resources": {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": -1, "access": "m"},
            ]
        },
    },
}


def _with(path: str, value: object) -> bytes:
    document = json.loads(json.dumps(FULL))
    *parents, last = path.split(".")
    place = document
    for key in parents:
        place = place[key]
    place[last] = value
    return json.dumps(document).encode()


def test_parses_every_field() -> None:
    declared = parse_bundle(json.dumps(FULL).encode(), "x")
    mask = 1 | 1 << 21
    assert declared.namespaces == (
        DeclaredNamespace("mnt", None),
        DeclaredNamespace("net", "/proc/7/ns/net"),
        DeclaredNamespace("pid", None),
    )
    assert declared.namespace("user") is None
    assert declared.capabilities == Capabilities(0, mask, mask, mask, 0)
    assert (declared.no_new_privs, declared.seccomp, declared.terminal, declared.root_readonly) == (True,) * 4
    assert (declared.apparmor_profile, declared.selinux_label) == ("docker-default", None)
    assert declared.mounts == (
        DeclaredMount("/proc", "proc", "proc", ("nosuid",)),
        DeclaredMount("/host", "/", "", ()),
    )
    assert declared.masked_paths == ("/proc/kcore",)
    assert declared.readonly_paths == ("/proc/sys",)
    assert declared.device_rules == (
        DeviceRule(allow=False, kind="a", major=None, minor=None, access="rwm"),
        DeviceRule(allow=True, kind="c", major=1, minor=None, access="m"),
    )
    assert (declared.uid, declared.gid) == (1000, 100)
    assert declared.arguments == ("sh", "-c", "true")
    assert declared.environment == ("PATH=/bin",)
    assert (declared.working_directory, declared.root_path) == ("/srv", "rootfs")
    assert declared.cgroups_path == "/docker/x"
    assert declared.hooks == ("/proc/1/exe", "/usr/bin/nvidia-ctk")
    assert declared.container_hooks == ("/usr/bin/nvidia-ctk",)
    assert declared.sysctls == (("net.ipv4.ip_forward", "1"),)
    assert declared.annotations == (("a", "b"),)
    assert isinstance(hash(declared), int)


def test_parses_what_is_absent_as_the_runtime_takes_it() -> None:
    declared = parse_bundle(b'{"process":{"cwd":"/"},"root":{"path":"r"}}', "x")
    assert declared.capabilities == Capabilities(0, 0, 0, 0, 0)
    assert declared.namespaces == ()
    assert (declared.seccomp, declared.no_new_privs) == (False, False)
    assert (declared.uid, declared.gid) == (0, 0)


def test_ignores_and_names_what_it_does_not_know() -> None:
    document = json.loads(_with("process.capabilities.bounding", ["CAP_CHOWN", "CAP_CAP_BPF", "cap_kill"]))
    document["linux"]["namespaces"].append({"type": "syslog"})
    declared, remarks = parse_bundle_with_remarks(json.dumps(document).encode(), "x")
    assert declared.capabilities.bounding == 1 | 1 << 5
    assert remarks == (
        "linux.namespaces[3].type: unknown namespace 'syslog'",
        "process.capabilities.bounding[1]: unknown capability 'CAP_CAP_BPF'",
    )


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "Input data was truncated"),
        (b"{}", "Object missing required field `process`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (_with("process.capabilities.bounding", ["CAP_KILL", 3]), "process.capabilities.bounding[1]: expected `str`"),
        (_with("mounts", {"a": 1}), "mounts: expected `array | null`, got `object`"),
        (_with("mounts", [{"source": "/"}]), "mounts[0]: object missing required field `destination`"),
        (_with("process.user.uid", "0"), "process.user.uid: expected `int`, got `str`"),
        (_with("linux.seccomp", "all"), "linux.seccomp: expected `object | null`"),
        (_with("linux.sysctl", {"a": 1}), "linux.sysctl[...]: expected `str`, got `int`"),
        (_with("process.noNewPrivileges", 1), "process.noNewPrivileges: expected `bool | null`"),
        (json.dumps(FULL).encode()[:-1], "Input data was truncated"),
        (json.dumps(FULL).encode() + b"x", "JSON is malformed: trailing characters"),
        (b'{"process":{"cwd":"\\ud800"},"root":{}}', "JSON is malformed"),
        (b'{"process":{"cwd":"\xff"},"root":{}}', "'utf-8' codec"),
        (b'{"x":' + b"[" * 1_000_000, "nested too deeply"),
        (
            b'{"process":{"user":{"uid":' + b"9" * 5000 + b'}},"root":{}}',
            "process.user.uid: integer value out of range",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_what_is_no_bundle(data: bytes, detail: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_bundle(data, "the source")
    assert caught.value.source == "the source"
    assert caught.value.detail.startswith(detail)


def test_takes_the_last_of_duplicate_keys_as_the_runtime_does() -> None:
    data = b'{"process":{"cwd":"/a"},"process":{"cwd":"/b"},"root":{}}'
    assert parse_bundle(data, "x").working_directory == "/b"


def test_refuses_what_is_too_large() -> None:
    with pytest.raises(TooLarge):
        parse_bundle(b" " * (MAX_BUNDLE_BYTES + 1), "x")


def test_bounds_texts() -> None:
    declared = parse_bundle(_with("process.env", ["A" * 10_000] * 1000), "x")
    assert len(declared.environment) == MAX_TEXTS
    assert {len(each) for each in declared.environment} == {MAX_TEXT_CHARACTERS}


@given(st.binary())
def test_raises_nothing_but_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_bundle(data, "x")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_PATHS = [
    *(f"process.{key}" for key in FULL["process"]),
    *(f"linux.{key}" for key in FULL["linux"]),
    *(key for key in FULL),
    "linux.resources.devices",
]


@given(st.sampled_from(_PATHS), _JSON)
def test_raises_nothing_but_malformed_for_any_value_anywhere(path: str, value: object) -> None:
    try:
        declared = parse_bundle(_with(path, value), "x")
    except Malformed:
        return
    assert isinstance(hash(declared), int)


def _bundle(directory: Path, data: bytes | None = None) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_bytes(json.dumps(FULL).encode() if data is None else data)
    return directory


def test_reads_a_bundle_and_makes_the_root_absolute(tmp_path: Path) -> None:
    _bundle(tmp_path / "ns" / "id")
    declared, remarks = read_bundle(str(tmp_path), "ns/id")
    assert declared.root_path == f"{tmp_path}/ns/id/rootfs"
    assert remarks == ()


def _sparse(directory: Path) -> None:
    with (directory / "config.json").open("wb") as file:
        file.truncate(100 << 20)


def _link(directory: Path) -> None:
    (directory / "config.json").rename(directory / "real.json")
    (directory / "config.json").symlink_to("real.json")


def _fifo(directory: Path) -> None:
    (directory / "config.json").unlink()
    os.mkfifo(directory / "config.json")


def _directory(directory: Path) -> None:
    (directory / "config.json").unlink()
    (directory / "config.json").mkdir()


def _linked_directory(directory: Path) -> None:
    directory.rename(directory.parent / "elsewhere")
    directory.symlink_to("elsewhere")


def _gone(directory: Path) -> None:
    (directory / "config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "kind", "detail"),
    [
        (_sparse, TooLarge, f"104857600 bytes, more than the {MAX_BUNDLE_BYTES} that are read"),
        (_link, Malformed, "is a symbolic link, which is not followed"),
        (_fifo, Malformed, "is not a regular file"),
        (_directory, Malformed, "is not a regular file"),
        (_linked_directory, Malformed, "id is a symbolic link, which is not followed"),
        (_gone, Gone, "No such file or directory"),
    ],
)
def test_refuses_files_that_lead_elsewhere(tmp_path: Path, spoil: Any, kind: type[CollectorError], detail: str) -> None:
    spoil(_bundle(tmp_path / "ns" / "id"))
    with pytest.raises(kind) as caught:
        read_bundle(str(tmp_path), "ns/id")
    assert caught.value.detail == detail
    assert caught.value.source == f"{tmp_path}/ns/id/config.json"


@pytest.mark.parametrize("path", ["../x", "a/../x", "a//b", "/etc", "a/./b", "a\x00b/c"])
def test_refuses_paths_that_lead_outside(tmp_path: Path, path: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Malformed):
        read_bundle(str(tmp_path), path)
