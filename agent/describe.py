"""Confinements in words: the values of the vector as a person or a search reads them. Pure.

Namespaces are inode numbers as ``/proc/PID/ns`` shows them, files ``device:inode``, capabilities their names.
What is not known reads ``unknown: why``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

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

CACHED = 256
CAPABILITY_SETS = ("inheritable", "permitted", "effective", "bounding", "ambient")


def value(fact: object) -> str:
    """One value of a confinement (``Widening.was`` and ``now``), on one line."""
    in_words = _IN_WORDS.get(type(fact))
    return visible(str(fact)) if in_words is None else in_words(fact)


def file_id(file: FileId) -> str:
    """``major:minor:inode``, the device as mountinfo writes it."""
    return f"{os.major(file.device)}:{os.minor(file.device)}:{file.inode}"


@lru_cache(CACHED)
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


def _place(place: Place) -> str:
    return f"{file_id(place.file)} on mount {place.mnt_id}"


def _ids(ids: Ids) -> str:
    return f"real {ids.real}, effective {ids.effective}, saved {ids.saved}, fs {ids.fs}"


def _seccomp(seccomp: Seccomp) -> str:
    if seccomp.mode is SeccompMode.FILTER and isinstance(seccomp.filters, int):
        return f"filter ({seccomp.filters})"
    return seccomp.mode.value


# By type, and not by a chain of questions: this is asked a dozen times for each alert.
_IN_WORDS: dict[type, Callable[[Any], str]] = {
    Unknown: lambda unknown: f"unknown: {visible(unknown.why)}",
    type(None): lambda _: "none",
    bool: lambda truth: "true" if truth else "false",
    int: str,
    bytes: lambda raw: visible_bytes(raw.rstrip(b"\0\n")),
    Place: _place,
    Ids: _ids,
    CapabilitySet: lambda held: f"{capability_set(held.mask)} in user namespace {held.user_namespace}",
    Seccomp: _seccomp,
    CgroupMembership: cgroup,
    tuple: lambda facts: " ".join(map(value, facts)),
}
