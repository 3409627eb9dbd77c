"""A container is connected to somebody on the host who governs containers, or the host itself.

Whoever may talk to dockerd, containerd, CRI-O or a shim starts a privileged container and is root on the host with it;
whoever may talk to systemd or D-Bus starts a service. The socket may have come as a mount, as a directory above it,
over the host's net namespace (abstract sockets, CVE-2020-15257) or as a descriptor: what counts is who is at the other
end.

*Fires on:* a unix socket of a container is connected to one that a governing process of the host holds: one of the
node's container runtimes and their shims, the kubelet, systemd or D-Bus, recognised by their installed executables.
The engine tells it once for each (container, name of the socket).
"""

from __future__ import annotations

from collectors.events import UnixConnected
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


def check(event: UnixConnected, view: NodeView) -> Found:
    """The collector has made sure who is at the other end."""
    if view.container(event.container_id) is None:
        yield Blind("not_read: the container is not known", event.process)
        return
    server = event.server_executable.rsplit(b"/", 1)[-1].decode("ascii", "replace")
    yield Finding(
        f"is connected to {server} of the host",
        event.container_id,
        event.process,
        evidence=(("socket", event.path), ("server", event.server_executable), ("server_pid", event.server.pid)),
        identity=(event.container_id, event.path.decode("utf-8", "backslashreplace")),
    )


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
            "the exposure is HW-304, this is its use, once for each container; make an exception for such workloads."
        ),
        "Device and CSI plug-ins that register with the kubelet, and agents that talk to D-Bus: as above.",
        "A server of the container itself, or of another container, under the same name: it governs nothing here.",
        "Docker in Docker talks to its own daemon, which is a process of the container.",
    ),
    misses=(
        "A connection that is closed before a look (every five sweeps); a single request takes milliseconds (ebpf).",
        "A governing program that is not installed where distributions put it.",
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
