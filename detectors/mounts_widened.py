"""A container's mount table gained something that lets it out, or lost something that kept it in.

A mounted disk of the host is the host's files; a cgroup v1 hierarchy has ``release_agent``, which the kernel runs as
root on the host; a fresh proc or sysfs has no masks; a read-only mount made writable, a mask taken away or never
properly there (CVE-2025-31133, CVE-2025-52565) opens ``core_pattern`` and ``sysrq-trigger``.

*Fires on:* a mount that was not there when the container started (where the agent came later: that the bundle does not
declare), and which is a host disk or cgroup v1 (critical), another directory of the host or a window into the kernel
(high), a file system of another kind, but neither tmpfs nor its like (medium); a mount that was read-only and no longer
is (by the same scale); a masked path that lost its mask, or whose mask is neither the null device nor a read-only
tmpfs (high). Mounts that came from the host by propagation, and views of what the container has anyway, are silent;
proc and sysfs in a nested user namespace are medium. One finding for each mount, whether the table told of it or, in
the ebpf tier, the call that made it. The engine tells a mount in a nested namespace, or in none, once for each
(container, kind), unless it is critical.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from collectors.events import MountMade, MountTable, Standing
from collectors.facts import Container, Declared, Mount, Process, ProcessKey, Unknown
from collectors.mount_tables import (
    KERNEL_TYPES,
    PRIVATE_TYPES,
    covering,
    declared_read_only,
    identity,
    is_host_disk,
    is_mask,
    is_propagated,
    topmost,
    undeclared,
)
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    EvidenceValue,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Tier,
    actor,
)

_ENGINES_OWN_HOOK = re.compile(r"/proc/[0-9]+/exe\b.*")  # docker's for the network: dockerd itself, by its process


@dataclass(frozen=True, slots=True)
class _Scene:
    """One mount table of a container, and what it is measured against.

    ``before`` is what the table is known to have held, ``None`` when nobody looked; ``given`` explains new rows.
    ``subject`` is who did it, where that is known or the namespace is not the container's.
    """

    container_id: str
    subject: ProcessKey | None
    table: tuple[Mount, ...]
    before: tuple[Mount, ...] | None
    added: tuple[Mount, ...]
    given: tuple[Mount, ...]
    host_table: tuple[Mount, ...]
    is_nested: bool
    in_own_user_namespace: bool
    by_hook: bool = False  # the agent came late, and a hook of the runtime may have mounted it: no more than medium
    is_detached: bool = False


@dataclass(frozen=True, slots=True)
class _Change:
    mount: Mount
    what: str
    severity: Severity


def check(event: MountTable | MountMade, view: NodeView) -> Found:
    """Compare a container's table with what it was, or was declared to be; judge each change, or the one mount."""
    if isinstance(event, MountMade):
        yield from _check_made(event, view)
        return
    if event.container_id is None or event.mnt_namespace == view.host.namespaces.mnt:
        return
    first, container = view.first_process(event.container_id), view.container(event.container_id)
    if isinstance(first, Unknown) or _is_half_built(event, first, view):
        return  # the runtime is still building it; the table comes again when its process has entered
    if container is None:
        yield Blind("not_read: the container is not known", event.seen_by)
        return
    scene = _scene(event, event.container_id, view, container, first)
    if isinstance(scene, Unknown):
        yield Blind(scene.why, event.seen_by)
        return
    told: set[bytes] = set()
    if event.is_building:  # read-only flags and masks come last
        yield from (_finding(scene, change) for change in _gained(scene, view))
        return
    for change in (*_gained(scene, view), *_writable(scene, view, container)):
        told.add(change.mount.point)
        yield _finding(scene, change)
    for change in _unmasked(scene, view, container):
        if change.mount.point not in told:
            yield _finding(scene, change)


def _check_made(event: MountMade, view: NodeView) -> Found:
    """Judge a mount at the moment it was made, as the row that it is, or would have been, in its table."""
    container_id = event.container_id
    if event.standing is Standing.DETACHED:
        return  # it comes again, attached or left
    if container_id is None:
        member = yield from actor(event.process, view)
        if member is None:
            return
        container_id = member.container.id
    first = view.first_process(container_id)
    if isinstance(first, Unknown):
        return
    scene = _scene_of_made(event, container_id, view, first)
    if isinstance(scene, Unknown):
        yield Blind(scene.why, event.process.key)
    elif scene is not None:
        yield from (_finding(scene, change) for change in _gained(scene, view))


