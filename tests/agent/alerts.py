"""Alerts for the tests of formats and sinks: built by the real builder from the facts of ``tests.support.build``."""

from __future__ import annotations

from typing import Any

from agent.incidents import Incidents
from agent.report import Alert, AlertBuilder, HostFacts
from agent.stored_alert import StoredAlert
from agent.stored_alert import stored as stored_of
from collectors.confinement import wider
from collectors.events import Event, Exec, SweepDone
from collectors.facts import Container, Pod, Process
from collectors.pod_facts import PodDetails, PodOwner
from detectors.base import ESCAPE_TO_HOST, Confidence, Detector, Family, Finding, Severity, Technique, Tier
from tests.support import build
from tests.support.view import FakeView, view_of

HOST = HostFacts(
    name="node-1",
    hostname="node-1",
    id="0123456789abcdef0123456789abcdef",
    architecture="x86_64",
    os_name="Debian GNU/Linux",
    os_version="12",
    os_platform="debian",
    os_full="Debian GNU/Linux 12 (bookworm)",
    kernel="6.1.0-18-amd64",
)


def detector(family: Family = Family.DRIFT, severity: Severity = Severity.CRITICAL, **overrides: Any) -> Detector:
    """A declaration, by default like HW-101's."""
    declaration: dict[str, Any] = {
        "id": "HW-101",
        "name": "host_namespace_joined",
        "family": family,
        "severity": severity,
        "techniques": (ESCAPE_TO_HOST,),
        "wants": (Exec,),
        "check": lambda _event, _view: iter(()),
        "weakest": Tier.POLL,
        "summary": "A container process has a namespace of the host.",
        "benign": (),
        "misses": (),
        "advice": (),
        "references": ("https://man7.org/linux/man-pages/man7/namespaces.7.html",),
    }
    return Detector(**{**declaration, **overrides})


def escaped(pid: int = 4242, **overrides: Any) -> Process:
    """A process of container 1 that joined the host's mnt namespace with ``nsenter``."""
    confinement = build.confinement(
        namespaces=build.namespaces(mnt=build.HOST_MNT),
        root=build.HOST_ROOT_PLACE,
        cwd=build.HOST_ROOT_PLACE,
        capabilities=build.capabilities(build.FULL_CAPABILITIES),
    )
    facts = {"name": b"nsenter", "arguments": b"nsenter\0-t\x001\0-m\0sh\0", "confinement": confinement}
    return build.process(pid, **{**facts, **overrides})


def node(process: Process, container: Container | None = None) -> FakeView:
    """A node with that process in container 1, child of its first process."""
    first = build.first_process()
    member = build.member(process, container=container or build.container())
    view = view_of(member)
    view.put_parent(process, first)
    view.put_parent(first, build.host_process(900, name=b"containerd-shim"))
    return view


def drift(process: Process, container: Container | None = None, **overrides: Any) -> Finding:
    """The finding for ``escaped``."""
    known = container or build.container()
    facts: dict[str, Any] = {
        "message": "has joined the host's mnt namespace",
        "container_id": known.id,
        "subject": process.key,
        "evidence": (("namespace", "mnt"), ("inode", build.HOST_MNT)),
        "widened": wider(process.confinement, build.first_process().confinement, build.frame()),
    }
    return Finding(**{**facts, **overrides})


def alert(
    process: Process | None = None,
    container: Container | None = None,
    *,
    declaration: Detector | None = None,
    finding: Finding | None = None,
    event: Event | None = None,
    repeats: int = 0,
) -> Alert:
    """One alert, whole."""
    process = process or escaped()
    finding = finding or drift(process, container)
    event = event or Exec(build.NOW_NS, process)
    incident = Incidents(build.host_baseline().boot_id).assign(finding.container_id, event.at_ns)
    builder = AlertBuilder(HOST, "0.1.0")
    return builder.build(declaration or detector(), finding, event, node(process, container), incident, repeats)


def stored(
    number: int = 1,
    severity: Severity = Severity.HIGH,
    *,
    rule_id: str = "HW-101",
    container_id: str | None = None,
    at_ns: int = build.NOW_NS,
    document: bytes | None = None,
) -> StoredAlert:
    """An alert as the outbox holds it, with a document that is only as large as it must be."""
    name = f"00000000-0000-7000-8000-{number:012d}"
    text = f'{{"event":{{"id":"{name}"}}}}'.encode() if document is None else document
    return StoredAlert(number, name, at_ns, int(severity), rule_id, container_id, text)


def stored_whole(process: Process | None = None, container: Container | None = None, **facts: Any) -> StoredAlert:
    """One alert of ``alert``, rendered as the daemon does it."""
    return stored_of(alert(process, container, **facts))


def batch(count: int) -> list[StoredAlert]:
    """As many whole alerts, a nanosecond apart, each with an id of its own."""
    process = escaped()
    return [stored_whole(process, event=Exec(build.NOW_NS + number, process)) for number in range(count)]


def samples() -> dict[str, Alert]:
    """One alert of each kind, for golden files: from each family, with and without process, container and pod."""
    pod = Pod("shop", "cart-7d9f", "uid-1", "cart", is_sandbox=False)
    details = PodDetails(
        "shop",
        "cart-7d9f",
        "uid-1",
        "node-1",
        labels=(("app.kubernetes.io/name", "cart"),),
        service_account="cart",
        owner=PodOwner("StatefulSet", "cart"),
        workload=PodOwner("StatefulSet", "cart"),
    )
    labels = (("app.kubernetes.io/name", "cart"),)
    in_pod = build.container(
        pod=pod, pod_details=details, labels=labels, image="registry.example:5000/shop/cart:1.2@sha256:0a1b"
    )
    hostile = escaped(name=b"\xff\x1b[2J\n", arguments=b'a\xfe\0"]\\\0')
    tricks = (
        ESCAPE_TO_HOST,
        Technique("T1068", "Exploitation for Privilege Escalation", "TA0004", "Privilege Escalation"),
        Technique("T1610", "Deploy Container", "TA0002", "Execution"),
    )
    privileged = Finding("is privileged", build.container_id(), severity=Severity.LOW, confidence=Confidence.LIKELY)
    gone = drift(escaped(), subject=build.key(77), severity=Severity.HIGH)
    return {
        "drift": alert(repeats=2),
        "drift-in-a-pod": alert(container=in_pod),
        "technique": alert(declaration=detector(Family.TECHNIQUE, Severity.MEDIUM, techniques=tricks)),
        "exposure": alert(declaration=detector(Family.EXPOSURE), finding=privileged),
        "operator": alert(
            declaration=detector(Family.OPERATOR, Severity.HIGH, id="OPS-1", name="mine", techniques=(), references=()),
            finding=Finding("root runs /tmp/x", build.container_id(), escaped().key, (("process_uid", 0),)),
        ),
        "agent": alert(
            declaration=detector(Family.AGENT, Severity.INFO, techniques=(), references=()),
            finding=Finding("lost events", None),
        ),
        "hostile": alert(hostile, finding=drift(hostile, evidence=(("path", b"/tmp/\xff"), ("held", ("a", "b"))))),
        "process-is-gone": alert(finding=gone, event=SweepDone(build.NOW_NS, 1, 1, 1)),
    }
