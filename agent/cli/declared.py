"""What a container's bundle declared, as a confinement that the observed one can be compared with. Pure.

A bundle names no inodes: it says *a namespace of its own*, not which. So the vector takes from the observed one what
agrees with the declaration, and something that is neither the container's nor the host's where the two disagree. It is
for comparing and for nothing else; ``texts`` says in words what was declared.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent import describe
from collectors.confinement import CapabilitySet, Frame, Standing, is_within, standing
from collectors.facts import (
    NAMESPACE_KINDS,
    CgroupMembership,
    Confinement,
    Declared,
    FileId,
    Ids,
    Namespaces,
    Place,
    Seccomp,
    SeccompMode,
    Unknown,
)

OWN_NAMESPACE = 0  # no namespace has the inode 0
_NOWHERE = FileId(0, 0)
_SYSTEMD = b"name=systemd"


def as_confinement(
    declared: Declared,
    observed: Confinement,
    frame: Frame,
    joined: Mapping[str, int] | None = None,
    entered: Confinement | None = None,
) -> Confinement:
    """The vector that the declaration asks for; ``Unknown`` where a bundle does not say.

    ``joined`` are the namespaces, by kind, to which declared paths are known to lead. ``entered`` is what the first
    process was like when it entered, or when it was first met, where that is known.
    """
    known = joined or {}
    return Confinement(
        namespaces=Namespaces(**{kind: _namespace(declared, kind, observed, frame, known) for kind in NAMESPACE_KINDS}),
        root=_given(observed.root, frame),
        cwd=_given(observed.cwd, frame),
        uids=_ids(declared, declared.uid),
        gids=_ids(declared, declared.gid),
        capabilities=declared.capabilities,
        no_new_privs=declared.no_new_privs,
        seccomp=Seccomp(SeccompMode.FILTER, 1) if declared.seccomp else Seccomp(SeccompMode.DISABLED, 0),
        lsm_label=_label(declared, observed.lsm_label),
        cgroups=_cgroups(observed.cgroups, frame, entered),
    )


def texts(declared: Declared) -> dict[str, str]:
    """What was declared, in words, by the name of the aspect (``collectors.confinement.ASPECTS``)."""
    capabilities = {
        f"{kind}_capabilities": describe.capability_set(getattr(declared.capabilities, kind))
        for kind in describe.CAPABILITY_SETS
    }
    return {
        **{f"{kind}_namespace": _namespace_text(declared, kind) for kind in NAMESPACE_KINDS},
        "root": declared.root_path,
        "cwd": declared.working_directory,
        "uids": str(declared.uid),
        "gids": str(declared.gid),
        **capabilities,
        "no_new_privs": "true" if declared.no_new_privs else "false",
        "seccomp": "filter" if declared.seccomp else "disabled",
        "lsm_label": declared.apparmor_profile or declared.selinux_label or "none",
        "cgroups": declared.cgroups_path or "the runtime's choice",
    }


def observed_text(value: object, host: object) -> str:
    """An observed value in words; ``host`` is the host's value where that says more than a number."""
    if isinstance(value, CapabilitySet):
        return describe.capability_set(value.mask)
    if isinstance(value, Ids) and len({value.real, value.effective, value.saved, value.fs}) == 1:
        return str(value.real)
    text = describe.value(value)
    return f"{text} (the host's)" if isinstance(value, int) and not isinstance(value, bool) and value == host else text


def _namespace_text(declared: Declared, kind: str) -> str:
    found = declared.namespace(kind)
    if found is None:
        return "the host's"
    return "its own" if found.path is None else f"joins {found.path}"


def _namespace(
    declared: Declared, kind: str, observed: Confinement, frame: Frame, joined: Mapping[str, int]
) -> int | Unknown:
    host: int | Unknown = getattr(frame.namespaces, kind)
    now: int | Unknown = getattr(observed.namespaces, kind)
    found = declared.namespace(kind)
    if found is None:
        return host
    if found.path is not None and now == host:
        if kind in joined:
            return joined[kind]
        return Unknown("not_read: the declared path may have been the host's")
    return OWN_NAMESPACE if now == host else now


def _given(place: Place | Unknown, frame: Frame) -> Place | Unknown:
    """A directory that the container was given, which is the observed one where that is so."""
    if isinstance(place, Unknown):
        return place
    where = standing(place, frame)
    if isinstance(where, Unknown) or where is Standing.GIVEN:
        return place if where is Standing.GIVEN else where
    if isinstance(frame.given_mounts, Unknown):
        return frame.given_mounts
    return Place(_NOWHERE, min(frame.given_mounts, default=0))


def _ids(declared: Declared, number: int) -> Ids | Unknown:
    if declared.namespace("user") is not None:
        return Unknown("not_read: mapped by a user namespace")
    return Ids(number, number, number, number)


def _label(declared: Declared, observed: bytes | Unknown | None) -> bytes | Unknown | None:
    """The declared label, with the mode that the kernel appends (``docker-default (enforce)``)."""
    wanted = declared.apparmor_profile or declared.selinux_label
    if isinstance(observed, Unknown) or observed is None:
        return observed  # this kernel labels no tasks, whatever was asked for
    if wanted is None:
        return Unknown("not_read: the bundle names no label")
    label = wanted.encode("utf-8", "replace")
    return observed if observed.strip(b"\0\n ").split(b" ")[0] == label else label


def _cgroups(
    observed: tuple[CgroupMembership, ...] | Unknown, frame: Frame, entered: Confinement | None
) -> tuple[CgroupMembership, ...] | Unknown:
    """The observed cgroups, with the container's own in place of those outside of it in which a runtime had put it."""
    if isinstance(observed, Unknown):
        return observed
    paths = frame.cgroup_paths
    if isinstance(paths, Unknown):
        return paths
    own = min(paths, default=b"/")
    before = entered.cgroups if entered is not None and not isinstance(entered.cgroups, Unknown) else observed
    return tuple(
        line
        if _is_inside(line, paths) or _was_never_put_into(line, before, paths)
        else CgroupMembership(line.hierarchy, line.controllers, own)
        for line in observed
    )


def _is_inside(line: CgroupMembership, paths: frozenset[bytes]) -> bool:
    return any(is_within(line.path, path) for path in paths)


def _was_never_put_into(line: CgroupMembership, before: tuple[CgroupMembership, ...], paths: frozenset[bytes]) -> bool:
    """The hierarchy is newer than ``before``, or only has a name: of such, runtimes put processes into systemd's alone.

    Where the process is met outside of one that has controllers, it may have left it.
    """
    then = next((each for each in before if each.hierarchy == line.hierarchy), None)
    if then is None:
        return True
    is_plain_name = line.controllers.startswith(b"name=") and line.controllers != _SYSTEMD
    return is_plain_name and not _is_inside(then, paths)
