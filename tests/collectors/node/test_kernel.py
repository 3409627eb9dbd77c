from __future__ import annotations

from pathlib import Path

import pytest

from collectors.errors import Malformed
from collectors.facts import Mount, Unknown
from collectors.host import Roots
from collectors.node.kernel import (
    cgroup_layout,
    parse_lockdown,
    parse_version,
    read_lockdown,
    read_sysctls,
    read_version,
)
from collectors.node_facts import CgroupLayout, Software
from tests.support import build
from tests.support.proctree import build_tree

DEBIAN = (
    "Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld (GNU "
    "Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)\n"
)
UBUNTU = "Linux version 5.15.0-91-generic (buildd@lcy02) (gcc 11.4.0) #101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023\n"
RHEL = "Linux version 4.18.0-513.5.1.el8_9.x86_64 (mockbuild) (gcc 8.5.0) #1 SMP Fri Sep 29 05:21:10 EDT 2023\n"
PLAIN = "Linux version 6.18.44 (builder@host) (gcc (GCC) 15.3.0) #1 SMP PREEMPT_DYNAMIC @0\n"


@pytest.mark.parametrize(
    ("version", "signature", "expected"),
    [
        (DEBIAN, "", Software("kernel", "6.1.76-debian", "proc/version")),
        (
            UBUNTU,
            "Ubuntu 5.15.0-91.101-generic 5.15.131\n",
            Software("kernel", "5.15.131-ubuntu", "proc/version_signature"),
        ),
        (
            RHEL,
            "",
            Software("kernel", Unknown("unsupported: a kernel that is repaired under an old number"), "proc/version"),
        ),
        (PLAIN, "", Software("kernel", "6.18.44", "proc/version")),
        ("Linux version 6.19-rc3 (x) #1\n", "", Software("kernel", "6.19", "proc/version")),
    ],
    ids=["debian", "ubuntu", "rhel", "plain", "candidate"],
)
def test_parses_the_version(version: str, signature: str, expected: Software) -> None:
    assert parse_version(version, signature) == expected


@pytest.mark.parametrize("version", ["", "Linux version", "FreeBSD 14", "Linux version next (x)"])
def test_refuses_another_line(version: str) -> None:
    with pytest.raises(Malformed):
        parse_version(version)


@pytest.mark.parametrize(
    ("text", "mode"), [("[none] integrity confidentiality\n", "none"), ("none [integrity]", "integrity")]
)
def test_parses_lockdown(text: str, mode: str) -> None:
    assert parse_lockdown(text) == mode


def test_refuses_lockdown_without_a_mode() -> None:
    with pytest.raises(Malformed):
        parse_lockdown("none integrity")


def mounted(fs_type: bytes, *options: bytes) -> Mount:
    return build.mount(40, b"/sys/fs/cgroup/x", fs_type=fs_type, super_options=(b"rw", *options))


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ((), Unknown("not_read: the host's mount table")),
        ((mounted(b"ext4"),), Unknown("gone: no cgroup file system")),
        ((mounted(b"cgroup2"),), CgroupLayout.V2),
        ((mounted(b"cgroup2"), mounted(b"cgroup", b"name=systemd")), CgroupLayout.V2),
        ((mounted(b"cgroup", b"memory"),), CgroupLayout.V1),
        ((mounted(b"cgroup", b"memory"), mounted(b"cgroup2")), CgroupLayout.HYBRID),
    ],
)
def test_tells_the_layout_of_cgroups(mounts: tuple[Mount, ...], expected: CgroupLayout | Unknown) -> None:
    assert cgroup_layout(mounts) == expected


def test_reads_what_this_kernel_has(tmp_path: Path) -> None:
    proc = build_tree(
        tmp_path / "proc",
        {
            "version": PLAIN.encode(),
            "sys": {
                "kernel": {"kptr_restrict": b"1\n", "perf_event_paranoid": b"-1\n", "dmesg_restrict": b"odd\n"},
                "user": {"max_user_namespaces": b"96365\n"},
            },
        },
    )
    roots = Roots(proc=proc, sys=str(tmp_path / "sys"), host=str(tmp_path))
    assert read_version(roots) == Software("kernel", "6.18.44", "proc/version")
    assert read_sysctls(roots) == (
        ("kernel.kptr_restrict", 1),
        ("kernel.perf_event_paranoid", -1),
        ("user.max_user_namespaces", 96365),
    )
    lockdown = read_lockdown(roots)
    assert isinstance(lockdown, Unknown)
    assert lockdown.why.startswith("gone: ")


def test_a_version_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    roots = Roots(proc=str(tmp_path), sys=str(tmp_path), host=str(tmp_path))
    assert isinstance(read_version(roots).version, Unknown)
