"""A container was given a socket that governs containers or the host itself.

Whoever can talk to a container engine asks it for a container with the host's ``/`` in it, and is root. Mounting the
socket read-only changes nothing: connecting to a socket is no write to its file system. A directory above the socket
gives it too, and the next one after the engine is started anew.

*Fires on:* a declared bind mount whose source is one of the sockets of ``collectors.host_places`` or a directory above
one, by device and inode of the host's file, whatever it is called and wherever it is mounted.
"""

from __future__ import annotations

from collectors.events import ContainerSeen
from collectors.facts import MountSource, Reach, Unknown
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


def check(event: ContainerSeen, _view: NodeView) -> Found:
    """List the governing sockets that come with the declared mounts."""
    container = event.container
    if isinstance(container.sources, Unknown):
        yield Blind(container.sources.why)
        return
    found = {source: sockets for source in container.sources if (sockets := _sockets(source))}
    if not found:
        return
    sockets = tuple(dict.fromkeys(socket for each in found.values() for socket in each))
    yield Finding(
        "was started with a socket that governs the host: " + ", ".join(sockets),
        container.id,
        evidence=(
            ("sockets", sockets),
            ("mounts", tuple(f"{each.path} at {each.destination}" for each in found)),
            ("opens", tuple(dict.fromkeys(OPENS[socket] for socket in sockets))),
        ),
        confidence=(Confidence.LIKELY if all(isinstance(each.file, Unknown) for each in found) else Confidence.CERTAIN),
    )


def _sockets(source: MountSource) -> tuple[str, ...]:
    """The governing sockets that the mount gives. By the path alone, only one that is named itself counts."""
    is_guess = isinstance(source.file, Unknown)
    return tuple(
        each.place
        for each in source.reached
        if each.place in OPENS and each.reach in ({Reach.IS} if is_guess else {Reach.IS, Reach.ABOVE})
    )


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
        "Sockets of services that govern nothing (databases, logs).",
    ),
    misses=(
        "A socket at a place that is not in the list (an engine started with another address).",
        "A socket that appears in a mounted directory after the container was started.",
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
