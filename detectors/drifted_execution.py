"""A container runs a program that was not in its image.

An image is built once and run many times; what appears in its upper layer and is executed was brought in afterwards: by
an attacker, as a rule, sometimes by a package manager.

*Fires on:* an exec, or the first sight, of a container process whose executable lies in overlay's upper layer, on a
tmpfs, or changed after the container started (medium); on a volume (low). The engine tells it once for each
(image, path): findings with an ``identity`` are the same when the identity is, whatever process and container it was.
"""

from __future__ import annotations

from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Executable, Layer, Unknown
from detectors.base import (
    Blind,
    Confidence,
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

# What each layer says. MEMFD is HW-222's, FOREIGN is HW-104's.
_DRIFTED = {
    Layer.UPPER: ("was written after the container was created", Severity.MEDIUM),
    Layer.CHANGED: ("changed after the container was started", Severity.MEDIUM),
    Layer.TMPFS: ("lies on a tmpfs", Severity.MEDIUM),
    Layer.VOLUME: ("lies on a volume", Severity.LOW),
}


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Judge the file that a container process runs by where it came from."""
    process, executable = event.process, event.process.executable
    member = (yield from actor(process, view)) if process.thread_of is None else None
    if member is None:
        return
    layer = executable.layer if isinstance(executable, Executable) else executable
    if isinstance(layer, Unknown):
        yield Blind(layer.why, process.key)
        return
    assert isinstance(executable, Executable)
    previous = member.previous
    if isinstance(event, Seen) and previous is not None and previous.executable == executable:
        return
    if layer not in _DRIFTED:
        return
    reason, severity = _DRIFTED[layer]
    yield Finding(
        f"runs a program that was not in its image: it {reason}",
        member.container.id,
        process.key,
        evidence=(("executable", executable.path), ("layer", layer.value)),
        severity=severity,
        confidence=Confidence.LIKELY if layer is Layer.CHANGED else Confidence.CERTAIN,
        identity=(
            member.container.image or member.container.id,
            executable.path.decode("utf-8", "backslashreplace"),
        ),
    )


DETECTOR = Detector(
    id="HW-223",
    name="drifted_execution",
    family=Family.TECHNIQUE,
    severity=Severity.MEDIUM,
    techniques=(Technique("T1105", "Ingress Tool Transfer", "TA0011", "Command and Control"),),
    wants=(Exec, Seen),
    check=check,
    weakest=Tier.NETLINK,
    summary="A container executed a file that was not in its image.",
    benign=(
        "Package managers, self-updaters and compilers in a container: once for each image and path.",
        (
            "Tools that an init container copies to a shared volume, and development containers that mount their "
            "program: low."
        ),
        "Development images that install at start: make an exception for the image.",
    ),
    misses=(
        "A script: what is executed is the image's interpreter.",
        "A library that was brought in and is loaded by a program of the image.",
        "A second program at the same path of the same image: it is counted, and not told again.",
        "A program that ends before it is read, in the netlink and poll tiers.",
    ),
    advice=(
        "Take the file from the container (docker cp, kubectl cp) and look what it is, before the container is gone.",
        "Run containers with a read-only root file system, and mount what must be writable noexec.",
    ),
    references=(
        "https://docs.kernel.org/filesystems/overlayfs.html",
        "https://attack.mitre.org/techniques/T1105/",
    ),
)
