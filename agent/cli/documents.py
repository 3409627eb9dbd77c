"""Containers, processes and alerts as plain values, for JSON and YAML. Names are stable; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent import describe
from agent.state import NodeState
from agent.text import arguments, clipped, to_text
from collectors.facts import NAMESPACE_KINDS, Confinement, Container, Executable, Process, Unknown
from detectors.base import Member

if TYPE_CHECKING:  # the builder of alerts and its formats cost every command 50 ms
    from agent.report import Alert

Document = dict[str, Any]


def of_container(container: Container) -> Document:
    """Who the container is."""
    pod = container.pod
    return {
        "id": container.id,
        "name": (container.name or "").removeprefix("/") or None,
        "runtime": container.runtime,
        "image": container.image,
        "pod": None
        if pod is None
        else {
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
            "container": pod.container_name,
            "is_sandbox": pod.is_sandbox,
        },
        "first_pid": container.first_pid,
        "bundle": container.bundle_path,
        "cgroups": sorted(to_text(path) for path in container.cgroup_paths),
    }


def of_process(state: NodeState, process: Process) -> Document:
    """Who the process is, what it shares with the host, and what confines it."""
    member = state.member(process)
    return {
        "pid": process.key.pid,
        "start_ticks": process.key.start_ticks,
        "thread_of": process.thread_of.pid if process.thread_of is not None else None,
        "ns_pid": process.ns_pid,
        "parent_pid": process.parent_pid,
        "name": to_text(process.name),
        "args": list(arguments(process.arguments)),
        "executable": to_text(process.executable.path) if isinstance(process.executable, Executable) else None,
        "is_entering": state.is_becoming(process),
        "in_container_cgroup": member.in_container_cgroup if isinstance(member, Member) else None,
        "host_namespaces": list(describe.shared_with_host(process.confinement, state.host)),
        "host_namespaces_beyond_first": list(beyond_first(state, process)),
        "root_is_host": describe.is_host_root(process.confinement.root, state.host),
        "confinement": of_confinement(process.confinement),
    }


def of_confinement(confinement: Confinement) -> Document:
    """The vector, in words; what is not known reads ``unknown: why``."""
    capabilities = confinement.capabilities
    return {
        "namespaces": {kind: describe.value(getattr(confinement.namespaces, kind)) for kind in NAMESPACE_KINDS},
        "root": describe.value(confinement.root),
        "cwd": describe.value(confinement.cwd),
        "uids": describe.value(confinement.uids),
        "gids": describe.value(confinement.gids),
        "capabilities": describe.value(capabilities)
        if isinstance(capabilities, Unknown)
        else describe.capability_names(capabilities),
        "no_new_privs": describe.value(confinement.no_new_privs),
        "seccomp": describe.value(confinement.seccomp),
        "lsm_label": describe.value(confinement.lsm_label),
        "cgroups": describe.value(confinement.cgroups)
        if isinstance(confinement.cgroups, Unknown)
        else [describe.cgroup(each) for each in confinement.cgroups],
    }


def of_alert(alert: Alert) -> Document:
    """The alert as the agent would write it."""
    from agent.formats.ecs import to_ecs

    return to_ecs(alert)


def beyond_first(state: NodeState, process: Process) -> tuple[str, ...]:
    """The namespaces of the host that the process has and its container's first process has not."""
    member = state.member(process)
    if not isinstance(member, Member) or isinstance(member.first, Unknown):
        return ()
    given = describe.shared_with_host(member.first.confinement, state.host)
    return tuple(kind for kind in describe.shared_with_host(process.confinement, state.host) if kind not in given)


def command(process: Process) -> str:
    """The command line on one line; the name in brackets where there is none, as ps(1) has it."""
    return clipped(" ".join(arguments(process.arguments)), 4096) or f"[{to_text(process.name)}]"
