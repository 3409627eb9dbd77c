"""A mount that was made in a container shows in the host's mount table.

Mount propagation runs both ways between peers. A container that has a shared mount of the host can lay a file system
over the host's directories: its own /etc, its own binaries, a disk where nobody expects one.

*Fires on:* a mount of a container that was not there when it started, and which has a peer in the host's table (the
same peer group) on a parent that is a peer of its own parent too: then the kernel made one because of the other.
Silent where the container declares a bidirectional mount that covers it, unless what was mounted is the host's own
root disk or a window into the kernel (BPF excepted, which network plug-ins mount for the node).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from collectors.events import MountTable
from collectors.facts import Container, Declared, Mount, Unknown
from collectors.mount_tables import KERNEL_TYPES, identity, is_declared_shared
from detectors.base import ESCAPE_TO_HOST, Blind, Confidence, Detector, Family, Finding, Found, NodeView, Severity, Tier

# Node agents (Cilium, Calico) mount it on the host through a Bidirectional hostPath, by their own manifests.
_FOR_THE_NODE = frozenset({b"bpf"})


def check(event: MountTable, view: NodeView) -> Found:
    """Match the host's table with the tables of the containers that the event concerns."""
    host_mnt = view.host.namespaces.mnt
    host_table = view.mounts(host_mnt) if isinstance(host_mnt, int) else host_mnt
    if event.container_id is None:
        host_table = event.mounts
    if isinstance(host_table, Unknown):
        yield Blind(host_table.why, event.seen_by)
        return
    groups = frozenset(mount.shared for mount in host_table if mount.shared is not None)
    for container, table in _tables(event, view):
        if isinstance(table, Unknown):
            yield Blind(table.why)
            continue
        peers = tuple(_with_peers(table, groups, host_table))
        made = _made(peers, container, event, view) if peers else ()
        if isinstance(made, Unknown):
            yield Blind(made.why)
            continue
        for mount, peer in made:
            if not _is_declared(mount, container, host_table):
                yield _finding(container, mount, peer)


def _tables(event: MountTable, view: NodeView) -> Iterator[tuple[Container, tuple[Mount, ...] | Unknown]]:
    """The containers concerned and their tables: the event's own, or all when the host's table changed."""
    if event.container_id is not None:
        container = view.container(event.container_id)
        first = view.first_process(event.container_id)
        if container is not None and not isinstance(first, Unknown):
            yield container, event.mounts
        return
    for each in view.containers():
        first = view.first_process(each.id)
        if isinstance(first, Unknown):
            continue  # still being built: it has mounted nothing
        mnt = first.confinement.namespaces.mnt
        if mnt != event.mnt_namespace:
            yield each, view.mounts(mnt) if isinstance(mnt, int) else mnt


def _with_peers(
    table: Iterable[Mount], groups: frozenset[int], host_table: tuple[Mount, ...]
) -> Iterator[tuple[Mount, Mount]]:
    """The mounts that have a peer in the host's table, on parents that are peers as well."""
    shared = [mount for mount in table if mount.shared in groups]
    if not shared:
        return
    ours, theirs = {each.mnt_id: each for each in table}, {each.mnt_id: each for each in host_table}
    for mount in shared:
        parent = ours.get(mount.parent_id)
        if parent is None or parent.shared is None:
            continue
        for peer in host_table:
            host_parent = theirs.get(peer.parent_id)
            if peer.shared == mount.shared and host_parent is not None and host_parent.shared == parent.shared:
                yield mount, peer
                break


def _made(
    peers: tuple[tuple[Mount, Mount], ...], container: Container, event: MountTable, view: NodeView
) -> tuple[tuple[Mount, Mount], ...] | Unknown:
    """Those that the container did not have at its start, or, where nobody saw that, before the event."""
    before = view.mounts_at_start(container.id)
    if isinstance(before, Unknown):
        first = view.first_process(container.id)
        assert not isinstance(first, Unknown)
        mnt = first.confinement.namespaces.mnt
        before = view.mounts_before(
            event.mnt_namespace if event.container_id is not None or not isinstance(mnt, int) else mnt
        )
    if isinstance(before, Unknown):
        return before
    known = {identity(mount) for mount in before}
    return tuple((mount, peer) for mount, peer in peers if identity(mount) not in known)


def _is_declared(mount: Mount, container: Container, host_table: tuple[Mount, ...]) -> bool:
    """The container was given a way to mount for the host, and what it mounted is harmless there."""
    if not isinstance(container.declared, Declared) or not is_declared_shared(mount.point, container.declared):
        return False
    root_device = next((each.device for each in host_table if each.point == b"/"), None)
    is_window = mount.fs_type in KERNEL_TYPES - _FOR_THE_NODE or mount.fs_type == b"cgroup"
    return mount.device != root_device and not is_window


def _finding(container: Container, mount: Mount, peer: Mount) -> Finding:
    host_point = peer.point.decode("utf-8", "backslashreplace")
    kind = mount.fs_type.decode("utf-8", "backslashreplace")
    return Finding(
        f"mounted {kind} so that it reached the host's {host_point}",
        container.id,
        evidence=(
            ("mount_point", mount.point),
            ("host_mount_point", peer.point),
            ("file_system", mount.fs_type),
            ("source", mount.source),
        ),
        confidence=Confidence.LIKELY,
        identity=(container.id, host_point, kind),
    )


DETECTOR = Detector(
    id="HW-113",
    name="mount_reached_host",
    family=Family.DRIFT,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(MountTable,),
    check=check,
    weakest=Tier.POLL,
    summary="A mount that was made in a container shows in the host's mount table by propagation.",
    benign=(
        "Storage drivers (CSI) mount volumes for the node through a Bidirectional mount, which they declare: silent.",
        "Network plug-ins that mount the BPF file system on the node by the same way: silent.",
        "Mounts that the container was started with, though they have peers in the host's table.",
    ),
    misses=(
        (
            "Who made the mount: the host and the container are peers, and the tables do not tell. A host process that "
            "mounts its root disk below a bidirectional mount is told as if the container had done it."
        ),
        "A hostile volume that a container with a declared bidirectional mount lays over it.",
        "A mount that is gone before both tables are read.",
    ),
    advice=(
        "Look at the host's mount point: what do its programs now read there? Unmount it on the host.",
        "Find out what gave the container a shared mount: Bidirectional is for storage drivers only.",
    ),
    references=(
        "https://www.kernel.org/doc/Documentation/filesystems/sharedsubtree.rst",
        "https://kubernetes.io/docs/concepts/storage/volumes/#mount-propagation",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