def _scene_of_made(event: MountMade, container_id: str, view: NodeView, first: Process) -> _Scene | Unknown | None:
    """``None`` where there is nothing to judge: the table has told of it, or it is the host's own."""
    own, namespace = first.confinement.namespaces.mnt, event.process.confinement.namespaces.mnt
    if isinstance(own, Unknown):
        return own
    if isinstance(namespace, Unknown):
        return namespace
    is_detached = event.standing is Standing.LEFT
    if namespace == view.host.namespaces.mnt and not is_detached:
        return None
    is_nested = is_detached or namespace != own
    tables = [view.mounts(own), view.mounts_at_start(container_id)]
    if is_nested and namespace != view.host.namespaces.mnt:
        tables.append(view.mounts_before(namespace))  # the present one may be from after, and from who is not known yet
    known = [table for table in tables if not isinstance(table, Unknown)]
    if not known and event.mount.fs_type not in KERNEL_TYPES | {b"cgroup"}:
        return Unknown("not_read: no mount table of the container")
    before = tuple(mount for table in known for mount in table)
    if identity(event.mount) in {identity(mount) for mount in before}:
        return None
    user, own_user = event.process.confinement.namespaces.user, first.confinement.namespaces.user
    return _Scene(
        container_id=container_id,
        subject=event.process.key,
        table=(*before, event.mount),
        before=before,
        added=(event.mount,),
        given=before,
        host_table=_host_table(view),
        is_nested=is_nested,
        in_own_user_namespace=is_nested and user != own_user,
        is_detached=is_detached,
    )


def _host_table(view: NodeView) -> tuple[Mount, ...]:
    namespace = view.host.namespaces.mnt
    table = view.mounts(namespace) if isinstance(namespace, int) else namespace
    return () if isinstance(table, Unknown) else table


def _is_half_built(event: MountTable, first: Process, view: NodeView) -> bool:
    """The runtime is at work in a namespace that is not the first process': a restart, whose first is yet to come.

    A task that is new to us is told after the table it was met in; when it has entered, the table comes again.
    """
    if event.mnt_namespace == first.confinement.namespaces.mnt:
        return False
    process = view.process(event.seen_by)
    return process is None or view.is_becoming(process)


def _scene(
    event: MountTable, container_id: str, view: NodeView, container: Container, first: Process
) -> _Scene | Unknown:
    own = first.confinement.namespaces.mnt
    if isinstance(own, Unknown):
        return own
    is_nested = event.mnt_namespace != own
    at_start = view.mounts_at_start(container.id)
    if at_start == event.mounts:  # its first act may have been a mount: the start is judged by what was declared
        at_start = Unknown("not_read: this is the table of the start")
    known = [view.mounts_before(event.mnt_namespace), at_start]
    if is_nested:  # a nested namespace begins as a copy of the container's
        known[1] = view.mounts(own)
        if isinstance(known[1], Unknown):
            return known[1]
    tables = [table for table in known if not isinstance(table, Unknown)]
    before = tuple(mount for table in tables for mount in table) if tables else None
    if before is None and isinstance(container.declared, Unknown):
        return container.declared
    added = _added(event.mounts, before, None if is_nested else container.declared)
    new = {mount.mnt_id for mount in added}
    return _Scene(
        container_id=container_id,
        subject=event.seen_by if is_nested else None,
        table=event.mounts,
        before=before,
        added=added,
        given=tuple(mount for mount in event.mounts if mount.mnt_id not in new) + (before or ()),
        host_table=_host_table(view),
        is_nested=is_nested,
        in_own_user_namespace=is_nested and _in_own_user_namespace(event, view, first),
        by_hook=before is None and isinstance(container.declared, Declared) and _has_foreign_hook(container.declared),
    )


