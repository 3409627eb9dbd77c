"""A container was given directories of the host that lead into it.

Who writes the host's ``/etc``, ``/usr`` or the kubelet's directory runs a program on the host; who reads ``/root``, the
state of a container engine or the keys of the cluster needs no program there. What counts is the file that is mounted,
not what it is called: a symbolic link or a bind mount of the host leads to the same one.

*Fires on:* a declared bind mount whose source is a place of the table below, a directory above one, or (where the table
says so) something in one; medium when it can be written, low when it is read-only. What docker, containerd, CRI-O,
podman and the kubelet mount for the container itself is silent. The host's /proc is medium also when read-only, where
the container has CAP_SYS_PTRACE: ``/proc/1/root`` in it is not. With a user namespace of its own nothing is above low.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from collectors.capabilities import mask
from collectors.declarations import in_own_user_namespace
from collectors.events import ContainerSeen
from collectors.facts import Container, Declared, FileKind, MountSource, Reach, Reached, Unknown
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


class _Counts(Enum):
    """When a mount of something *in* a place counts."""

    NEVER = "never"
    WRITABLE = "writable"
    ALWAYS = "always"


class _Told(NamedTuple):
    """A mount that counts, the place that it gives, and how bad that is."""

    source: MountSource
    reached: Reached
    severity: Severity


_RUNS_AS_ROOT = "writes what root on the host runs"
_ENGINE = "changes containers and images under the engine, and reads their secrets"
_CLUSTER = "reads the node's keys of the cluster, and starts pods on the node"
_LOGIN = "changes who may log in to the host, and as whom"

# Place of collectors.host_places, what it opens, and whether something in it counts.
OPENS: dict[str, tuple[str, _Counts]] = {
    "/": ("has every file of the host", _Counts.NEVER),
    "/bin": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/boot": ("replaces the kernel that the node starts next", _Counts.ALWAYS),
    "/dev": ("has the host's devices, as far as the device cgroup lets it", _Counts.NEVER),
    "/etc": ("changes accounts, services and scheduled jobs of the host", _Counts.NEVER),
    "/etc/cni": ("makes the kubelet run a network plug-in of its choice", _Counts.ALWAYS),
    "/etc/containerd": ("makes the engine run a runtime of its choice", _Counts.WRITABLE),
    "/etc/cron.d": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/cron.daily": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/cron.hourly": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/crontab": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/crio": ("makes the engine run a runtime of its choice", _Counts.WRITABLE),
    "/etc/docker": ("makes the engine run a runtime of its choice, and reads its keys", _Counts.WRITABLE),
    "/etc/init.d": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/kubernetes": (_CLUSTER, _Counts.ALWAYS),
    "/etc/ld.so.conf.d": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/ld.so.preload": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/modprobe.d": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/modules-load.d": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/pam.d": (_LOGIN, _Counts.WRITABLE),
    "/etc/passwd": (_LOGIN, _Counts.WRITABLE),
    "/etc/profile.d": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/rancher": (_CLUSTER, _Counts.ALWAYS),
    "/etc/shadow": ("reads the host's password hashes", _Counts.ALWAYS),
    "/etc/ssh": ("reads the host's keys, and changes who may log in", _Counts.ALWAYS),
    "/etc/sudoers": (_LOGIN, _Counts.WRITABLE),
    "/etc/sudoers.d": (_LOGIN, _Counts.WRITABLE),
    "/etc/systemd": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/etc/udev": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/home": ("reads keys of the host's users, and changes what they run", _Counts.NEVER),
    "/lib": (_RUNS_AS_ROOT, _Counts.NEVER),
    "/lib/modules": ("chooses what the kernel loads", _Counts.ALWAYS),
    "/opt/cni/bin": ("makes the kubelet run a network plug-in of its choice", _Counts.ALWAYS),
    "/proc": ("reads and sets the host's kernel, and reaches its processes", _Counts.ALWAYS),
    "/root": ("reads keys of root, and changes what root runs", _Counts.NEVER),
    "/root/.kube": ("reads keys of the cluster", _Counts.ALWAYS),
    "/root/.ssh": (_LOGIN, _Counts.ALWAYS),
    "/run": ("has the sockets and the state of the host's services", _Counts.NEVER),
    "/run/containerd": (_ENGINE, _Counts.ALWAYS),
    "/run/containers": (_ENGINE, _Counts.ALWAYS),
    "/run/crio": (_ENGINE, _Counts.ALWAYS),
    "/run/docker": (_ENGINE, _Counts.ALWAYS),
    "/run/k3s": (_ENGINE, _Counts.ALWAYS),
    "/run/runc": (_ENGINE, _Counts.ALWAYS),
    "/run/systemd": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/run/udev": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/sbin": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/sys": ("sets the host's kernel and its cgroups", _Counts.ALWAYS),
    "/usr": (_RUNS_AS_ROOT, _Counts.NEVER),
    "/usr/bin": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/usr/lib": (_RUNS_AS_ROOT, _Counts.NEVER),
    "/usr/lib/systemd": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/usr/libexec": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/usr/local/bin": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/usr/local/sbin": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/usr/sbin": (_RUNS_AS_ROOT, _Counts.WRITABLE),
    "/var": ("has the state of every service of the host", _Counts.NEVER),
    "/var/lib": ("has the state of every service of the host", _Counts.NEVER),
    "/var/lib/containerd": (_ENGINE, _Counts.ALWAYS),
    "/var/lib/containers": (_ENGINE, _Counts.ALWAYS),
    "/var/lib/docker": (_ENGINE, _Counts.ALWAYS),
    "/var/lib/etcd": ("has the whole state of the cluster, secrets included", _Counts.ALWAYS),
    "/var/lib/kubelet": ("reads the secrets of all pods of the node, and its keys", _Counts.ALWAYS),
    "/var/lib/rancher": (_CLUSTER, _Counts.ALWAYS),
    "/var/log": ("reads the host's files through links that the kubelet follows when it shows logs", _Counts.NEVER),
    "/var/log/pods": ("reads the host's files through links that the kubelet follows", _Counts.NEVER),
    "/var/spool/cron": (_RUNS_AS_ROOT, _Counts.WRITABLE),
}

_OF_THE_KERNEL = frozenset({"/dev", "/proc", "/sys"})
_READ_FOR_NOTHING = frozenset({"/etc/passwd"})  # everybody may read it
_MAX_TOLD = 16

# What engines keep for one container or volume, below their directories (by the real path on the host).
_OWN_BY_ID = re.compile(
    r"/(?:containers|sandboxes|overlay-containers)/(?P<id>[0-9a-f]{64})/(?:userdata/)?"
    r"(?:hosts|resolv\.conf|hostname|\.containerenv|run/secrets|secrets|shm|mounts|volumes)(?:/|\Z)"
)
_VOLUME = re.compile(r"/(?:docker|containers/storage)/volumes/[^/]+/_data(?:/|\Z)")
_BUILD = re.compile(r"/buildkit/(?:runc-[^/]+/)?executor/(?:hosts|resolv\.conf)[^/]*\Z")
_OF_POD = re.compile(r"/kubelet/pods/(?P<uid>[0-9A-Za-z-]{1,64})/")


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List the dangerous directories of the host that the bundle mounts, with what each opens."""
    container = event.container
    if isinstance(container.declared, Unknown) or isinstance(container.sources, Unknown):
        yield Blind(next(each.why for each in (container.declared, container.sources) if isinstance(each, Unknown)))
        return
    is_apart = in_own_user_namespace(container.declared, view.first_process(container.id), view.host)
    told: list[_Told] = []
    for source in container.sources:
        if source.kind is FileKind.SOCKET or _is_engines(source, container):
            continue
        places = [each for each in source.reached if _counts(each, source, is_apart=is_apart)]
        if places:
            place = _nearest(places)
            told.append(_Told(source, place, _severity(source, place, container.declared, is_apart=is_apart)))
        elif isinstance(source.file, Unknown):
            yield Blind(source.file.why)
    if told:
        yield _finding(container, sorted(told, key=lambda each: -each.severity))


