from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.kubernetes.answers import (
    MAX_COMMANDS,
    MAX_LABELS,
    Change,
    ChangeKind,
    Refusal,
    parse_event,
    parse_list,
)
from collectors.pod_facts import PodCommand, PodDetails, PodOwner, PodSeen
from tests.support.api_server import pod

UID = "11111111-2222-4333-8444-555555555555"
STATIC = "0123456789abcdef0123456789abcdef"
ID = "a1" * 32


def listed(*pods: Any) -> bytes:
    return json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "77"}, "items": list(pods)}).encode()


def only(made: Any) -> PodSeen:
    found = parse_list(listed(made))
    assert found.odd == 0
    (seen,) = found.pods
    return seen


def test_parses_what_is_kept_of_a_pod() -> None:
    made = pod(
        spec={
            "containers": [
                {
                    "name": "cart",
                    "livenessProbe": {"exec": {"command": ["/bin/check", "-q"]}},
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
                    "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
                }
            ],
            "ephemeralContainers": [{"name": "debugger-x7k2p", "targetContainerName": "cart"}],
        },
        status={"containerStatuses": [{"name": "cart", "containerID": f"containerd://{ID}"}, {"name": "new"}]},
    )
    assert only(made) == PodSeen(
        PodDetails(
            namespace="shop",
            name="cart-7d9f-x2x4",
            uid=UID,
            node="node-1",
            labels=(("app", "cart"), ("pod-template-hash", "7d9f")),
            service_account="cart",
            owner=PodOwner("ReplicaSet", "cart-7d9f"),
            workload=PodOwner("Deployment", "cart"),
            ephemeral_containers=("debugger-x7k2p",),
            commands=(
                PodCommand("cart", "livenessProbe", ("/bin/check", "-q")),
                PodCommand("cart", "preStop", ("sleep", "5")),
            ),
        ),
        ((ID, "cart"),),
    )


def test_a_mirror_pod_has_the_uid_that_the_node_knows_and_no_owner() -> None:
    owner = {"kind": "Node", "name": "node-1", "controller": True}
    details = only(
        pod(metadata={"annotations": {"kubernetes.io/config.mirror": STATIC}, "ownerReferences": [owner]})
    ).details
    assert (details.uid, details.is_static, details.owner) == (STATIC, True, None)


def test_a_pod_cannot_claim_the_uid_of_another_by_annotation() -> None:
    other = "99999999-2222-4333-8444-555555555555"
    details = only(pod(metadata={"annotations": {"kubernetes.io/config.mirror": other}})).details
    assert (details.uid, details.is_static) == (UID, False)


def test_an_owner_that_is_no_controller_is_none() -> None:
    assert only(pod(metadata={"ownerReferences": [{"kind": "Lease", "name": "x"}]})).details.owner is None


def test_what_strangers_write_is_cut_to_bounds() -> None:
    probe = {"exec": {"command": ["x" * 257]}}
    made = pod(
        metadata={"labels": {f"{number:04}": "v" * 1000 for number in range(1000)}},
        spec={
            "containers": [{"name": "a", "livenessProbe": probe}]
            + [{"name": "b", "startupProbe": {"exec": {"command": ["true"]}}}] * 60
        },
    )
    details = only(made).details
    assert len(details.labels) == MAX_LABELS
    assert details.labels[0] == ("0000", "v" * 256)
    assert len(details.commands) == MAX_COMMANDS
    assert {command.container for command in details.commands} == {"b"}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(7, id="no-object"),
        pytest.param({}, id="empty"),
        pytest.param(pod(metadata={"uid": "../../etc"}), id="uid-is-a-path"),
        pytest.param(pod(metadata={"name": ""}), id="no-name"),
        pytest.param(pod(metadata={"labels": {"a": 1}}), id="label-is-a-number"),
        pytest.param(pod(spec={"containers": "many"}), id="containers-are-a-text"),
    ],
)
def test_a_pod_that_makes_no_sense_hides_no_other(odd: Any) -> None:
    found = parse_list(listed(odd, pod()))
    assert found.odd == 1
    assert [seen.details.uid for seen in found.pods] == [UID]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b'{"metadata":{"resourceVersion":"1&watch=false"},"items":[]}',
        b'{"metadata":{"resourceVersion":""},"items":[]}',
        b'{"metadata":{"resourceVersion":"1"},"items":[',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_refuses_what_is_no_list(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_list(body)


def event(kind: str, made: Any) -> bytes:
    return json.dumps({"type": kind, "object": made}).encode()


def test_parses_the_lines_of_a_watch() -> None:
    made = pod(metadata={"resourceVersion": "88"})
    for kind, expected in (
        ("ADDED", ChangeKind.PRESENT),
        ("MODIFIED", ChangeKind.PRESENT),
        ("DELETED", ChangeKind.DELETED),
    ):
        assert parse_event(event(kind, made)) == Change(expected, "88", only(made))
    assert parse_event(event("BOOKMARK", {"metadata": {"resourceVersion": "99"}})) == Change(ChangeKind.BOOKMARK, "99")


def test_parses_an_error_within_the_watch() -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    assert parse_event(event("ERROR", status)) == Refusal(410, None)
    status = {"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 5}}
    assert parse_event(event("ERROR", status)) == Refusal(429, 5.0)


def test_a_pod_that_makes_no_sense_still_tells_how_far_the_watch_is() -> None:
    assert parse_event(event("ADDED", {"metadata": {"resourceVersion": "88"}})) == Change(ChangeKind.PRESENT, "88")


@pytest.mark.parametrize(
    "line",
    [b"", b"garbage", b'{"type":"ADDED"}', event("EXPLODED", pod(metadata={"resourceVersion": "1"})), b'{"type":1}'],
)
def test_refuses_what_is_no_event(line: bytes) -> None:
    with pytest.raises(Malformed):
        parse_event(line)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.binary() | _JSON.map(lambda value: json.dumps(value).encode()))
def test_raises_nothing_but_malformed(data: bytes) -> None:
    for parse in (parse_list, parse_event):
        try:
            parse(data)
        except Malformed:
            continue


@given(_JSON, st.sampled_from(["metadata", "spec", "status"]), st.text())
def test_a_pod_with_anything_in_it_is_kept_or_counted(value: Any, part: str, key: str) -> None:
    made = pod()
    made[part] = {**made[part], key: value}
    found = parse_list(listed(made))
    assert len(found.pods) + found.odd == 1
