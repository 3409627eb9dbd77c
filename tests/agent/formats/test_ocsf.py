from __future__ import annotations

from typing import Any

import pytest

from agent.formats.ecs import to_ecs
from agent.formats.ocsf import render
from tests.agent import alerts
from tests.support import build

SAMPLES = alerts.samples()

# ocsf/ocsf-schema at v1.8.0: what must be there (all of the first, one of the second), and what each attribute is.
# From events/findings/detection_finding.json, finding.json, base_event.json and objects/*.json.
REQUIRED: dict[str, tuple[set[str], set[str]]] = {
    "detection_finding": (
        {
            "activity_id",
            "category_uid",
            "class_uid",
            "type_uid",
            "severity_id",
            "time",
            "metadata",
            "finding_info",
        },
        set(),
    ),
    "metadata": ({"product", "version"}, set()),
    "product": (set(), {"name", "uid"}),
    "feature": (set(), {"name", "uid"}),
    "finding_info": ({"uid"}, set()),
    "analytic": ({"type_id"}, {"name", "uid"}),
    "attack": (set(), {"tactic", "technique", "sub_technique"}),
    "tactic": (set(), {"name", "uid"}),
    "technique": (set(), {"name", "uid"}),
    "evidences": (set(), {"process", "resources", "file", "user", "device"}),
    "process": (set(), {"pid", "uid", "cpid"}),
    "file": ({"name", "type_id"}, set()),
    "user": (set(), {"account", "name", "uid"}),
    "container": (set(), {"uid", "name"}),
    "image": ({"uid"}, set()),
    "resource_details": (set(), {"name", "uid"}),
    "device": ({"type_id"}, {"ip", "uid", "name", "hostname"}),
    "os": ({"name", "type_id"}, set()),
}
ATTRIBUTES = {
    "metadata": "metadata",
    "product": "product",
    "feature": "feature",
    "finding_info": "finding_info",
    "analytic": "analytic",
    "attacks": "attack",
    "tactic": "tactic",
    "technique": "technique",
    "sub_technique": "technique",
    "evidences": "evidences",
    "process": "process",
    "parent_process": "process",
    "file": "file",
    "user": "user",
    "container": "container",
    "image": "image",
    "resources": "resource_details",
    "device": "device",
    "os": "os",
}


def rendered(name: str) -> dict[str, Any]:
    return render(to_ecs(SAMPLES[name]))


def missing(value: Any, kind: str, path: str) -> list[str]:
    """The paths at which something that OCSF requires is not there."""
    if isinstance(value, list):
        return [found for index, each in enumerate(value) for found in missing(each, kind, f"{path}[{index}]")]
    needed, one_of = REQUIRED[kind]
    found = [f"{path}.{name}" for name in needed if name not in value]
    if one_of and not one_of & set(value):
        found.append(f"{path}: one of {sorted(one_of)}")
    for name, each in value.items():
        if name in ATTRIBUTES:
            found += missing(each, ATTRIBUTES[name], f"{path}.{name}")
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_holds_all_that_the_schema_requires(name: str) -> None:
    assert missing(rendered(name), "detection_finding", "$") == []


@pytest.mark.parametrize("name", SAMPLES)
def test_holds_nothing_that_is_null(name: str) -> None:
    def nulls(value: Any) -> bool:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return value is None or any(nulls(each) for each in inner)

    assert not nulls({key: value for key, value in rendered(name).items() if key != "unmapped"})


def test_classifies_the_finding() -> None:
    finding = rendered("drift")
    assert finding["class_uid"] == 2004
    assert finding["type_uid"] == 200401
    assert finding["severity_id"] == 5
    assert finding["confidence_id"] == 3
    assert finding["time"] == build.NOW_NS // 1_000_000
    assert finding["finding_info"]["attacks"] == [
        {
            "tactic": {"uid": "TA0004", "name": "Privilege Escalation"},
            "technique": {"uid": "T1611", "name": "Escape to Host"},
        }
    ]


def test_does_not_pair_techniques_with_tactics_that_may_not_be_theirs() -> None:
    attacks = rendered("technique")["finding_info"]["attacks"]
    assert [list(each) for each in attacks] == [["tactic"], ["tactic"], ["technique"], ["technique"], ["technique"]]


def test_names_pod_and_container() -> None:
    finding = rendered("drift-in-a-pod")
    assert finding["resources"][1] == {"uid": "uid-1", "name": "cart-7d9f", "namespace": "shop", "type": "pod"}
    assert finding["evidences"][0]["container"]["pod_uuid"] == "uid-1"


def test_an_exposure_has_the_container_for_evidence() -> None:
    (evidence,) = rendered("exposure")["evidences"]
    assert set(evidence) == {"resources", "container"}


def test_the_agents_own_has_no_evidence() -> None:
    assert "evidences" not in rendered("agent")
