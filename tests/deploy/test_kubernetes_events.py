"""The optional rights in ``deploy/`` beside the requests that the sink ``kubernetes`` really makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from agent.output_schema import KubernetesConfig
from agent.sinks.kubernetes import KubernetesSink
from agent.stored_alert import stored
from collectors.facts import Pod
from tests.agent import alerts
from tests.support import build
from tests.support.certificates import make_certificates
from tests.support.http_receiver import HttpReceiver, Reply

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMMAND = re.compile(r'"serviceAccountName":"([a-z-]+)","automountServiceAccountToken":true')
ON_A_COLLECTION = re.compile(r"/apis/([a-z0-9.]+)/v1/namespaces/[a-z-]+/([a-z]+)")


def objects(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")) if each is not None]


def by_kind() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in objects("kubernetes-events.yaml")}


def test_grants_what_the_sink_asks_for_and_nothing_else(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    (tmp_path / "token").write_text("t0ken", encoding="ascii")
    in_pod = build.container(pod=Pod("shop", "cart-7d9f", "uid-1", "cart", is_sandbox=False))
    with HttpReceiver(default=lambda _: Reply(201, b"{}"), tls=certificates.server_context()) as receiver:
        sink = KubernetesSink(
            KubernetesConfig(
                name="events",
                server=receiver.url,
                token_file=str(tmp_path / "token"),
                ca_file=certificates.authority,
                timeout_seconds=5.0,
            )
        )
        sink.send([stored(alerts.alert(container=in_pod))])
        sink.close()
    asked = set()
    for request in receiver.requests:
        found = ON_A_COLLECTION.fullmatch(request.path)
        assert found is not None
        asked.add((found[1], found[2], "create"))  # a POST to a collection; the receiver takes no other method
    granted = {
        (group, resource, verb)
        for rule in by_kind()["ClusterRole"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert len(receiver.requests) == 2  # on the pod, and on its node
    assert granted == asked


def test_the_role_is_bound_to_the_account_that_the_agents_pods_get() -> None:
    found = by_kind()
    account, binding = found["ServiceAccount"]["metadata"], found["ClusterRoleBinding"]
    daemonset = next(each for each in objects("daemonset.yaml") if each["kind"] == "DaemonSet")
    command = COMMAND.search((DEPLOY / "kubernetes-events.yaml").read_text(encoding="utf-8"))
    assert command is not None
    assert command[1] == account["name"]
    assert account["namespace"] == daemonset["metadata"]["namespace"]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": found["ClusterRole"]["metadata"]["name"],
    }
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
