"""A container in a pod's cgroup, an API server and a kubelet's directory that know the pod: what alerts say.

The engine is Docker with a cgroup as the kubelet names it; the API server speaks HTTPS on loopback.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.conftest import TIERS, misfits
from tests.support import running_agent
from tests.support.api_server import ApiServer, pod
from tests.support.certificates import make_certificates
from tests.support.engine import Container, wait_until_gone
from tests.support.patience import patient
from tests.support.running_agent import RunningAgent
from tests.support.stage import Stage

pytestmark = pytest.mark.live

KNOWN = "11111111-2222-4333-8444-555555555555"
HIDDEN = "99999999-2222-4333-8444-555555555555"
GRACE_SECONDS = patient(30.0)
CONNECT_SECONDS = patient(30.0)


@dataclass
class Cluster:
    """An agent that asks the API server, and the cgroup below which pods have theirs."""

    agent: RunningAgent
    server: ApiServer
    stage: Stage
    parent: str
    stack: ExitStack

    def run(self, uid: str, *options: str) -> str:
        """A container in that pod; its id."""
        return self.start(*self.in_pod(uid), *options).id

    def in_pod(self, uid: str) -> tuple[str, str]:
        """The options by which the engine makes a container's cgroup where the kubelet would, with either driver."""
        driver = self.stage.engine.docker("info", "--format", "{{.CgroupDriver}}").stdout.strip()
        if driver == b"systemd":
            return "--cgroup-parent", f"{self.parent}-pod{uid.replace('-', '_')}.slice"
        return "--cgroup-parent", f"/{self.parent}/pod{uid}"

    def start(self, *options: str) -> Container:
        """A container with these options."""
        engine = self.stage.engine
        made = engine.run("sleep", "60", options=options)
        self.stack.callback(wait_until_gone, made)
        self.stack.callback(engine.remove, made)
        return made

    def enter(self, container: Container) -> str:
        """Somebody comes in at a terminal; by which way, as HW-229 tells."""
        self.stage.engine.execute(container, "sleep", "30", options=("-d", "-t"))
        told = self.agent.wait_for("HW-229", container=container.id)
        return str(told["hullwatch"]["evidence"]["entered_by"])


def remove_cgroups(name: str) -> None:
    """Those of that name in every hierarchy; the engine leaves the parents that it made."""
    hierarchies = Path("/sys/fs/cgroup")
    for top in (hierarchies / name, *(each / name for each in hierarchies.iterdir() if each.is_dir())):
        for directory, _, _ in os.walk(top, topdown=False):
            Path(directory).rmdir()


def wait_until_connected(agent: RunningAgent) -> None:
    """An alert waits for nothing: until the first list is there it is raised without labels."""
    ends = time.monotonic() + CONNECT_SECONDS
    while not any(each.get("event") == "kubernetes_api" and each["state"] == "connected" for each in agent.log):
        assert time.monotonic() < ends, agent.log[-5:]
        time.sleep(0.05)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, stage: Stage, tmp_path: Path) -> Iterator[Cluster]:
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    parent = f"hullwatch-test-{os.getpid()}"
    certificates = make_certificates(tmp_path)
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "kubelet/pods" / KNOWN).mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(remove_cgroups, parent)
        server = stack.enter_context(ApiServer(tls=certificates.server_context()))
        server.put(pod())
        config = tmp_path / "hullwatch.yaml"
        running_agent.write_config(config, stage.engine, request.param)
        api = {
            "enabled": True,
            "node_name": "node-1",
            "server": server.url,
            "token_file": str(tmp_path / "token"),
            "ca_file": certificates.authority,
            "start_spread_seconds": 0,
            "kubelet_directory": str(tmp_path / "kubelet"),
        }
        with config.open("a") as file:
            file.write(f"kubernetes: {json.dumps(api)}\n")
        agent = RunningAgent((running_agent.find_command(), "run", "--config", str(config)), request.param)
        try:
            agent.wait_until_ready()
            wait_until_connected(agent)
            yield Cluster(agent, server, stage, parent, stack)
        finally:
            problems = agent.stop() + misfits(agent)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("cluster", TIERS, indirect=True)
def test_alerts_name_pod_workload_and_service_account(cluster: Cluster) -> None:
    agent = cluster.agent
    container_id = cluster.run(KNOWN, "--pid=host")
    alert = agent.wait_for("HW-302", container=container_id)
    assert alert["kubernetes"] == {
        "namespace": "shop",
        "pod": {"name": "cart-7d9f-x2x4", "uid": KNOWN},
        "node": {"name": "node-1"},
        "labels": {"app": "cart", "pod-template-hash": "7d9f"},
        "service_account": {"name": "cart"},
        "workload": {"kind": "Deployment", "name": "cart"},
        "replicaset": {"name": "cart-7d9f"},
        "deployment": {"name": "cart"},
    }
    assert alert["orchestrator"]["resource"]["parent"] == {"type": "Deployment"}

    cluster.server.tokens = set()
    cluster.server.cut_all()
    while_away = cluster.run(KNOWN, "--pid=host")
    assert agent.wait_for("HW-302", container=while_away)["kubernetes"]["labels"]["app"] == "cart"

    hidden = cluster.run(HIDDEN)
    told = agent.wait_for("HW-115", container=hidden, timeout_seconds=GRACE_SECONDS)
    assert told["hullwatch"]["evidence"]["pod_uid"] == HIDDEN
    known = (container_id, while_away)
    assert not [
        each for each in agent.alerts if running_agent.rule(each) == "HW-115" and each["container"]["id"] in known
    ]


@pytest.mark.parametrize("cluster", TIERS, indirect=True)
def test_tells_by_which_way_somebody_came_in(cluster: Cluster) -> None:
    in_pod = cluster.start(*cluster.in_pod(KNOWN))
    assert cluster.enter(in_pod) == "pod_exec"
    assert cluster.enter(cluster.start()) == "runtime_exec"
