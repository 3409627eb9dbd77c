"""Questions asked of what a bundle declares: which user namespace, which devices, whether it is privileged. Pure.

Device rules are judged in their order, the last that fits decides, as runc and crun apply them to the device cgroup
(runtime specification, "Allowed Device list"). A bundle without rules gets the runtime's own few devices.
"""

from __future__ import annotations

from collectors import device_numbers
from collectors.facts import Container, Declared, DeviceRule, HostBaseline, Process, Unknown

OLD_ALL = (1 << 38) - 1
"""Up to CAP_AUDIT_READ: engines before 2020 know no more (PERFMON, BPF, CHECKPOINT_RESTORE), so grant no more."""

_USE = frozenset("rw")


def in_own_user_namespace(declared: Declared, first: Process | Unknown, host: HostBaseline) -> bool:
    """The container has a user namespace other than the host's, as its first process shows, else as declared."""
    user = first.confinement.namespaces.user if isinstance(first, Process) else first
    if isinstance(user, int) and isinstance(host.namespaces.user, int):
        return user != host.namespaces.user
    wanted = declared.namespace("user")
    return wanted is not None and wanted.path != "/proc/1/ns/user"


def allows_device(declared: Declared, kind: str, major: int | None, minor: int | None) -> bool:
    """The rules let the container read or write that device; ``None`` stands for *every* number."""
    allowed: set[str] = set()
    for rule in declared.device_rules:
        if not _covers(rule, kind, major, minor):
            continue
        if rule.allow:
            allowed |= _USE & set(rule.access)
        else:
            allowed -= set(rule.access)
    return bool(allowed)


def names_device(container: Container, kind: str, rdev: int, *, or_its_major: bool = False) -> bool:
    """A rule of the bundle allows that very device by its number, or all of its major number, but never just all."""
    if not isinstance(container.declared, Declared):
        return False
    major, minor = device_numbers.major(rdev), device_numbers.minor(rdev)
    minors = {minor, None} if or_its_major else {minor}
    return any(
        rule.allow and rule.kind == kind and rule.major == major and rule.minor in minors
        for rule in container.declared.device_rules
    )


def allows_all_devices(declared: Declared) -> bool:
    """Every block and every character device may be used."""
    return allows_device(declared, "b", None, None) and allows_device(declared, "c", None, None)


def is_privileged(declared: Declared, host: HostBaseline) -> bool:
    """Every capability of the node (that an engine of its time knows), no seccomp, all devices: ``--privileged``."""
    node = host.bounding if isinstance(host.bounding, int) else OLD_ALL
    wanted = node & OLD_ALL
    has_all = declared.capabilities.bounding & wanted == wanted
    return has_all and not declared.seccomp and allows_all_devices(declared)


def _covers(rule: DeviceRule, kind: str, major: int | None, minor: int | None) -> bool:
    """The rule decides about all that is asked for."""
    if rule.kind not in {"a", kind}:
        return False
    if rule.kind == "a":  # the numbers do not count (Documentation/admin-guide/cgroup-v1/devices.rst)
        return True
    return rule.major in {None, major} and rule.minor in {None, minor}
