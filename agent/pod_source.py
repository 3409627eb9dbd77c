"""The API server as a source, from the configuration and what the kubelet tells every container."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from agent.errors import ConfigError
from agent.kubernetes_schema import KubernetesApiConfig
from collectors.containers.registry import ContainerRegistry
from collectors.events import Event
from collectors.importing import IMPORTING
from collectors.kubernetes.watch import PodsApi, PodSourceStatus, PodWatch

NODE_NAME = "NODE_NAME"

_NODE_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)


def new_pod_watch(
    config: KubernetesApiConfig,
    registry: ContainerRegistry,
    emit: Callable[[Event], None],
    environment: Mapping[str, str],
    on_change: Callable[[PodSourceStatus], None],
) -> PodWatch | None:
    """The watch, ``None`` where it is not wanted; ``ConfigError`` where nothing says whom to ask, or for which node."""
    if not config.enabled:
        return None
    server, node = whom_to_ask(config, environment)

    def connect() -> PodsApi:
        with IMPORTING:
            from collectors.kubernetes.client import PodsClient

        return PodsClient(server, node, config.token_file, config.ca_file)

    return PodWatch(
        registry,
        emit,
        connect,
        node,
        clock_ns=time.time_ns,
        spread_seconds=config.start_spread_seconds,
        on_change=on_change,
    )


def whom_to_ask(config: KubernetesApiConfig, environment: Mapping[str, str]) -> tuple[str, str]:
    """The API server, and the name of this node; ``ConfigError`` where nothing says so."""
    node = config.node_name or environment.get(NODE_NAME, "")
    if _NODE_NAME.fullmatch(node) is None:
        problem = f"is not set, and {NODE_NAME} in the environment is {node!r}; wanted the node's name in the cluster"
        raise ConfigError("", None, "kubernetes.node_name", problem)
    server = config.server or _cluster_server(environment)
    if server is None:
        raise ConfigError("", None, "kubernetes.server", "is not set, and the agent runs in no cluster")
    return server, node


def _cluster_server(environment: Mapping[str, str]) -> str | None:
    """The API server as the kubelet tells it to every container."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
