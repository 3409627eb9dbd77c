"""The program that cgroup v1 runs on the host when a cgroup empties was set, or a container's cgroup asks for it.

``release_agent`` of a hierarchy's root is run by the kernel, as root and outside every container, whenever the last
process leaves a cgroup whose ``notify_on_release`` is 1. A container that can write both has the node (CVE-2022-0492
let one without any capability do it).

*Fires on:* ``release_agent`` of a hierarchy that the host has mounted is not what it was before, or names a file of a
container, also at the agent's start; or ``notify_on_release`` of a container's own cgroup, or of one right below it,
turned to 1. Critical, but for an agent that is an installed program of the host (medium, the author not being known)
and the flag alone (high). A value that is back to what it was at the start is silent. Or a container process opened one
of the two files for writing: critical, high for the flag.
"""

from __future__ import annotations

from collectors.container_paths import owner_of_path
from collectors.events import FileTouched, KernelValue, Touch
from collectors.facts import Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Tier,
    actor,
    container_roots,
    judge_value,
)

AGENT = "release_agent"
FLAG = "notify_on_release"

# Where distributions install programs (collectors.programs).
INSTALLED = (b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib64/", b"/opt/", b"/nix/store/", b"/gnu/store/")


def check(event: KernelValue | FileTouched, view: NodeView) -> Found:
    """A file that was opened for writing, or a value that is another one."""
    if isinstance(event, FileTouched):
        yield from _opened(event, view)
    else:
        yield from _turned(event, view)


def _opened(event: FileTouched, view: NodeView) -> Found:
    name = event.path.rsplit(b"/", 1)[-1].decode("ascii", "backslashreplace")
    member = (yield from actor(event.process, view)) if event.touch is Touch.KERNEL and name in {AGENT, FLAG} else None
    if member is not None:
        yield Finding(
            f"opened {name} of a cgroup for writing",
            member.container.id,
            event.process.key,
            evidence=(("path", event.path),),
            severity=Severity.CRITICAL if name == AGENT else Severity.HIGH,
            inherited=True,
        )


def _turned(event: KernelValue, view: NodeView) -> Found:
    """Judge a hierarchy's agent by the file that it names, a container's flag by its value."""
    return judge_value(event, {AGENT, FLAG}, view, _judge)


def _judge(event: KernelValue, after: bytes, view: NodeView) -> Found:
    if event.name == FLAG:
        if after == b"1" and event.before == b"0":
            message = "asks the kernel to run the release_agent when one of its cgroups empties"
            yield _finding(event, message, event.container_id, Severity.HIGH)
    elif after and (isinstance(event.before, Unknown) or after != event.at_start):
        program = after.split(None, 1)[0]
        owner = owner_of_path(program, container_roots(view))
        if owner is not None:
            yield _finding(event, f"the release_agent is a container's file: {owner[1]}", owner[0], Severity.CRITICAL)
        elif not isinstance(event.before, Unknown):
            is_installed = program.startswith(INSTALLED)
            yield _finding(
                event,
                "the release_agent of a cgroup hierarchy was set, by whom is not known",
                None,
                Severity.MEDIUM if is_installed else Severity.CRITICAL,
                is_likely=True,
            )


def _finding(
    event: KernelValue,
    message: str,
    container_id: str | None,
    severity: Severity,
    *,
    is_likely: bool = False,
) -> Finding:
    before = event.before if isinstance(event.before, bytes) else b""
    after = event.after if isinstance(event.after, bytes) else b""
    return Finding(
        message,
        container_id,
        evidence=(("value", event.name), ("file", event.where), ("before", before), ("after", after)),
        severity=severity,
        confidence=Confidence.LIKELY if is_likely else Confidence.CERTAIN,
    )


DETECTOR = Detector(
    id="HW-206",
    name="release_agent_written",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST,),
    wants=(KernelValue, FileTouched),
    check=check,
    weakest=Tier.POLL,
    summary="release_agent of a cgroup v1 hierarchy, or notify_on_release of a container's cgroup, was set.",
    benign=(
        "systemd and cgmanager set an installed release_agent when the node boots: it is there when the agent starts.",
        "An init in a container sets notify_on_release in systemd's own (named) hierarchy: that one is not watched.",
        "A hierarchy that is mounted anew on the host and given an installed agent: medium.",
    ),
    misses=(
        "A hierarchy that only a container has mounted: HW-112 tells of the mount.",
        "Values that are set and set back between two sweeps: the payload is told by HW-208 and HW-114.",
        "notify_on_release outside of the container's own cgroup and its children, and in the first seconds of it.",
        "Nodes with cgroup v2 alone have no release_agent.",
    ),
    advice=(
        "Read the file that the release_agent names, keep it, and empty the value.",
        "A file of a container: the container ran code as root on the host; isolate the node.",
        "Look for a mount of cgroup v1 in a container (HW-112) and for what the kernel ran (HW-208).",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2022-0492",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
