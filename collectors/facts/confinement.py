"""What confines one task: a small vector of facts. The order among them is in ``collectors.confinement``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from collectors.facts.identity import Place, Unknown


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The inode of each namespace of a task (``/proc/PID/ns/*``, namespaces(7))."""

    mnt: int | Unknown
    pid: int | Unknown
    net: int | Unknown
    ipc: int | Unknown
    uts: int | Unknown
    user: int | Unknown
    cgroup: int | Unknown
    time: int | Unknown


NAMESPACE_KINDS = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time")


@dataclass(frozen=True, slots=True)
class Ids:
    """Real, effective, saved and file-system id, as ``/proc/PID/status`` gives them (host's user namespace)."""

    real: int
    effective: int
    saved: int
    fs: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The five capability sets as bit masks (capabilities(7)); they mean something only in their user namespace."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int


class SeccompMode(StrEnum):
    """``Seccomp:`` of ``/proc/PID/status`` (seccomp(2))."""

    DISABLED = "disabled"
    STRICT = "strict"
    FILTER = "filter"


@dataclass(frozen=True, slots=True)
class Seccomp:
    """Seccomp mode and number of filters (``Seccomp_filters``, kernel 5.9 and later)."""

    mode: SeccompMode
    filters: int | Unknown


@dataclass(frozen=True, slots=True)
class CgroupMembership:
    """One line of ``/proc/PID/cgroup``: ``hierarchy`` 0 with no controllers is cgroup v2."""

    hierarchy: int
    controllers: bytes
    path: bytes


@dataclass(frozen=True, slots=True)
class Confinement:
    """What confines one task: the vector that the whole program compares (see ``collectors.confinement``).

    ``lsm_label`` is ``None`` where the kernel labels no tasks (no AppArmor, no SELinux).
    """

    namespaces: Namespaces
    root: Place | Unknown
    cwd: Place | Unknown
    uids: Ids | Unknown
    gids: Ids | Unknown
    capabilities: Capabilities | Unknown
    no_new_privs: bool | Unknown
    seccomp: Seccomp | Unknown
    lsm_label: bytes | Unknown | None
    cgroups: tuple[CgroupMembership, ...] | Unknown