def _counts(reached: Reached, source: MountSource, *, is_apart: bool) -> bool:
    if reached.place not in OPENS or (source.is_read_only and reached.place in _READ_FOR_NOTHING):
        return False
    if is_apart and reached.place in _OF_THE_KERNEL and reached.reach is not Reach.ABOVE:
        return False  # rootless engines have nothing else to give
    below = OPENS[reached.place][1]
    return (
        reached.reach is not Reach.BELOW
        or below is _Counts.ALWAYS
        or (below is _Counts.WRITABLE and not source.is_read_only)
    )


def _nearest(places: list[Reached]) -> Reached:
    """The place that says most: the one that is mounted itself, else what it lies in, else what comes with it."""
    order = (Reach.IS, Reach.BELOW, Reach.ABOVE)
    return min(places, key=lambda each: (order.index(each.reach), -len(each.place)))


def _severity(source: MountSource, reached: Reached, declared: Declared, *, is_apart: bool) -> Severity:
    if is_apart:
        return Severity.LOW
    if not source.is_read_only:
        return Severity.MEDIUM
    has_ptrace = declared.capabilities.bounding & mask(("CAP_SYS_PTRACE",))
    is_proc = reached.place in {"/", "/proc"} and reached.reach is not Reach.BELOW
    return Severity.MEDIUM if is_proc and has_ptrace else Severity.LOW


