from __future__ import annotations

import base64
import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.formats.ecs import encode, to_ecs
from agent.formats.instant import timestamp
from agent.incidents import Incidents, Phase
from agent.report import Alert, AlertBuilder
from agent.text import visible
from collectors.events import SweepDone
from collectors.facts import (
    NAMESPACE_KINDS,
    NOT_READ,
    Capabilities,
    CgroupMembership,
    Confinement,
    Executable,
    FileId,
    Ids,
    Namespaces,
    Place,
    Pod,
    Seccomp,
    SeccompMode,
    Unknown,
)
from collectors.pod_facts import PodDetails, PodOwner
from detectors.base import Confidence, Family, Finding, Severity
from tests.agent import alerts
from tests.support import build

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs" / "alert.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def document(alert: Alert) -> dict[str, Any]:
    """The alert as its consumer reads it: valid UTF-8, one safe line, as the schema has it."""
    line = encode(alert)
    text = line.decode("utf-8")
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in text)
    read: dict[str, Any] = json.loads(text)
    assert read == to_ecs(alert)
    VALIDATOR.validate(read)
    return read


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_object_of_ours_is_closed() -> None:
    def objects(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, list):
            return [found for each in node for found in objects(each)]
        if not isinstance(node, dict):
            return []
        own = [node] if node.get("type") == "object" else []
        return own + [found for each in node.values() for found in objects(each)]

    assert all("additionalProperties" in each for each in objects(SCHEMA))


@pytest.mark.parametrize("phase", list(Phase))
def test_renders_an_incident(phase: Phase) -> None:
    incidents = Incidents("boot")
    finding = alerts.alert()
    incident = incidents.assign(build.container_id(), build.NOW_NS)
    (change,) = incidents.record(incident, finding.chapter())
    event = SweepDone(build.NOW_NS, 1, 1, 1)
    view = alerts.node(alerts.escaped())
    told = AlertBuilder(alerts.HOST, "0.1.0").build_incident(replace(change, phase=phase), event, view)
    read = document(told)
    assert read["event"]["dataset"] == "hullwatch.incident"
    assert read["event"]["severity"] == (10 if phase is Phase.CLOSED else 90)
    assert read["rule"]["id"] == "HW-001"
    assert read["container"]["name"] == "web-1"
    assert read["message"].startswith(
        f"Container web-1 (debian:12): an incident was {phase.value}, critical: the worst is"
    )
    assert read["hullwatch"]["incident"] == {
        "id": incident.id,
        "phase": phase.value,
        "severity": 90,
        "why": "the worst is HW-101 host_namespace_joined",
        "start": timestamp(build.NOW_NS),
        "end": timestamp(build.NOW_NS),
        "findings": 1,
        "story": [
            {
                "timestamp": timestamp(build.NOW_NS),
                "alert_id": finding.id,
                "rule_id": "HW-101",
                "rule_name": "host_namespace_joined",
                "severity": 90,
                "reason": "has joined the host's mnt namespace",
                "pid": 4242,
            }
        ],
    }


