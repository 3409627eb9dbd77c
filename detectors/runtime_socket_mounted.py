"""A container was given a socket that governs containers or the host itself.

Whoever can talk to a container engine asks it for a container with the host's ``/`` in it, and is root. Mounting the
socket read-only changes nothing: connecting to a socket is no write to its file system. A directory above the socket
gives it too, and the next one after the engine is started anew.

*Fires on:* a declared bind mount whose source is one of the sockets of ``collectors.host_places``, or any socket on
which a process of the host listens that governs (``collectors.governors``: a runtime, a kubelet, libvirt, the system's
bus), or a directory above one, by device and inode of the host's file, whatever it is called and wherever it is.
"""

from __future__ import annotations

from collectors.events import ContainerSeen
from collectors.facts import MountSource, Reach, Reached, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Tier,
)

_CONTAINERS = "starts a container that has the host's / and every privilege"
_UNITS = "starts units as root on the host"
_MACHINES = "starts virtual machines and containers with the host's disks"

OPENS = {
    "/run/docker.sock": _CONTAINERS,
    "/run/user/*/docker.sock": "starts containers with everything of the user who runs the engine",
    "/run/docker/containerd/containerd.sock": _CONTAINERS,
    "/run/containerd/containerd.sock": _CONTAINERS,
    "/run/containerd/containerd.sock.ttrpc": _CONTAINERS,
    "/run/k3s/containerd/containerd.sock": _CONTAINERS,
    "/run/k0s/containerd.sock": _CONTAINERS,
    "/var/snap/microk8s/common/run/containerd.sock": _CONTAINERS,
    "/run/crio/crio.sock": _CONTAINERS,
    "/run/cri-dockerd.sock": _CONTAINERS,
    "/run/dockershim.sock": _CONTAINERS,
    "/run/podman/podman.sock": _CONTAINERS,
    "/run/user/*/podman/podman.sock": "starts containers with everything of the user who runs the engine",
    "/run/buildkit/buildkitd.sock": "builds with mounts and privileges that the daemon allows",
    "/run/nri/nri.sock": "changes every container that is started on the node",
    "/var/lib/kubelet/device-plugins/kubelet.sock": "adds devices and mounts to pods that ask for its resource",
    "/run/systemd/private": _UNITS,
    "/run/dbus/system_bus_socket": _UNITS,
    "/run/libvirt/libvirt-sock": _MACHINES,
    "/var/lib/lxd/unix.socket": _MACHINES,
    "/var/snap/lxd/common/lxd/unix.socket": _MACHINES,
    "/var/lib/incus/unix.socket": _MACHINES,
}
OPENS_BY_SERVER = {
    "kubelet": "registers plug-ins that add devices, mounts and volumes to pods",
    "libvirtd": _MACHINES,
    "lxd": _MACHINES,
    "incusd": _MACHINES,
    "dbus-daemon": _UNITS,
    "dbus-broker": _UNITS,
}
"""Of a socket that is in no list, by who listens; what is missing is a container runtime."""


def check(event: ContainerSeen, _view: NodeView) -> Found:
    """List the governing sockets that come with the declared mounts."""
    container = event.container
    if isinstance(container.sources, Unknown):
        yield Blind(container.sources.why)
        return
    mounts = tuple(each for each in container.sources if _sockets(each))
    if not mounts:
        return
    sockets = {socket.place: socket for each in mounts for socket in _sockets(each)}
    servers = tuple(dict.fromkeys(each.server for each in sockets.values() if each.server))
    yield Finding(
        "was started with a socket that governs the host: " + ", ".join(sockets),
        container.id,
        evidence=(
            ("sockets", tuple(sockets)),
            ("mounts", tuple(f"{each.path} at {each.destination}" for each in mounts)),
            ("opens", tuple(dict.fromkeys(_opens(each) for each in sockets.values()))),
            *((("servers", servers),) if servers else ()),
        ),
        confidence=Confidence.LIKELY if all(isinstance(each.file, Unknown) for each in mounts) else Confidence.CERTAIN,
    )


def _sockets(source: MountSource) -> tuple[Reached, ...]:
    """The governing sockets that the mount gives. By the path alone, only one that is named itself counts."""
    is_guess = isinstance(source.file, Unknown)
    return tuple(
        each
        for each in source.reached
        if (each.server or each.place in OPENS) and each.reach in ({Reach.IS} if is_guess else {Reach.IS, Reach.ABOVE})
    )


def _opens(socket: Reached) -> str:
    return OPENS.get(socket.place) or OPENS_BY_SERVER.get(socket.server, _CONTAINERS)


DETECTOR = Detector(
    id="HW-304",
    name="runtime_socket_mounted",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was given a socket that governs containers or the host, or a directory above one.",
    benign=(
        (
            "Build agents, dashboards, reverse proxies and monitors that talk to the engine declare it: told once for "
            "each container, and accepted by an exception with a reason. Its use is another rule's."
        ),
        "Sockets of services that govern nothing (databases, logs, /dev/log): nobody who governs listens there.",
        "The kubelet's pod-resources socket, which device monitors mount: it only tells.",
    ),
    misses=(
        (
            "A socket in no list on which a program listens that is neither installed where distributions put it nor "
            "built from the source of a runtime: a proxy that passes on what it is sent (socat, nginx, a docker socket "
            "proxy), a runtime that is not written in Go."
        ),
        "A shim's own socket, which governs one container: its use is HW-210.",
        "A socket on which only systemd listens until the first who connects, unless it is in the list.",
        "A TCP address of an engine that the container can reach.",
        "Sources on network and FUSE file systems are told by their path alone.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Ask what the workload wants of the engine; a proxy that allows single read-only calls is mostly enough.",
        "Do not count on a read-only mount: it does not restrict a socket.",
    ),
    references=(
        "https://docs.docker.com/engine/security/protect-access/",
        "https://cheatsheetseries.owasp.org/cheatsheets/Docker_Security_Cheat_Sheet.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