def _is_engines(source: MountSource, container: Container) -> bool:
    """The engine or the kubelet keeps it for this very container, or it is a single volume."""
    own = _OWN_BY_ID.search(source.path)
    if own is not None:
        sandbox = container.pod is not None or container.runtime != "docker"
        return own["id"] == container.id or sandbox  # a pod's containers have the files of its sandbox
    pod = _OF_POD.search(source.path)
    if pod is not None:
        return container.pod_uid is None or pod["uid"] == container.pod_uid
    return _VOLUME.search(source.path) is not None or _BUILD.search(source.path) is not None


def _finding(container: Container, told: list[_Told]) -> Finding:
    first = told[:_MAX_TOLD]
    paths = (f"{each.source.path}{' (read-only)' if each.source.is_read_only else ''}" for each in first)
    is_guess = all(isinstance(each.source.file, Unknown) for each in told)
    return Finding(
        f"was started with directories of the host: {', '.join(paths)}" + (", ..." if len(told) > len(first) else ""),
        container.id,
        evidence=(
            ("paths", tuple(each.source.path for each in first)),
            ("destinations", tuple(each.source.destination for each in first)),
            ("access", tuple("ro" if each.source.is_read_only else "rw" for each in first)),
            ("places", tuple(f"{each.reached.reach.value} {each.reached.place}" for each in first)),
            ("opens", tuple(_opened(each) for each in first)),
        ),
        severity=told[0].severity,
        confidence=Confidence.LIKELY if is_guess else Confidence.CERTAIN,
    )


def _opened(told: _Told) -> str:
    """What the mount opens; read-only, what may be read in the place or in those that come with it."""
    places = (told.reached.place, *(each.place for each in told.source.reached if each.reach is Reach.ABOVE))
    opens = [OPENS[place][0] for place in places if place in OPENS]
    if not told.source.is_read_only:
        return opens[0]
    return next((each for each in opens if each.startswith(("reads", "has"))), "shows it, to read only")


DETECTOR = Detector(
    id="HW-305",
    name="host_path_mounted",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was given directories of the host that lead into it or hold its secrets.",
    benign=(
        "hosts, resolv.conf, hostname, /dev/shm and the secrets that an engine keeps for the container itself.",
        "Volumes of the pod below the kubelet's directory, its service-account token and termination log included.",
        "A single volume of docker or podman, and directories of applications (/srv, /data, /var/lib/mysql).",
        (
            "Log shippers, monitors and network and storage plug-ins need some: told once for each container, low when "
            "read-only, and accepted by an exception with a reason."
        ),
    ),
    misses=(
        "Directories that are not in the table, such as the data of another service of the host.",
        "An engine or a kubelet that keeps its state at another place, unless that is given as a state directory.",
        "A source that was exchanged between the start of the container and the reading of its bundle.",
        "Sources on network and FUSE file systems are told by their path alone.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Mount the one file or directory that the workload needs, read-only where it does.",
        "The Pod Security Standard baseline refuses hostPath volumes.",
    ),
    references=(
        "https://kubernetes.io/docs/concepts/storage/volumes/#hostpath",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