def test_renders_a_drift_whole() -> None:
    read = document(alerts.alert(repeats=2))
    assert read["@timestamp"] == "2025-11-21T04:40:00.000000000Z"
    assert read["event"] == {
        "kind": "alert",
        "id": read["event"]["id"],
        "severity": 90,
        "category": ["intrusion_detection", "process"],
        "type": ["info", "change"],
        "action": "host_namespace_joined",
        "module": "hullwatch",
        "dataset": "hullwatch.drift",
        "created": "2025-11-21T04:40:00.000000000Z",
        "reason": "has joined the host's mnt namespace",
    }
    assert read["log"] == {"level": "critical"}
    assert read["rule"]["id"] == "HW-101"
    assert read["rule"]["ruleset"] == "hullwatch"
    assert read["threat"] == {
        "framework": "MITRE ATT&CK",
        "tactic": {"id": ["TA0004"], "name": ["Privilege Escalation"]},
        "technique": {"id": ["T1611"], "name": ["Escape to Host"]},
    }
    boot_id = build.host_baseline().boot_id
    process = read["process"]
    assert process["pid"] == 4242
    assert process["entity_id"] == f"{boot_id}:4242:104242"
    assert process["name"] == "nsenter"
    assert process["args"] == ["nsenter", "-t", "1", "-m", "sh"]
    assert process["command_line"] == "nsenter -t 1 -m sh"
    assert process["executable"] == "/usr/bin/bash"
    assert process["start"] == "2025-11-20T04:57:22.420000000Z"
    assert process["user"] == {"id": "0"}
    assert process["parent"]["name"] == "sleep"
    assert process["parent"]["command_line"] == "sleep infinity"
    assert process["thread"]["id"] == 4242
    assert read["container"] == {
        "id": build.container_id(),
        "name": "web-1",
        "runtime": "docker",
        "image": {"name": "debian:12"},
    }
    assert "orchestrator" not in read
    assert read["host"]["name"] == "node-1"
    assert read["host"]["boot"] == {"id": boot_id}
    assert read["agent"]["version"] == "0.1.0"
    own = read["hullwatch"]
    assert own["sensor"] == "netlink"
    assert own["confidence"] == "certain"
    assert own["evidence"] == {"namespace": "mnt", "inode": "4026531832"}
    assert own["widened"][0] == {
        "dimension": "namespaces",
        "aspect": "mnt_namespace",
        "was": "4026532100",
        "now": "4026531832",
    }
    assert own["confinement"]["observed"]["host_namespaces"] == ["mnt", "user", "time"]
    assert own["confinement"]["observed"]["root_is_host"] is True
    assert "CAP_SYS_ADMIN" in own["confinement"]["observed"]["capabilities"]["effective"]
    assert own["confinement"]["container"]["host_namespaces"] == ["user", "time"]
    assert own["confinement"]["container"]["root_is_host"] is False
    assert [each["name"] for each in own["ancestors"]] == ["sleep", "containerd-shim"]
    assert own["repeats"] == 2
    assert own["raw"] == []


@pytest.mark.parametrize("why", ["/proc/7/status: \ud800", "\x1b[2J"])
def test_a_missing_fact_whose_reason_is_no_text_hides_nothing(why: str) -> None:
    """Reasons hold paths, and a path may be anything: a lone surrogate stopped the whole alert once."""
    unknown: dict[str, Any] = dict.fromkeys(
        ("root", "cwd", "uids", "gids", "capabilities", "seccomp", "lsm_label"), Unknown(why)
    )
    read = document(alerts.alert(build.process(confinement=build.confinement(**unknown))))
    vector = read["hullwatch"]["confinement"]["observed"]
    assert vector["capabilities_unknown"] == visible(why)
    assert vector["root"] == f"unknown: {visible(why)}"
    assert "capabilities" not in vector


def test_renders_an_exposure_without_process_and_vectors() -> None:
    finding = Finding("is privileged", build.container_id(), severity=Severity.LOW, confidence=Confidence.LIKELY)
    read = document(alerts.alert(declaration=alerts.detector(Family.EXPOSURE), finding=finding))
    assert "process" not in read
    assert "confinement" not in read["hullwatch"]
    assert read["event"]["category"] == ["intrusion_detection", "configuration"]
    assert read["log"] == {"level": "notice"}
    assert read["hullwatch"]["evidence"] == {}


def test_renders_the_agent_s_own_without_techniques() -> None:
    declaration = alerts.detector(Family.AGENT, techniques=(), references=())
    read = document(alerts.alert(declaration=declaration, finding=Finding("lost events", None)))
    assert "threat" not in read
    assert "container" not in read