def _has_foreign_hook(declared: Declared) -> bool:
    """A hook that may mount things; docker's own, which is dockerd itself, sets up the network and nothing else."""
    return not all(_ENGINES_OWN_HOOK.fullmatch(hook) for hook in declared.hooks)


def _added(
    table: tuple[Mount, ...], before: tuple[Mount, ...] | None, declared: Declared | Unknown | None
) -> tuple[Mount, ...]:
    """New rows. What is declared is new only where something else was before: a table may be read half-built."""
    strange = undeclared(table, declared) if isinstance(declared, Declared) else table
    if before is None:
        return strange
    known, points = {identity(mount) for mount in before}, {mount.point for mount in before}
    strange_ids = {mount.mnt_id for mount in strange}
    return tuple(
        mount
        for mount in table
        if identity(mount) not in known and (mount.mnt_id in strange_ids or mount.point in points)
    )


def _in_own_user_namespace(event: MountTable, view: NodeView, first: Process) -> bool:
    """Whether the namespace was made as bubblewrap does; where nobody is left to ask, that is assumed."""
    process = view.process(event.seen_by)
    user, own = None if process is None else process.confinement.namespaces.user, first.confinement.namespaces.user
    return user is None or isinstance(user, Unknown) or isinstance(own, Unknown) or user != own


def _gained(scene: _Scene, view: NodeView) -> Iterator[_Change]:
    for mount in scene.added:
        graded = _grade(mount, scene, view)
        if graded is not None and not is_propagated(mount, scene.table, scene.host_table):
            yield _Change(mount, *graded)


def _grade(mount: Mount, scene: _Scene, view: NodeView) -> tuple[str, Severity] | None:
    """What kind of thing was mounted, and how bad that is; ``None`` when nothing was gained by it."""
    if mount.fs_type == b"cgroup":
        return "mounted cgroup v1", Severity.CRITICAL
    if mount.fs_type in KERNEL_TYPES:
        capped = scene.by_hook or (scene.in_own_user_namespace and mount.fs_type in {b"proc", b"sysfs"})
        return "mounted a window into the kernel", Severity.MEDIUM if capped else Severity.HIGH
    views = covering(mount, scene.given)
    if views and (mount.is_read_only or not all(each.is_read_only for each in views)):
        return None
    if is_host_disk(mount, view.host) and mount.root == b"/":
        return "mounted a disk of the host", Severity.CRITICAL
    if is_host_disk(mount, view.host) or any(each.device == mount.device for each in scene.host_table):
        return "mounted a directory of the host", Severity.MEDIUM if scene.by_hook else Severity.HIGH
    return None if _is_own(mount.fs_type) else ("mounted a file system", Severity.MEDIUM)


def _is_own(fs_type: bytes) -> bool:
    """Begins empty, or is made of what the container has: nested containers and image builds mount overlay and FUSE."""
    return fs_type in PRIVATE_TYPES or fs_type in {b"overlay", b"fuse"} or fs_type.startswith(b"fuse.")


def _writable(scene: _Scene, view: NodeView, container: Container) -> Iterator[_Change]:
    """Mounts that were read-only, or were to be, and are not."""
    if scene.before is not None:
        known = {identity(mount): True for mount in scene.before}
        for mount in scene.before:
            known[identity(mount)] &= mount.is_read_only
        frozen = {point for point, is_read_only in known.items() if is_read_only}
        changed = [mount for mount in scene.table if identity(mount) in frozen]
    elif isinstance(container.declared, Declared):
        wanted = declared_read_only(container.declared)
        changed = [m for m in scene.given if m.point in wanted and m is topmost(scene.table, m.point)]
    else:
        return
    for mount in changed:
        if not mount.is_read_only and mount.fs_type not in PRIVATE_TYPES:
            grade = (
                Severity.HIGH if mount.fs_type in KERNEL_TYPES or is_host_disk(mount, view.host) else Severity.MEDIUM
            )
            yield _Change(
                mount, "made writable what was read-only", Severity.CRITICAL if mount.fs_type == b"cgroup" else grade
            )


