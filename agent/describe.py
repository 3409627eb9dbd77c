"""Confinements in words: the values of the vector as a person or a search reads them. Pure.

Namespaces are inode numbers as ``/proc/PID/ns`` shows them, files ``device:inode``, capabilities their names.
What is not known reads ``unknown: why``.
"""

from __future__ import annotations

import os

from agent.text import visible, visible_bytes
from collectors.capabilities import ALL, names
from collectors.confinement import CapabilitySet
from collectors.facts import (
    NAMESPACE_KINDS,
    Capabilities,
    CgroupMembership,
    Confinement,
    FileId,
    HostBaseline,
    Ids,
    Place,
    Seccomp,
    SeccompMode,
    Unknown,
)

CAPABILITY_SETS = ("inheritable", "permitted", "effective", "bounding", "ambient")


def value(fact: object) -> str:  # noqa: C901, PLR0911 (one return a type)
    """One value of a confinement (``Widening.was`` and ``now``), on one line."""
    match fact:
        case Unknown(why=why):
            return f"unknown: {visible(why)}"
        case None:
            return "none"
        case bool():
            return "true" if fact else "false"
        case bytes():
            return visible_bytes(fact.rstrip(b"\0\n"))
        case Place(file=file, mnt_id=mnt_id):
            return f"{file_id(file)} on mount {mnt_id}"
        case Ids(real=real, effective=effective, saved=saved, fs=fs):
            return f"real {real}, effective {effective}, saved {saved}, fs {fs}"
        case CapabilitySet(user_namespace=user_namespace, mask=mask):
            return f"{capability_set(mask)} in user namespace {user_namespace}"
        case Seccomp(mode=SeccompMode.FILTER, filters=int() as filters):
            return f"filter ({filters})"
        case Seccomp(mode=mode):
            return mode.value
        case tuple():
            return " ".join(cgroup(each) if isinstance(each, CgroupMembership) else value(each) for each in fact)
        case _:
            return visible(str(fact))


def file_id(file: FileId) -> str:
    """``major:minor:inode``, the device as mountinfo writes it."""
    return f"{os.major(file.device)}:{os.minor(file.device)}:{file.inode}"


def capability_set(mask: int) -> str:
    """The names in a mask; ``all`` for every capability that has a name, ``none`` for the empty set."""
    if mask & ALL == ALL:
        return "all"
    return " ".join(names(mask)) or "none"


def cgroup(membership: CgroupMembership) -> str:
    """One line of ``/proc/PID/cgroup``, as the kernel writes it."""
    return visible_bytes(b"%d:%b:%b" % (membership.hierarchy, membership.controllers, membership.path))


def shared_with_host(confinement: Confinement, host: HostBaseline) -> tuple[str, ...]:
    """The kinds of the namespaces that are the host's own."""
    return tuple(
        kind
        for kind in NAMESPACE_KINDS
        if isinstance(inode := getattr(confinement.namespaces, kind), int) and inode == getattr(host.namespaces, kind)
    )


def is_host_root(place: Place | Unknown, host: HostBaseline) -> bool:
    """The directory is the host's ``/``."""
    return isinstance(place, Place) and place.file == host.root


def capability_names(capabilities: Capabilities | Unknown) -> dict[str, list[str]]:
    """The names in each of the five sets; empty when they are not known."""
    if isinstance(capabilities, Unknown):
        return {}
    return {kind: list(names(getattr(capabilities, kind))) for kind in CAPABILITY_SETS}
