"""The order of confinements: in which dimensions one is wider than another.

This is the heart of hullwatch. Every aspect of a ``Confinement`` is a partial order whose upper end is the host:
``at_least(a, b)`` holds when ``a`` is as wide as ``b`` or wider. ``Unknown`` is comparable with nothing, itself
included: it never counts as wider and never as equal. Pure: no I/O, no clock.

Most aspects are ordered by rank: two different values of one rank are *apart*, neither wider. Capability sets are
ordered by inclusion, and only within one user namespace. Guarded by ``tests/collectors/test_confinement.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum

from collectors.facts import (
    NAMESPACE_KINDS,
    Capabilities,
    CgroupMembership,
    Confinement,
    FileId,
    Ids,
    Namespaces,
    Place,
    Seccomp,
    SeccompMode,
    Unknown,
)


class Dimension(StrEnum):
    """The five dimensions of confinement."""

    NAMESPACES = "namespaces"
    ROOT = "root"
    PRIVILEGE = "privilege"
    FILTERS = "filters"
    CGROUP = "cgroup"


@dataclass(frozen=True, slots=True)
class Frame:
    """What a container's confinement is measured against: the host's end, and what the container was given.

    ``given_mounts`` are the mount ids of the container's own mount table, ``cgroup_paths`` its own cgroups.
    """

    namespaces: Namespaces
    root: FileId | Unknown
    given_mounts: frozenset[int] | Unknown
    cgroup_paths: frozenset[bytes] | Unknown


class Relation(StrEnum):
    """How one value stands to another in its order."""

    EQUAL = "equal"
    WIDER = "wider"
    NARROWER = "narrower"
    APART = "apart"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Widening:
    """One aspect in which a confinement is wider than another; ``was`` and ``now`` are its two values."""

    dimension: Dimension
    aspect: str
    was: object
    now: object


@dataclass(frozen=True, slots=True)
class Aspect:
    """One comparable part of a confinement. ``value`` extracts it, ``at_least(a, b, frame)`` orders two known values.

    ``at_least`` answers ``Unknown`` when the frame lacks what the comparison needs.
    """

    name: str
    dimension: Dimension
    value: Callable[[Confinement], object]
    at_least: Callable[[object, object, Frame], bool | Unknown]


def wider(a: Confinement, b: Confinement, frame: Frame) -> tuple[Widening, ...]:
    """The aspects in which ``a`` is wider than ``b``, in a fixed order; empty when there is none that we know of."""
    return tuple(
        Widening(aspect.dimension, aspect.name, aspect.value(b), aspect.value(a))
        for aspect in ASPECTS
        if compare(aspect, a, b, frame) is Relation.WIDER
    )


def undecided(a: Confinement, b: Confinement, frame: Frame) -> tuple[str, ...]:
    """The names of the aspects that cannot be compared because a fact is ``Unknown``."""
    return tuple(aspect.name for aspect in ASPECTS if compare(aspect, a, b, frame) is Relation.UNKNOWN)


def compare(aspect: Aspect, a: Confinement, b: Confinement, frame: Frame) -> Relation:
    """How ``a`` stands to ``b`` in one aspect."""
    left, right = aspect.value(a), aspect.value(b)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return Relation.UNKNOWN
    up, down = aspect.at_least(left, right, frame), aspect.at_least(right, left, frame)
    match up, down:
        case (Unknown(), _) | (_, Unknown()):
            return Relation.UNKNOWN
        case True, True:
            return Relation.EQUAL
        case True, False:
            return Relation.WIDER
        case False, True:
            return Relation.NARROWER
        case _:
            return Relation.APART


class Standing(StrEnum):
    """Where a directory stands, seen from a container."""

    GIVEN = "given"
    FOREIGN = "foreign"
    HOST_ROOT = "host_root"


_STANDING_RANK = {Standing.GIVEN: 0, Standing.FOREIGN: 1, Standing.HOST_ROOT: 2}


def standing(place: Place, frame: Frame) -> Standing | Unknown:
    """Whether a directory is the host's root, on a mount the container was given, or elsewhere.

    The host's ``/`` is told by identity, so also through a mount that the container was given (chroot into a
    hostPath ``/``).
    """
    if isinstance(frame.root, Unknown):
        return frame.root
    if place.file == frame.root:
        return Standing.HOST_ROOT
    if isinstance(frame.given_mounts, Unknown):
        return frame.given_mounts
    return Standing.GIVEN if place.mnt_id in frame.given_mounts else Standing.FOREIGN


def is_within(path: bytes, ancestor: bytes) -> bool:
    """``path`` is ``ancestor`` or lies below it; both are absolute cgroup paths."""
    return path == ancestor or path.startswith(ancestor.rstrip(b"/") + b"/")


def is_unconfined_label(label: bytes) -> bool:
    """The LSM label confines nothing: AppArmor's ``unconfined``, or an SELinux domain that is the host's own."""
    name = label.strip(b"\x00\n ").split(b" ")[0]
    if name == b"unconfined":
        return True
    parts = name.split(b":")
    return len(parts) >= 3 and parts[2] in _UNCONFINED_SELINUX_TYPES  # noqa: PLR2004 (user:role:type[:level])


_UNCONFINED_SELINUX_TYPES = frozenset(
    {b"unconfined_t", b"unconfined_service_t", b"spc_t", b"init_t", b"kernel_t", b"container_runtime_t"},
)


def _by_rank(a: object, b: object, rank_a: int | Unknown, rank_b: int | Unknown) -> bool | Unknown:
    """The order in which a higher rank is wider and two different values of one rank are apart."""
    if a == b:
        return True
    if isinstance(rank_a, Unknown):
        return rank_a
    if isinstance(rank_b, Unknown):
        return rank_b
    return rank_a > rank_b


def _namespace_aspect(kind: str) -> Aspect:
    def value(confinement: Confinement) -> object:
        return getattr(confinement.namespaces, kind)

    def at_least(a: object, b: object, frame: Frame) -> bool | Unknown:
        host = getattr(frame.namespaces, kind)
        if isinstance(host, Unknown):
            return True if a == b else host
        return _by_rank(a, b, int(a == host), int(b == host))

    return Aspect(f"{kind}_namespace", Dimension.NAMESPACES, value, at_least)


def _place_aspect(name: str) -> Aspect:
    def value(confinement: Confinement) -> object:
        return getattr(confinement, name)

    def rank(place: object, frame: Frame) -> int | Unknown:
        assert isinstance(place, Place)
        where = standing(place, frame)
        return where if isinstance(where, Unknown) else _STANDING_RANK[where]

    def at_least(a: object, b: object, frame: Frame) -> bool | Unknown:
        return _by_rank(a, b, rank(a, frame), rank(b, frame))

    return Aspect(name, Dimension.ROOT, value, at_least)


def _ids_aspect(name: str) -> Aspect:
    def value(confinement: Confinement) -> object:
        return getattr(confinement, name)

    def rank(ids: object) -> int:
        assert isinstance(ids, Ids)
        return int(0 in (ids.real, ids.effective, ids.saved, ids.fs))

    def at_least(a: object, b: object, _: Frame) -> bool | Unknown:
        return _by_rank(a, b, rank(a), rank(b))

    return Aspect(name, Dimension.PRIVILEGE, value, at_least)


@dataclass(frozen=True, slots=True)
class CapabilitySet:
    """One capability set together with the user namespace that it holds in."""

    user_namespace: int
    mask: int


def _capability_aspect(name: str) -> Aspect:
    def value(confinement: Confinement) -> object:
        user = confinement.namespaces.user
        if isinstance(user, Unknown):
            return user
        if isinstance(confinement.capabilities, Unknown):
            return confinement.capabilities
        return CapabilitySet(user, getattr(confinement.capabilities, name))

    def at_least(a: object, b: object, _: Frame) -> bool | Unknown:
        assert isinstance(a, CapabilitySet)
        assert isinstance(b, CapabilitySet)
        return a.user_namespace == b.user_namespace and a.mask | b.mask == a.mask

    return Aspect(f"{name}_capabilities", Dimension.PRIVILEGE, value, at_least)


def _no_new_privs_at_least(a: object, b: object, _: Frame) -> bool | Unknown:
    return _by_rank(a, b, int(not a), int(not b))


_SECCOMP_RANK = {SeccompMode.STRICT: 0, SeccompMode.FILTER: 1, SeccompMode.DISABLED: 2}


def _seccomp_at_least(a: object, b: object, _: Frame) -> bool | Unknown:
    """Fewer filters are wider: filters are inherited and can only be added (seccomp(2))."""
    assert isinstance(a, Seccomp)
    assert isinstance(b, Seccomp)
    if a.mode is not b.mode:
        return _SECCOMP_RANK[a.mode] > _SECCOMP_RANK[b.mode]
    if a.mode is not SeccompMode.FILTER:
        return True
    if isinstance(a.filters, Unknown):
        return a.filters
    if isinstance(b.filters, Unknown):
        return b.filters
    return a.filters <= b.filters


def _lsm_at_least(a: object, b: object, _: Frame) -> bool | Unknown:
    rank_a = int(isinstance(a, bytes) and is_unconfined_label(a))
    rank_b = int(isinstance(b, bytes) and is_unconfined_label(b))
    return _by_rank(a, b, rank_a, rank_b)


def _cgroup_at_least(a: object, b: object, frame: Frame) -> bool | Unknown:
    assert isinstance(a, tuple)
    assert isinstance(b, tuple)
    if a == b:
        return True
    if isinstance(frame.cgroup_paths, Unknown):
        return frame.cgroup_paths
    return _by_rank(a, b, _inside_count(a, frame.cgroup_paths), _inside_count(b, frame.cgroup_paths))


def _inside_count(cgroups: tuple[CgroupMembership, ...], paths: frozenset[bytes]) -> int:
    """The rank of a cgroup vector: the fewer hierarchies hold it inside the container's cgroups, the higher."""
    return -sum(any(is_within(line.path, path) for path in paths) for line in cgroups)


ASPECTS: tuple[Aspect, ...] = (
    *(_namespace_aspect(kind) for kind in NAMESPACE_KINDS),
    _place_aspect("root"),
    _place_aspect("cwd"),
    _ids_aspect("uids"),
    _ids_aspect("gids"),
    *(_capability_aspect(field.name) for field in fields(Capabilities)),
    Aspect("no_new_privs", Dimension.PRIVILEGE, lambda c: c.no_new_privs, _no_new_privs_at_least),
    Aspect("seccomp", Dimension.FILTERS, lambda c: c.seccomp, _seccomp_at_least),
    Aspect("lsm_label", Dimension.FILTERS, lambda c: c.lsm_label, _lsm_at_least),
    Aspect("cgroups", Dimension.CGROUP, lambda c: c.cgroups, _cgroup_at_least),
)
