"""What the kernel says of its own hardening: sysctls, lockdown, cgroup hierarchies, version.

Sources: ``Documentation/admin-guide/sysctl/kernel.rst``, kernel_lockdown(7), cgroups(7), proc_version(5). A
distribution's kernel bears an old number and is repaired under it: Debian and Ubuntu also say which stable release
theirs is based on, the kernels of RHEL and its kin follow none, and are ``Unknown``.
"""

from __future__ import annotations

import re

from collectors.bounded import read_bounded, unknown
from collectors.errors import CollectorError, Malformed
from collectors.facts import Mount, Unknown
from collectors.host import Roots
from collectors.node_facts import CgroupLayout, Software

SYSCTLS = (
    "kernel.dmesg_restrict",
    "kernel.kexec_load_disabled",
    "kernel.kptr_restrict",
    "kernel.modules_disabled",
    "kernel.perf_event_paranoid",
    "kernel.unprivileged_bpf_disabled",
    "kernel.unprivileged_userns_clone",  # Debian and Ubuntu
    "kernel.apparmor_restrict_unprivileged_userns",  # Ubuntu
    "kernel.yama.ptrace_scope",
    "user.max_user_namespaces",
    "vm.unprivileged_userfaultfd",
)

_MAX_BYTES = 4096
_NUMBER = re.compile(rb"-?\d{1,18}")
_RELEASE = re.compile(r"(\d{1,4}\.\d{1,6}(?:\.\d{1,6})?)")
_DEBIAN = re.compile(r" Debian (\d{1,4}\.\d{1,6}\.\d{1,6})-")
_FOLLOWS_NO_RELEASE = re.compile(r"\.el\d|\.uek|\.ol\d")


def parse_version(version: str, signature: str = "") -> Software:
    """The kernel as ``/proc/version`` and, on Ubuntu, ``/proc/version_signature`` have it; raises ``Malformed``."""
    words = version.split()
    release = words[2] if version.startswith("Linux version ") and len(words) > 2 else ""  # noqa: PLR2004
    based_on = _RELEASE.fullmatch(signature.rsplit(maxsplit=1)[-1]) if signature.split() else None
    debian = _DEBIAN.search(version)
    if based_on is not None:
        return Software("kernel", f"{based_on[1]}-ubuntu", "proc/version_signature")
    if debian is not None:
        return Software("kernel", f"{debian[1]}-debian", "proc/version")
    number = _RELEASE.match(release)
    if number is None:
        raise Malformed("proc/version", "not the kernel's line")
    if _FOLLOWS_NO_RELEASE.search(release):
        why = Unknown("unsupported: a kernel that is repaired under an old number")
        return Software("kernel", why, "proc/version")
    return Software("kernel", number[1], "proc/version")


def read_version(roots: Roots) -> Software:
    """The running kernel."""
    try:
        return parse_version(_text(f"{roots.proc}/version"), _optional(f"{roots.proc}/version_signature"))
    except CollectorError as error:
        return Software("kernel", unknown(error), "proc/version")


def read_sysctls(roots: Roots) -> tuple[tuple[str, int], ...]:
    """The settings that this kernel has; one that cannot be read is left out."""
    found: list[tuple[str, int]] = []
    for name in SYSCTLS:
        try:
            value = read_bounded(f"{roots.proc}/sys/{name.replace('.', '/')}", _MAX_BYTES, source=name).strip()
        except CollectorError:
            continue
        if _NUMBER.fullmatch(value):
            found.append((name, int(value)))
    return tuple(found)


def parse_lockdown(text: str) -> str:
    """The mode in brackets: ``none [integrity] confidentiality``; raises ``Malformed``."""
    found = re.search(r"\[(\w{1,32})\]", text)
    if found is None:
        raise Malformed("sys/kernel/security/lockdown", "no mode in brackets")
    return found[1]


def read_lockdown(roots: Roots) -> str | Unknown:
    """The lockdown mode; a kernel without the module has none of its files."""
    try:
        return parse_lockdown(_text(f"{roots.sys}/kernel/security/lockdown"))
    except CollectorError as error:
        return unknown(error)


def cgroup_layout(mounts: tuple[Mount, ...]) -> CgroupLayout | Unknown:
    """From the host's mount table: v1 hierarchies with a controller, v2, or both. Pure."""
    if not mounts:
        return Unknown("not_read: the host's mount table")
    has_v1 = any(each.fs_type == b"cgroup" and not _is_named(each) for each in mounts)
    has_v2 = any(each.fs_type == b"cgroup2" for each in mounts)
    if has_v1:
        return CgroupLayout.HYBRID if has_v2 else CgroupLayout.V1
    return CgroupLayout.V2 if has_v2 else Unknown("gone: no cgroup file system")


def _is_named(mount: Mount) -> bool:
    """A hierarchy without controllers, as systemd has one for itself."""
    return any(option.startswith(b"name=") for option in mount.super_options)


def _text(path: str) -> str:
    return read_bounded(path, _MAX_BYTES, source=path).decode("utf-8", "replace")


def _optional(path: str) -> str:
    try:
        return _text(path)
    except CollectorError:
        return ""
