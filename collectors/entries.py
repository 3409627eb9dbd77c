"""By which way somebody came into a running container, as far as the node can tell. Questions asked of values; pure.

The kubelet asks the runtime for an exec in two ways: with a stream, for ``kubectl exec``, and without, for probes and
hooks (CRI ``Exec`` and ``ExecSync``). What both leave behind is a process sent in by the same shim; only a terminal is
never a probe's. So a process without one is told for a probe where it runs exactly what the pod declares as one, and
that only the API server says. An ephemeral container is a container of its own: the API server names it, and one with
a target joins the process namespace of another container of its pod, which nothing else in Kubernetes does
(``NamespaceMode_TARGET`` in ``pkg/kubelet/kuberuntime/kuberuntime_container_linux.go``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from collectors.facts import Container, Declared, Executable, FileId, Place, Process

SHIMMED = frozenset({"containerd", "docker"})
"""Runtimes under which one shim is the parent of a container and of all that is sent in later.

Under CRI-O and podman each session has a monitor of its own.
"""

_PID_NAMESPACE = re.compile(r"/proc/(\d{1,10})/ns/pid", re.ASCII)
_MOST_BEFORE_SCRIPT = 2  # its interpreter, and one argument of that (execve(2))


class Way(StrEnum):
    """How a process came in that is not the container's own first."""

    EPHEMERAL_CONTAINER = "ephemeral_container"  # kubectl debug: a container added to a running pod
    POD_EXEC = "pod_exec"  # with a terminal: kubectl exec, or crictl exec on the node
    POD_PROBE = "pod_probe"  # a command that the pod declares as a probe or a hook, or a copy of it
    POD_EXEC_OR_PROBE = "pod_exec_or_probe"  # without a terminal
    RUNTIME_EXEC = "runtime_exec"  # docker exec, podman exec, ctr task exec: into a container of no pod
    RUNTIME_BY_HAND = "runtime_by_hand"  # not by the container's shim: runc exec, or nsenter, on the node


def way_in(container: Container, entry: Process, *, senders: Iterable[Process], shim: Process | None) -> Way:
    """The way of a session whose first process is ``entry``.

    ``senders`` are its ancestors, nearest first, and ``shim`` is the parent of the container's first process.
    """
    sent_by = tuple(senders)
    if container.runtime in SHIMMED and shim is not None and sent_by and not _is_from(shim, (entry, *sent_by)):
        return Way.RUNTIME_BY_HAND
    if container.pod is None and container.pod_uid is None:
        return Way.RUNTIME_EXEC
    if entry.tty:
        return Way.POD_EXEC
    return Way.POD_PROBE if is_declared_command(container, entry.arguments) else Way.POD_EXEC_OR_PROBE


def is_declared_command(container: Container, arguments: bytes) -> bool:
    """The raw command line is that of a probe or a hook which the pod declares for this container.

    A script shows as its interpreter with its path (execve(2)), which ``PATH`` may have completed.
    """
    details, name = container.pod_details, container.pod.container_name if container.pod is not None else ""
    if details is None:
        return False
    words = tuple(arguments.rstrip(b"\0").split(b"\0"))
    for declared in details.commands:
        wanted = tuple(word.encode("utf-8", "surrogateescape") for word in declared.command)
        if declared.container != name:
            continue
        before = len(words) - len(wanted)
        if not 0 <= before <= _MOST_BEFORE_SCRIPT or words[before + 1 :] != wanted[1:]:
            continue
        if words[before] == wanted[0] or (before and words[before].endswith(b"/" + wanted[0])):
            return True
    return False


def is_ephemeral(container: Container, others: Iterable[Container]) -> bool:
    """The container was added to a pod that ran already: the API server says so, or its process namespace does."""
    pod = container.pod
    if pod is None or pod.is_sandbox:
        return False
    if container.pod_details is not None and pod.container_name in container.pod_details.ephemeral_containers:
        return True
    namespace = container.declared.namespace("pid") if isinstance(container.declared, Declared) else None
    joined = _PID_NAMESPACE.fullmatch(namespace.path or "") if namespace is not None else None
    if joined is None:
        return False
    return any(
        other.id != container.id
        and other.first_pid == int(joined[1])
        and other.pod is not None
        and not other.pod.is_sandbox
        and (other.pod.uid, other.pod_uid) == (pod.uid, container.pod_uid)
        for other in others
    )


def _is_from(shim: Process, line: Iterable[Process]) -> bool:
    """The shim is in the line, or another process that runs its file: a runtime may send through a helper."""
    file = _file(shim)
    return any(
        shim.key.pid in (each.key.pid, each.parent_pid) or (file is not None and _file(each) == file) for each in line
    )


def _file(process: Process) -> FileId | None:
    executable = process.executable
    if isinstance(executable, Executable) and isinstance(executable.place, Place):
        return executable.place.file
    return None
