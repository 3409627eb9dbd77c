"""A container process changes what the host will run or trust.

A line in a cron table, a unit of systemd, a static pod, a key in authorized_keys, a library in ld.so.preload: whoever
writes one of these runs on the host, soon or at the next boot. It is the last step of most break-outs, and the first
one of those that got a directory of the host mounted.

*Fires on:* a container process opened for writing, or changed in content, name or mode, a watched file of the host, or
made, renamed or wrote something in a watched directory (``collectors.watched_objects``, ``watched_objects`` of the
configuration, and the static pod directories of the node's kubelet), judged by what the kernel calls the file, through
whatever path; or it opened a file of the host's root file system for writing through a mount of the host's own mount
namespace, which no container was given. Below the eBPF tier it is who was found to have such a file open for writing,
when something had happened to it or at a sweep: by device and inode of the descriptor. Critical; medium where pods put
files by design (CNI, device plug-ins) and the bundle mounts that very place.
"""

from __future__ import annotations

from collectors.events import FileTouched, Touch, Watched, WatchKind
from collectors.facts import Container, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
)

_CHANGES = frozenset({Touch.WRITTEN, Touch.ENTRY, Touch.CHANGED})
_KINDS = frozenset({WatchKind.PERSISTENCE, WatchKind.SERVICED})
_HOW = {
    Touch.WRITTEN: "opened for writing",
    Touch.ENTRY: "opened a file for writing in",
    Touch.CHANGED: "changed",
    Touch.HOST_MOUNT: "opened for writing, through a mount of the host,",
}


def check(event: FileTouched, view: NodeView) -> Found:
    """What the host knows the file by, and whether the container was given that very place."""
    places = tuple(each for each in event.watched if each.kind in _KINDS) if event.touch in _CHANGES else ()
    if not places and event.touch is not Touch.HOST_MOUNT:
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    names = tuple(sorted({each.path for each in places}))
    is_service = bool(places) and all(_is_service(each, member.container) for each in places)
    path = event.path.decode("utf-8", "backslashreplace")
    yield Finding(
        f"{_HOW[event.touch]} the host's {names[0] if names else path}",
        member.container.id,
        event.process.key,
        evidence=(("host_path", names), ("path", event.path), ("how", event.touch.value)),
        severity=Severity.MEDIUM if is_service else Severity.CRITICAL,
        identity=(member.container.id, *(names or (path,))),
        inherited=True,
    )


def _is_service(place: Watched, container: Container) -> bool:
    """Pods put files there by design, and the bundle mounts that place, or one in it."""
    sources = container.sources
    if place.kind is not WatchKind.SERVICED or isinstance(sources, Unknown):
        return False
    return any(f"{each.path}/".startswith(f"{place.path}/") for each in sources)


DETECTOR = Detector(
    id="HW-219",
    name="host_file_changed",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1053.003", "Cron", "TA0003", "Persistence"),
        Technique("T1543.002", "Systemd Service", "TA0003", "Persistence"),
        Technique("T1098.004", "SSH Authorized Keys", "TA0003", "Persistence"),
        Technique("T1574.006", "Dynamic Linker Hijacking", "TA0003", "Persistence"),
    ),
    wants=(FileTouched,),
    check=check,
    weakest=Tier.POLL,
    summary="A container process changed a file of the host that the host runs or trusts.",
    benign=(
        "Files of the same name in the container's own image or volumes: other inodes, silent.",
        "CNI and device plug-ins that install themselves, into the place that they were given by mount: medium.",
        "systemctl, apt, cron and administrators on the host: no container process holds what they change; silent.",
        (
            "Configuration management that runs as a privileged pod and edits the host does what an attack does: told; "
            "make an exception for its image."
        ),
    ),
    misses=(
        (
            "Below the ebpf tier: who has let go of the file before it is looked for, a millisecond or two after the "
            "change; renames, links, removals and modes, which hold nothing. What a changed file makes the host run is "
            "told by HW-114 and HW-208."
        ),
        "Below the ebpf tier: a file that is opened in a watched directory and not written.",
        "Below the ebpf tier: who changes what the host itself changes all the time, within half a second of that.",
        "Below the ebpf tier: what is on no list and opened through a mount of the host's own mount namespace.",
        "Below the ebpf tier: directories below watched ones for which inotify has no room (hullwatch doctor).",
        "Before Linux 6.13: a file that is renamed or linked into a watched directory, or changed without an open.",
        "Before Linux 6.13: what io_uring opens without a descriptor.",
        "In the ebpf tier: what was open before the container process got it.",
        "A directory that did not exist when the patterns were expanded last (every 30 s).",
        "A static pod directory that the kubelet was given less than 5 minutes ago, or by arguments of k3s and RKE2.",
        "Who moves into the host's mount namespace and writes elsewhere than on its root file system.",
    ),
    advice=(
        "Look at the file on the host, compare it with the package's or the image's, and keep a copy.",
        "Take what it would run for running: look for what it started, then put it back.",
        "Mount less of the host into the workload, and that read-only.",
    ),
    references=(
        "https://attack.mitre.org/techniques/T1611/",
        "https://attack.mitre.org/techniques/T1543/002/",
        "https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/",
    ),
)
