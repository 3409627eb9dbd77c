"""Kubernetes: whether the API server can be asked as is configured. A node without it is none the worse."""

from __future__ import annotations

import os
from collections.abc import Iterator

from agent.doctor.base import Answer, Surroundings, Verdict, off, ok
from agent.errors import ConfigError
from agent.pod_source import whom_to_ask

AREA = "cluster"
NAME = "Kubernetes API"


def check(surroundings: Surroundings) -> Iterator[Answer]:
    """The API server's address, the node's name, token and certificates; nobody is asked."""
    config = surroundings.config.kubernetes
    if not config.enabled:
        yield off(AREA, NAME, "off in the configuration; pods are named by their bundles and the kubelet's directories")
        return
    costs = "Pods have no labels, owners and service accounts; detection works without."
    mend = "Apply the overlay api-enrichment, or outside of a cluster set kubernetes.enabled: false."
    try:
        server, node = whom_to_ask(config, surroundings.environment)
    except ConfigError as error:  # with this the agent does not start
        yield Answer(AREA, NAME, Verdict.FAILED, f"{error.key} {error.problem}", "The agent does not start.", mend)
        return
    missing = [path for path in (config.token_file, config.ca_file) if not os.access(path, os.R_OK)]
    if missing:
        yield Answer(AREA, NAME, Verdict.FAILED, f"can't be read: {', '.join(missing)}", costs, mend)
        return
    yield ok(AREA, NAME, f"{server}, pods of the node {node}")