def _unmasked(scene: _Scene, view: NodeView, container: Container) -> Iterator[_Change]:
    """Masks that are gone from a place that is still there, and masks that hide nothing."""
    for path in container.declared.masked_paths if isinstance(container.declared, Declared) else ():
        point = path.encode("utf-8", "surrogateescape")
        now, was = topmost(scene.table, point), topmost(scene.before or (), point)
        if now is not None and not is_mask(now):
            is_worst = now.fs_type == b"cgroup" or (is_host_disk(now, view.host) and now.root == b"/")
            grade = Severity.CRITICAL if is_worst else Severity.HIGH
            yield _Change(now, "has a masked path whose mask hides nothing", grade)
        elif now is None and was is not None:
            below = next((each for each in scene.before or () if each.mnt_id == was.parent_id), None)
            if below is not None and identity(below) in {identity(mount) for mount in scene.table}:
                yield _Change(was, "took the mask off a masked path", Severity.HIGH)


def _finding(scene: _Scene, change: _Change) -> Finding:
    mount = change.mount
    kind = mount.fs_type.decode("utf-8", "backslashreplace")
    point = mount.point.decode("utf-8", "backslashreplace")
    evidence: tuple[tuple[str, EvidenceValue], ...] = (("change", change.what), ("file_system", mount.fs_type))
    identified: tuple[str, ...] = (scene.container_id, change.what, kind)
    if not scene.is_nested or change.severity is Severity.CRITICAL:
        evidence += (("mount_point", mount.point), ("source", mount.source), ("root", mount.root))
        identified += (point,)
    where = f" at {point}" + (", in a mount namespace of its own" if scene.is_nested else "")
    if scene.is_detached:
        where = ", in no mount table: a descriptor leads to it"
    return Finding(
        f"{change.what}: {kind}{where}",
        scene.container_id,
        scene.subject,
        evidence=evidence,
        severity=change.severity,
        confidence=Confidence.LIKELY if scene.by_hook else Confidence.CERTAIN,
        identity=identified,
    )


DETECTOR = Detector(
    id="HW-112",
    name="mounts_widened",
    family=Family.DRIFT,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(MountTable, MountMade),
    check=check,
    weakest=Tier.POLL,
    summary="A container gained a mount that leads out of it, or lost a mask or a read-only mount that kept it in.",
    benign=(
        "tmpfs, mqueue and devpts of its own, and bind mounts of what the container has anyway, are silent.",
        (
            "Volumes that the host mounts below a container's mount with HostToContainer or Bidirectional propagation: "
            "they belong to a peer group of the host's table (what a container sends out that way is HW-113)."
        ),
        "Sandboxes such as bubblewrap mount proc in a user namespace of their own: medium, once for each container.",
        "Containers that run containers (docker in docker, kind) mount for them: once for each kind; except them.",
        "Runtime hooks (GPU drivers) mount what no bundle declares: where the agent came later, medium and likely.",
    ),
    misses=(
        "Below the ebpf tier: a mount that is made and taken away between two reads of the table, and a detached one.",
        (
            "In the ebpf tier too, between two reads: a mount that is made writable and read-only again, or moved; a "
            "mask that is taken off and put back. What is then opened for writing is told by HW-205, 206 and 209."
        ),
        (
            "A mount that another thread takes away within the microseconds before the call's return, or that it "
            "hides behind a later one: the newest of the namespace is told."
        ),
        (
            "Where the agent came later: a mount below a declared recursive bind, or in the place of a declared one "
            "that was taken away."
        ),
        "A masked path that never had a mask, where the agent came later: one that the kernel lacks has none either.",
        "What a recursive bind mount or clone has below its root; a bound namespace file.",
    ),
    advice=(
        (
            "Stop the container, unless you want to watch it: with the host's disk or cgroup v1 mounted, the next step "
            "is code on the host."
        ),
        "Compare with hullwatch inspect what the container declares; ask who gave it CAP_SYS_ADMIN.",
        "For a mask that hides nothing, update runc (1.2.8, 1.3.3 and 1.4.0-rc.3 repair the CVEs).",
    ),
    references=(
        "https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html",
        "https://github.com/opencontainers/runc/security/advisories/GHSA-9493-h29p-rfm2",
        "https://github.com/opencontainers/runc/security/advisories/GHSA-qw9x-cqr3-wc7r",
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