def test_renders_the_pod() -> None:
    pod = Pod("shop", "cart-7d9f", "uid-1", "cart", is_sandbox=False)
    labels = (("app.kubernetes.io/name", "cart"), ("plain", "\x1b[2J"))
    read = document(alerts.alert(container=build.container(pod=pod, labels=labels)))
    assert read["orchestrator"] == {
        "type": "kubernetes",
        "namespace": "shop",
        "resource": {"type": "pod", "name": "cart-7d9f", "id": "uid-1"},
    }
    assert read["container"]["labels"] == {"app_kubernetes_io/name": "cart", "plain": "\x1b[2J"}


def test_renders_what_the_api_server_says_of_the_pod() -> None:
    pod = Pod("shop", "cart-7d9f-x2x4", "uid-1", "cart", is_sandbox=False)
    details = PodDetails(
        "shop",
        "cart-7d9f-x2x4",
        "uid-1",
        "node-1",
        labels=(("app.kubernetes.io/name", "cart"), ("app_kubernetes_io/name", "other")),
        service_account="cart",
        owner=PodOwner("ReplicaSet", "cart-7d9f"),
        workload=PodOwner("Deployment", "cart"),
    )
    read = document(alerts.alert(container=build.container(pod=pod, pod_details=details)))
    assert read["orchestrator"]["resource"]["parent"] == {"type": "Deployment"}
    assert read["kubernetes"] == {
        "namespace": "shop",
        "pod": {"name": "cart-7d9f-x2x4", "uid": "uid-1"},
        "container": {"name": "cart"},
        "node": {"name": "node-1"},
        "labels": {"app_kubernetes_io/name": "cart"},
        "service_account": {"name": "cart"},
        "workload": {"kind": "Deployment", "name": "cart"},
        "replicaset": {"name": "cart-7d9f"},
        "deployment": {"name": "cart"},
    }


def test_a_workload_of_a_strangers_kind_makes_no_field_of_its_own() -> None:
    pod = Pod("kube-system", "etcd-node-1", "uid-1", "", is_sandbox=False)
    owner = PodOwner("../Widget\x1b", "x")
    details = PodDetails("kube-system", "etcd-node-1", "uid-1", "node-1", owner=owner, workload=owner, is_static=True)
    read = document(alerts.alert(container=build.container(pod=pod, pod_details=details)))
    assert read["kubernetes"] == {
        "namespace": "kube-system",
        "pod": {"name": "etcd-node-1", "uid": "uid-1"},
        "node": {"name": "node-1"},
        "workload": {"kind": "../Widget\x1b", "name": "x"},
        "static": True,
    }
    assert read["message"].startswith("Pod kube-system/etcd-node-1 (")


def test_renders_a_pod_of_which_only_the_uid_is_known() -> None:
    read = document(alerts.alert(container=build.container(pod_uid="uid-1")))
    assert read["orchestrator"] == {"type": "kubernetes", "resource": {"type": "pod", "id": "uid-1"}}


def test_renders_a_process_that_is_gone() -> None:
    finding = alerts.drift(alerts.escaped(), subject=build.key(77))
    read = document(alerts.alert(finding=finding, event=SweepDone(build.NOW_NS, 1, 1, 1)))
    assert set(read["process"]) == {"pid", "entity_id", "start"}


def test_a_thread_stands_below_its_process() -> None:
    thread = build.thread(build.process(), 4243, alerts.escaped().confinement)
    read = document(alerts.alert(thread))
    assert (read["process"]["pid"], read["process"]["thread"]["id"]) == (4242, 4243)
    assert read["process"]["entity_id"].endswith(":4242:104242")


