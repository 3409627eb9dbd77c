"""A container runs a program that no directory names: from memory, or deleted before it ran.

A payload in a memfd leaves nothing on disk to scan or to find later, works in a read-only container, and is how most
public exploits stage what they run after the break-out.

*Fires on:* an exec by a container process of a memfd or of a file without a link; in a sweep, on a memfd only, since
a running program whose package was upgraded is honest and looks deleted too. The runtime's own copy of itself
(``runc_cloned``) is still becoming the container, and is not judged.
"""

from __future__ import annotations

from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Executable, HostBaseline, Layer, Unknown
from detectors.base import Blind, Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier, actor


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Judge the file that a container process runs by whether any directory names it."""
    process, executable = event.process, event.process.executable
    member = (yield from actor(process, view)) if process.thread_of is None else None
    if member is None:
        return
    if isinstance(executable, Unknown):
        yield Blind(executable.why, process.key)
        return
    if not executable.is_unlinked:
        return
    is_memfd = _is_memfd(executable, view.host)
    if isinstance(is_memfd, Unknown) and not isinstance(event, Exec):
        yield Blind(is_memfd.why, process.key)
        return
    if is_memfd is True or isinstance(event, Exec):
        kind = "memfd" if is_memfd is True else "deleted file"
        yield Finding(
            f"runs a program that no directory names ({kind})",
            member.container.id,
            process.key,
            evidence=(("executable", executable.path), ("kind", kind)),
            inherited=True,
        )


def _is_memfd(executable: Executable, host: HostBaseline) -> bool | Unknown:
    """By its layer, or by the device of the kernel's own tmpfs, on which all memfds lie (a memfd has no links)."""
    if isinstance(executable.layer, Layer):
        if executable.layer is Layer.MEMFD:
            return True
        if isinstance(executable.place, Unknown):
            return False
    for fact in (executable.place, host.memfd_device):
        if isinstance(fact, Unknown):
            return fact
    assert not isinstance(executable.place, Unknown)
    return executable.place.file.device == host.memfd_device


DETECTOR = Detector(
    id="HW-222",
    name="fileless_execution",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(Technique("T1620", "Reflective Code Loading", "TA0005", "Defense Evasion"),),
    wants=(Exec, Seen),
    check=check,
    weakest=Tier.NETLINK,
    summary="A container process executed a memfd or a file that no directory names.",
    benign=(
        "The runtime's copy of itself on its way into a container is not judged.",
        "A program that runs on after its package was upgraded: deleted, but not executed so; silent.",
        "A container that runs containers: its runtime copies itself the same way; make an exception for it.",
        "A program that deletes itself at once may be met after its exec, and before it is read.",
    ),
    misses=(
        "Code that is mapped or injected into a process that runs already.",
        "An interpreter that reads its program from a pipe.",
        "exec of /proc/self/fd/N where a directory still names the file.",
        "A program that ends before it is read, in the netlink and poll tiers.",
    ),
    advice=(
        "Save the program while it runs: cp /proc/PID/exe.",
        "Look at what the process holds open and talks to; stop the container when nobody claims it.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/memfd_create.2.html",
        "https://attack.mitre.org/techniques/T1620/",
    ),
)
