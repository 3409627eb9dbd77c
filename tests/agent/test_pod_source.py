from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.config import parse_config
from agent.config_schema import Config
from agent.errors import ConfigError
from agent.kubernetes_schema import KubernetesApiConfig
from agent.pod_source import new_pod_watch
from collectors.containers.registry import ContainerRegistry
from collectors.host import Roots
from collectors.kubernetes.watch import PodWatch

IN_CLUSTER = {"NODE_NAME": "node-1", "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def made(config: KubernetesApiConfig, environment: dict[str, str], tmp_path: Path) -> PodWatch | None:
    roots = Roots(proc=str(tmp_path), sys=str(tmp_path), host=str(tmp_path))
    registry = ContainerRegistry(roots, clock_ns=time.time_ns)
    return new_pod_watch(config, registry, lambda _: None, environment, lambda _: None)


def test_asks_nobody_by_default(tmp_path: Path) -> None:
    assert Config().kubernetes.enabled is False
    assert made(KubernetesApiConfig(), IN_CLUSTER, tmp_path) is None


def test_finds_server_and_node_as_the_kubelet_tells_them(tmp_path: Path) -> None:
    assert isinstance(made(KubernetesApiConfig(enabled=True), IN_CLUSTER, tmp_path), PodWatch)
    ipv6 = {**IN_CLUSTER, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert isinstance(made(KubernetesApiConfig(enabled=True), ipv6, tmp_path), PodWatch)


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({**IN_CLUSTER, "NODE_NAME": ""}, "kubernetes.node_name"),
        ({**IN_CLUSTER, "NODE_NAME": "node-1,spec.nodeName!=x"}, "kubernetes.node_name"),
        ({"NODE_NAME": "node-1"}, "kubernetes.server"),
    ],
)
def test_stops_with_the_key_that_is_missing(environment: dict[str, str], key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        made(KubernetesApiConfig(enabled=True), environment, tmp_path)
    assert raised.value.key == key


@pytest.mark.parametrize(
    "text",
    [
        "kubernetes: {enabled: yes please}",
        "kubernetes: {server: 'http://10.96.0.1'}",
        "kubernetes: {server: 'https://user:pw@10.96.0.1'}",
        "kubernetes: {node_name: 'NODE 1'}",
        "kubernetes: {node_name: 'a,b'}",
        "kubernetes: {start_spread_seconds: -1}",
        "kubernetes: {token_file: token}",
    ],
)
def test_refuses_a_configuration_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text.encode(), "hullwatch.yaml", ())


def test_the_client_is_imported_only_where_it_is_wanted() -> None:
    code = "import sys, agent.daemon; sys.exit('kubernetes' in sys.modules or 'urllib3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0  # noqa: S603
