"""A container ran a tool that governs containers or the cluster, or that is made for breaking out.

Nothing but its name tells such a tool, and a copy under another name is not told: this is a hint for whoever reads an
incident, not a wall. What such a tool *does* is seen by the other detectors, whatever it is called.

*Fires on:* a container process executes a file whose last path component is that of a client of a container runtime or
of Kubernetes, or of a known tool of break-outs. The engine tells it once for each (container, name).
"""

from __future__ import annotations

from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Unknown
from detectors.base import Blind, Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier, actor

CLIENTS = frozenset(
    {
        b"buildctl",
        b"crictl",
        b"ctr",
        b"docker",
        b"etcdctl",
        b"helm",
        b"kubeadm",
        b"kubectl",
        b"kubelet",
        b"nerdctl",
        b"nsenter",
        b"oc",
        b"podman",
        b"runc",
    }
)
# Public repositories: cdk-team/CDK, stealthcopter/deepce, brompwnie/botb, inguardians/peirates,
# genuinetools/amicontained, quarkslab/kdigger, peass-ng/PEASS-ng, liamg/traitor, cyberark/kubeletctl
BREAKERS = frozenset(
    {
        b"amicontained",
        b"botb",
        b"cdk",
        b"deepce.sh",
        b"kdigger",
        b"kubeletctl",
        b"linpeas.sh",
        b"peirates",
        b"traitor",
    }
)
_TOOLS = CLIENTS | BREAKERS
ARGUMENTS = 8


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Look the name up; a script counts by its own name."""
    process, executable = event.process, event.process.executable
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(executable, Unknown):
        yield Blind(executable.why, process.key)
        return
    arguments = process.arguments.rstrip(b"\0").split(b"\0")
    paths = (executable.path, *arguments[1:2])
    names = [path.rsplit(b"/", 1)[-1] for path in paths]
    name = names[0] if names[0] in _TOOLS else next((each for each in names[1:] if each in BREAKERS), None)
    if name is None:
        return
    what = "a tool that is made for breaking out" if name in BREAKERS else "a client of a runtime or of the cluster"
    yield Finding(
        f"ran {what}: {name.decode('ascii')}",
        member.container.id,
        process.key,
        evidence=(("executable", executable.path), ("arguments", tuple(arguments[:ARGUMENTS]))),
        identity=(member.container.id, name.decode("ascii")),
    )


DETECTOR = Detector(
    id="HW-227",
    name="container_tool_run",
    family=Family.TECHNIQUE,
    severity=Severity.LOW,
    techniques=(
        Technique("T1613", "Container and Resource Discovery", "TA0007", "Discovery"),
        Technique("T1609", "Container Administration Command", "TA0002", "Execution"),
    ),
    wants=(Exec, Seen),
    check=check,
    weakest=Tier.NETLINK,
    summary="A container ran a program with the name of a container client or of a known break-out tool.",
    benign=(
        "Build runners, operators and GitOps agents run docker, kubectl or helm all day: once for each container.",
        "Debug images carry all of these; an administrator who uses them does what the name says.",
        "nsenter in an agent of the node that was given the host's namespaces (kured): HW-101 judges what it did.",
    ),
    misses=(
        "Every tool under another name, built into another program, or used through a library: names are all there is.",
        "A program that ended before it was read.",
        "The second run of the same name in one container: it is counted, and not told again.",
    ),
    advice=(
        "Alone it is worth a look at most; in an incident it tells what the visitor was after.",
        "An image that needs none of these should not have them: build it without.",
    ),
    references=(
        "https://github.com/cdk-team/CDK",
        "https://kubernetes.io/docs/reference/kubectl/",
        "https://attack.mitre.org/techniques/T1613/",
    ),
)
