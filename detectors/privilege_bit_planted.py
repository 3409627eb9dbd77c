"""A container process makes a file set-uid or set-gid, or gives it capabilities.

A set-uid file in a directory that the host can see is a door from the other side: an ordinary user of the host runs it
and is root. Inside the container it turns a foothold into root there.

*Fires on:* a container process set a mode with set-uid or set-gid on a file, or the attribute that holds file
capabilities. Critical when the file is on the file system of the host's root and not of the container's image, else
medium. The engine tells it once for each (container, path).
"""

from __future__ import annotations

from collectors.events import FileTouched, Touch
from collectors.facts import Unknown
from detectors.base import (
    Detector,
    Family,
    Finding,
    Found,
    Member,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
)

_WHAT = {Touch.PRIVILEGED: "made a file set-uid or set-gid", Touch.CAPABLE: "gave a file capabilities"}


def check(event: FileTouched, view: NodeView) -> Found:
    """Whose file it is."""
    what = _WHAT.get(event.touch)
    if what is None:
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    is_hosts = _is_hosts(event, member, view)
    path = event.path.decode("utf-8", "backslashreplace")
    yield Finding(
        what + (" on the file system of the host's root" if is_hosts else "") + f": {path}",
        member.container.id,
        event.process.key,
        evidence=(("path", event.path), ("mode", oct(event.mode) if event.mode else "")),
        severity=Severity.CRITICAL if is_hosts else Severity.MEDIUM,
        identity=(member.container.id, path),
        inherited=True,
    )


def _is_hosts(event: FileTouched, member: Member, view: NodeView) -> bool:
    """It is on the host's root file system, and that is not where the image lies."""
    host = view.host.root
    if event.file is None or isinstance(host, Unknown) or isinstance(member.first, Unknown):
        return False
    own = member.first.confinement.root
    return event.file.device == host.device and not isinstance(own, Unknown) and own.file.device != host.device


DETECTOR = Detector(
    id="HW-224",
    name="privilege_bit_planted",
    family=Family.TECHNIQUE,
    severity=Severity.MEDIUM,
    techniques=(Technique("T1548.001", "Setuid and Setgid", "TA0004", "Privilege Escalation"),),
    wants=(FileTouched,),
    check=check,
    weakest=Tier.EBPF,
    summary="A container process set set-uid, set-gid or file capabilities on a file.",
    benign=(
        "Package managers in an image build or a container install set-uid programs: medium, once for each path.",
        "Set-gid directories of mail, logs and shared volumes: told as the same; make an exception for the workload.",
        "docker build and the runtimes unpack images as processes of the host: silent.",
    ),
    misses=(
        "Tiers below ebpf do not see it: who sets a bit need not hold the file, and leaves no name.",
        "A file that is made with the bit at once (open, mknod), or comes with it by rename.",
        "By path the kernel's own name of the file is not known: only by descriptor a host file is told as critical.",
        "An attribute whose name another thread changes while the call runs.",
        "Before Linux 6.0: an attribute that io_uring sets (HW-225 tells of the ring).",
    ),
    advice=(
        "Look whether the file lies on a volume that the host or other workloads see; take the bit away.",
        "Mount volumes with nosuid, and set no_new_privs (allowPrivilegeEscalation: false).",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/chmod.2.html",
        "https://man7.org/linux/man-pages/man7/capabilities.7.html",
        "https://attack.mitre.org/techniques/T1548/001/",
    ),
)
