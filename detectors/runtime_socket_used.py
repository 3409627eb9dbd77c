"""A container is connected to somebody on the host who governs containers, or the host itself.

Whoever may talk to dockerd, containerd, CRI-O or a shim starts a privileged container and is root on the host with it;
whoever may talk to systemd or D-Bus starts a service. The socket may have come as a mount, as a directory above it,
over the host's net namespace (abstract sockets, CVE-2020-15257) or as a descriptor: what counts is who is at the other
end.

*Fires on:* a unix socket of a container is connected to one that a governing process of the host holds: one of the
node's container runtimes and their shims, the kubelet, systemd or D-Bus, recognised by the file that they run, whatever
it is called (``collectors.governors``).
Low when HW-304 has told of that very socket: then the way was given, and this is its use; the two together make an
incident of one step more, medium, and what is done with the socket makes that worse. Medium when the bundle mounts the
socket and HW-304 does not know it. The engine tells it once for each (container, name of the socket).
"""

from __future__ import annotations

from collectors.confinement import is_within
from collectors.events import UnixConnected
from collectors.facts import Container, Reach, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
)

_GIVEN = frozenset({Reach.IS, Reach.ABOVE})


def check(event: UnixConnected, view: NodeView) -> Found:
    """The collector has made sure who is at the other end."""
    container = view.container(event.container_id)
    if container is None:
        yield Blind("not_read: the container is not known", event.process)
        return
    server = event.server_executable.rsplit(b"/", 1)[-1].decode("ascii", "replace")
    yield Finding(
        f"is connected to {server} of the host",
        event.container_id,
        event.process,
        evidence=(("socket", event.path), ("server", event.server_executable), ("server_pid", event.server.pid)),
        severity=_severity(_canonical(event.path), container),
        identity=(event.container_id, event.path.decode("utf-8", "backslashreplace")),
    )


def _severity(socket: bytes, container: Container) -> Severity:
    """By what was given: the socket, by the host's file behind a mount; a directory above it; nothing of the sort."""
    sources = () if isinstance(container.sources, Unknown) else container.sources
    if any(each.place.encode() == socket and each.reach in _GIVEN for source in sources for each in source.reached):
        return Severity.LOW
    return Severity.MEDIUM if _is_declared(socket, container) else Severity.HIGH


def _is_declared(socket: bytes, container: Container) -> bool:
    """The bundle mounts the socket, or a directory above it; ``/var/run`` is ``/run`` (file-hierarchy(7))."""
    if isinstance(container.declared, Unknown):
        return False
    sources = (each.source for each in container.declared.mounts if each.source.startswith("/"))
    return any(is_within(socket, _canonical(source.encode("utf-8", "surrogateescape"))) for source in sources)


def _canonical(path: bytes) -> bytes:
    path = path.rstrip(b"/") or b"/"
    return path.removeprefix(b"/var") if path == b"/var/run" or path.startswith(b"/var/run/") else path


DETECTOR = Detector(
    id="HW-210",
    name="runtime_socket_used",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1610", "Deploy Container", "TA0002", "Execution"),
    ),
    wants=(UnixConnected,),
    check=check,
    weakest=Tier.POLL,
    summary="A container is connected to the socket of a container runtime, the kubelet, systemd or D-Bus of the host.",
    benign=(
        (
            "Portainer, Traefik, Watchtower, build runners and agents that were given the engine's socket on purpose: "
            "the exposure is HW-304, this is its use: low, once for each container; make an exception for them."
        ),
        "Device and CSI plug-ins that register with the kubelet, and agents that talk to D-Bus: as above.",
        "A server of the container itself, or of another container, under the same name: it governs nothing here.",
        "Docker in Docker talks to its own daemon, which is a process of the container.",
    ),
    misses=(
        "Below the ebpf tier: a connection that is closed before a look; a single request takes milliseconds.",
        (
            "A governing program that is neither installed where distributions put it nor built from the source of a "
            "runtime, and a proxy on the host that passes on to one."
        ),
        "Which process it is, for a container with a network namespace of its own; in a pod the container is likely.",
        "A connection over TCP: HW-211.",
    ),
    advice=(
        "See which containers started since, and with what (hullwatch ps, docker events, the audit log).",
        "Take the socket from the workload; a proxy that allows only what it needs is the next best.",
        "Read-only mounts of a socket do not limit it.",
    ),
    references=(
        "https://docs.docker.com/engine/security/protect-access/",
        "https://nvd.nist.gov/vuln/detail/CVE-2020-15257",
        "https://man7.org/linux/man-pages/man7/unix.7.html",
        "https://attack.mitre.org/techniques/T1610/",
    ),
)