def test_keeps_the_bytes_that_were_not_utf_8() -> None:
    process = alerts.escaped(name=b"\xff\n", arguments=b"a\xfe\0b\0")
    read = document(alerts.alert(process, finding=alerts.drift(process, evidence=(("path", b"/tmp/\xff"),))))
    assert read["process"]["name"] == "\ufffd\n"
    assert read["process"]["args"] == ["a\ufffd", "b"]
    assert read["hullwatch"]["evidence"] == {"path": "/tmp/\ufffd"}
    raw = {each["field"]: base64.b64decode(each["base64"]) for each in read["hullwatch"]["raw"]}
    assert raw == {
        "process.name": b"\xff\n",
        "process.args": b"a\xfe\0b\0",
        "hullwatch.evidence.path": b"/tmp/\xff",
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, "7"), (True, "true"), (b"x", "x"), ("\ud800", "\ufffd"), (("a", b"\xff", 1), ["a", "\ufffd", "1"]), ((), [])],
)
def test_evidence_is_always_text(value: Any, expected: Any) -> None:
    process = alerts.escaped()
    read = document(alerts.alert(process, finding=alerts.drift(process, evidence=(("fact", value),))))
    assert read["hullwatch"]["evidence"]["fact"] == expected


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_763_700_000_123_456_789, "2025-11-21T04:40:00.123456789Z"),
        (-1, "1970-01-01T00:00:00.000000000Z"),
        (2**64, "2554-07-21T23:34:33.709551616Z"),
        (2**80, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_writes_times_in_nanoseconds(at_ns: int, text: str) -> None:
    assert timestamp(at_ns) == text


def test_a_full_line_fits_into_what_container_runtimes_keep_whole() -> None:
    """Docker and the CRI cut log lines at 16 KiB."""
    assert len(encode(alerts.alert())) < 16_384


NAMES = st.text(st.characters(categories=None), max_size=40)
NUMBERS = st.integers(0, 2**64 - 1)
UNKNOWN = st.builds(Unknown, NAMES)
PLACES = st.builds(Place, st.builds(FileId, NUMBERS, NUMBERS), NUMBERS) | UNKNOWN
IDS = st.builds(Ids, *[NUMBERS] * 4) | UNKNOWN
CONFINEMENTS = st.builds(
    Confinement,
    namespaces=st.builds(Namespaces, **dict.fromkeys(NAMESPACE_KINDS, NUMBERS | UNKNOWN)),
    root=PLACES,
    cwd=PLACES,
    uids=IDS,
    gids=IDS,
    capabilities=st.builds(Capabilities, *[NUMBERS] * 5) | UNKNOWN,
    no_new_privs=st.booleans() | UNKNOWN,
    seccomp=st.builds(Seccomp, mode=st.sampled_from(["disabled", "strict", "filter"]).map(SeccompMode)) | UNKNOWN,
    lsm_label=st.binary(max_size=5000) | UNKNOWN | st.none(),
    cgroups=st.lists(st.builds(CgroupMembership, NUMBERS, st.binary(), st.binary()), max_size=3).map(tuple) | UNKNOWN,
)
EVIDENCE = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True),
        NAMES | st.binary() | NUMBERS | st.booleans() | st.lists(NAMES | st.binary() | NUMBERS).map(tuple),
    ),
    max_size=3,
).map(tuple)


@settings(max_examples=60)
@given(
    name=st.binary(max_size=16),
    arguments=st.binary(max_size=5000),
    path=st.binary(max_size=5000),
    confinement=CONFINEMENTS,
    evidence=EVIDENCE,
    names=st.lists(NAMES, min_size=8, max_size=8),
    labels=st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple),
)
def test_any_alert_is_as_the_schema_has_it(
    name: bytes,
    arguments: bytes,
    path: bytes,
    confinement: Confinement,
    evidence: Any,
    names: list[str],
    labels: Any,
) -> None:
    program = Executable(path, NOT_READ, 0, 0, 1, 0)
    process = build.process(name=name, arguments=arguments, executable=program, confinement=confinement)
    container = build.container(
        name=names[0],
        image=names[1],
        runtime=names[2],
        labels=labels,
        pod=Pod(names[3], names[4], names[5], names[6], is_sandbox=False),
    )
    document(alerts.alert(process, container, finding=alerts.drift(process, evidence=evidence, message=names[7])))
