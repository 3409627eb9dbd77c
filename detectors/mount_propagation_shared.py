"""A container was given a mount through which what it mounts appears on the host.

With shared (bidirectional) propagation a file system that the container mounts below shows in the host's mount table,
where services of the host may trust what stands there. It takes CAP_SYS_ADMIN, and is then a way to plant files.

*Fires on:* a declared mount with the option ``shared`` or ``rshared``.
"""

from __future__ import annotations

from collectors.events import ContainerSeen
from collectors.facts import Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

OPENS = "mounts file systems that the host and other containers see"
_SHARED = frozenset({"shared", "rshared"})
_MAX_TOLD = 16


def check(event: ContainerSeen, _view: NodeView) -> Found:
    """List the shared mounts."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    shared = [each for each in declared.mounts if not _SHARED.isdisjoint(each.options)][:_MAX_TOLD]
    if shared:
        yield Finding(
            "was started with mounts that propagate to the host: " + ", ".join(each.destination for each in shared),
            container.id,
            evidence=(
                ("mounts", tuple(f"{each.source} at {each.destination}" for each in shared)),
                ("opens", (OPENS,)),
            ),
        )


DETECTOR = Detector(
    id="HW-310",
    name="mount_propagation_shared",
    family=Family.EXPOSURE,
    severity=Severity.LOW,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was given a mount that propagates what it mounts to the host.",
    benign=(
        "CSI drivers and other storage plug-ins need it (mountPropagation: Bidirectional): told once each.",
        "Mounts that only receive (slave, HostToContainer) and private ones are silent.",
    ),
    misses=(
        "A root file system with shared propagation (rootfsPropagation of the bundle).",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Use HostToContainer unless the workload itself mounts for others.",
        "What arrives on the host that way is HW-113's.",
    ),
    references=(
        "https://www.kernel.org/doc/html/latest/filesystems/sharedsubtree.html",
        "https://kubernetes.io/docs/concepts/storage/volumes/#mount-propagation",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
