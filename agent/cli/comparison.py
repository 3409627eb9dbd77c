"""What ``inspect`` shows, before it is a table: every aspect compared, and the mounts that lead to the host. Pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from agent import describe
from agent.cli import declared
from agent.state import NodeState
from collectors.confinement import ASPECTS, Aspect, CapabilitySet, Frame, Relation, compare
from collectors.facts import Confinement, Container, Declared, DeclaredNamespace, Mount, Process, Unknown
from detectors.base import Member

_NAMESPACE_OF = re.compile(r"/proc/([0-9]{1,10})/(?:task/[0-9]+/)?ns/[a-z_]+\Z")
_NSFS_ROOT = re.compile(rb"[a-z]+:\[([0-9]{1,19})\]")  # fs/nsfs.c, ns_dname


@dataclass(frozen=True, slots=True)
class Row:
    """One aspect. ``declared`` and ``first`` are ``None`` where there is nothing to show.

    ``relation`` is the observed value's to the first process' for a process, to the declared one's for a container.
    ``beyond`` names the capabilities that make it wider.
    """

    aspect: Aspect
    declared: str | None
    first: str | None
    observed: str
    relation: Relation | None
    beyond: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is inspected. ``process`` is ``None`` for a container whose first process is not known."""

    container: Container | None
    process: Process | None
    is_container: bool


def resolve(state: NodeState, chosen: Container | Process) -> Subject:
    """The container and the process to look at: for a container its first process, as it is now."""
    if isinstance(chosen, Process):
        return Subject(state.container_of(chosen), chosen, is_container=False)
    first = state.first_process(chosen.id)
    if isinstance(first, Unknown):
        return Subject(chosen, None, is_container=True)
    return Subject(chosen, state.process(first.key) or first, is_container=True)


def rows(state: NodeState, subject: Subject) -> tuple[Row, ...]:
    """Every aspect of the confinement; empty without a process."""
    process, container = subject.process, subject.container
    if process is None:
        return ()
    frame = frame_of(state, process)
    asked = container.declared if container is not None else Unknown("no_container")
    first = state.first_process(container.id) if container is not None else None
    entered = first.confinement if isinstance(first, Process) else None
    first_vector = entered if not subject.is_container else None
    asked_vector = (
        declared.as_confinement(asked, process.confinement, frame, joined(state, asked), entered)
        if isinstance(asked, Declared)
        else None
    )
    texts = declared.texts(asked) if isinstance(asked, Declared) else {}
    baseline = asked_vector if subject.is_container else first_vector
    return tuple(
        Row(
            aspect,
            texts.get(aspect.name),
            _text(aspect, first_vector, state) if first_vector is not None else None,
            _text(aspect, process.confinement, state),
            compare(aspect, process.confinement, baseline, frame) if baseline is not None else None,
            _beyond(aspect, process.confinement, baseline) if baseline is not None else "",
        )
        for aspect in ASPECTS
    )


def frame_of(state: NodeState, *processes: Process) -> Frame:
    """What to measure by: the frame of the first that is in a container, else the bare host."""
    for process in processes:
        member = state.member(process)
        if isinstance(member, Member):
            return member.frame
    unread = Unknown("not_read: no container")
    return Frame(state.host.namespaces, state.host.root, unread, unread)


def joined(state: NodeState, asked: Declared) -> dict[str, int]:
    """The namespaces, by kind, that a bundle joins by path, where it is known what the path leads to.

    That is process 1's, a container's first process', or a namespace that is mounted under that path on the host: so
    docker's ``--net=host`` is declared.
    """
    found = ((each.kind, _leads_to(state, each)) for each in asked.namespaces if each.path is not None)
    return {kind: inode for kind, inode in found if inode is not None}


def _leads_to(state: NodeState, asked: DeclaredNamespace) -> int | None:
    path = (asked.path or "").replace("/var/run/", "/run/", 1)  # a link on every distribution
    by_pid = _NAMESPACE_OF.match(path)
    host = state.host.namespaces
    if by_pid is not None:
        pid = int(by_pid[1])
        first = next((state.first_process(each.id) for each in state.containers() if each.first_pid == pid), None)
        whose = host if pid == 1 else first.confinement.namespaces if isinstance(first, Process) else None
        inode = getattr(whose, asked.kind, None)
        return inode if isinstance(inode, int) else None
    table = state.mounts(host.mnt) if isinstance(host.mnt, int) else ()
    roots = () if isinstance(table, Unknown) else (each.root for each in table if each.point == os.fsencode(path))
    names = [_NSFS_ROOT.fullmatch(root) for root in roots]  # the last one covers those before it
    return int(names[-1][1]) if names and names[-1] is not None else None


def _beyond(aspect: Aspect, observed: Confinement, baseline: Confinement) -> str:
    """The capabilities that the baseline has not, for an aspect that is a set of them."""
    now, was = aspect.value(observed), aspect.value(baseline)
    if not isinstance(now, CapabilitySet) or not isinstance(was, CapabilitySet):
        return ""
    return plain(describe.capability_set(now.mask & ~was.mask)) if now.mask & ~was.mask else ""


def plain(text: str) -> str:
    """Names of capabilities as people say them."""
    return text.replace("CAP_", "")


def _text(aspect: Aspect, confinement: Confinement, state: NodeState) -> str:
    value = aspect.value(confinement)
    if aspect.name in {"root", "cwd"} and describe.is_host_root(getattr(confinement, aspect.name), state.host):
        return f"{describe.value(value)} (the host's)"
    kind = aspect.name.removesuffix("_namespace")
    return declared.observed_text(value, getattr(state.host.namespaces, kind, None))


def host_mounts(state: NodeState, subject: Subject) -> tuple[Mount, ...] | Unknown:
    """The mounts, root aside, whose file system the host has mounted too, or which is on a disk of the host."""
    if subject.process is None:
        return Unknown("not_read: the first process was not seen")
    namespace = subject.process.confinement.namespaces.mnt
    if isinstance(namespace, Unknown):
        return namespace
    if namespace == state.host.namespaces.mnt:
        return Unknown("it is in the host's own mount namespace: every mount is the host's")
    table = state.mounts(namespace)
    if isinstance(table, Unknown):
        return table
    devices = set(state.host.block_devices)
    if not isinstance(state.host.root, Unknown):
        devices.add(state.host.root.device)
    of_host = (
        state.mounts(state.host.namespaces.mnt) if isinstance(state.host.namespaces.mnt, int) else Unknown("not_read")
    )
    if not isinstance(of_host, Unknown):
        devices.update(mount.device for mount in of_host)
    return tuple(sorted((mount for mount in table if mount.point != b"/" and mount.device in devices), key=_point))


def _point(mount: Mount) -> bytes:
    return mount.point
