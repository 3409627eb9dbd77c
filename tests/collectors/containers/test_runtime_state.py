from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.containers.runtime_state import (
    BUNDLE_DIRECTORIES,
    STATE_DIRECTORIES,
    RuntimeState,
    parse_crun_status,
    parse_pid,
    parse_runc_state,
    parse_time,
)
from collectors.errors import Malformed

RUNC = {
    "id": "x",
    "init_process_pid": 4711,
    "init_process_start": 123456,
    "created": "2026-11-21T20:00:00.123456789Z",
    "config": {"labels": ["org=x", "bundle=/srv/b"], "cgroups": {"path": "/x"}},
    "rootless": False,
    "cgroup_paths": {
        "": "/sys/fs/cgroup/unified/docker/x",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/docker/x",
        "name=systemd": "/sys/fs/cgroup/systemd/",
        "misc": "/elsewhere/x",
        "pids": "/sys/fs/cgroup/pids/user.slice",
    },
    "namespace_paths": {"NEWNS": "/proc/4711/ns/mnt"},
}
CREATED_NS = 1_795_291_200_123_456_789


def test_parses_runc_state() -> None:
    assert parse_runc_state(json.dumps(RUNC).encode(), "x") == RuntimeState(
        4711, 123456, CREATED_NS, frozenset({b"/docker/x"}), "/srv/b"
    )


def test_parses_runc_state_of_pure_cgroup_v2() -> None:
    data = json.dumps(RUNC | {"cgroup_paths": {"": "/sys/fs/cgroup/system.slice/docker-x.scope"}}).encode()
    assert parse_runc_state(data, "x").cgroup_paths == {b"/system.slice/docker-x.scope"}


def test_parses_crun_status() -> None:
    status = {
        "pid": 4711,
        "process-start-time": 99,
        "cgroup-path": "/machine.slice/libpod-x.scope",
        "scope": "libpod-x.scope",
        "rootfs": "/r",
        "systemd-cgroup": True,
        "bundle": "/var/lib/containers/storage/overlay-containers/x/userdata",
        "created": "2026-11-21T20:00:00.123456789Z",
        "detached": True,
        "external_descriptors": "[]",
    }
    assert parse_crun_status(json.dumps(status).encode(), "x") == RuntimeState(
        4711, 99, CREATED_NS, frozenset({b"/machine.slice/libpod-x.scope"}), str(status["bundle"])
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"init_process_pid":0}', b'{"init_process_pid":-1}', b'{"init_process_pid":"1"}', b"\xff"],
)
def test_refuses_what_is_no_state(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_runc_state(data, "x")
    with pytest.raises(Malformed):
        parse_crun_status(data.replace(b"init_process_pid", b"pid"), "x")


@given(st.binary())
def test_raises_nothing_but_malformed(data: bytes) -> None:
    for parse in (parse_runc_state, parse_crun_status):
        with pytest.raises(Malformed):
            parse(data, "x")


def test_parses_a_pid() -> None:
    assert parse_pid(b"4711\n", "x") == 4711
    assert parse_pid(b"4194304", "x") == 4194304


@pytest.mark.parametrize("data", [b"", b"0", b"-1", b"4194305", b"1 2", b"0x10", "\u0661".encode(), b"9" * 31])
def test_refuses_what_is_no_pid(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_pid(data, "x")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T20:00:00.123456789Z", CREATED_NS),
        ("2026-11-21T22:00:00.123456789+02:00", CREATED_NS),
        ("2026-11-21T20:00:00Z", CREATED_NS - 123_456_789),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-21T20:00:00Z", None),
        ("yesterday", None),
        ("", None),
        ("0001-01-01T00:00:00+99:99", None),
    ],
)
def test_parses_a_time(text: str, time: int | None) -> None:
    assert parse_time(text) == time


@given(st.text())
def test_takes_any_text_for_a_time(text: str) -> None:
    assert parse_time(text) is None


def test_every_place_is_relative_and_names_at_most_one_user() -> None:
    for path in (*(row.path for row in BUNDLE_DIRECTORIES), *(row.path for row in STATE_DIRECTORIES)):
        assert not path.startswith("/")
        assert not path.endswith("/")
        assert ".." not in path
        assert path.count("*") <= 1
