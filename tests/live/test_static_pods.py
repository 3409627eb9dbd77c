"""A manifest in the directory from which the node's kubelet makes pods: told of a container, and of nobody else.

The kubelet is a script of that name, in the host's mount namespace, with the argument that names the directory: all
that the agent goes by. It writes there too, as kubelets and administrators do.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import running_agent
from tests.support.patience import patient
from tests.support.processes import host_process, wait_until
from tests.support.running_agent import RunningAgent, rule, settle
from tests.support.stage import CRITICAL, Stage, host_directory

pytestmark = pytest.mark.live

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: hullwatch-live}\n"


@pytest.fixture(scope="module")
def pods() -> Iterator[Path]:
    """The directory; while a kubelet runs that takes manifests from it."""
    with host_directory() as directory, kubelet(directory / "manifests", directory / "bin") as manifests:
        yield manifests


@contextmanager
def kubelet(manifests: Path, programs: Path) -> Iterator[Path]:
    """A process of that name which writes a manifest of its own again and again."""
    for each in (manifests, programs):
        each.mkdir()
    script = programs / "kubelet"
    script.write_text(f"#!/bin/sh\nwhile :; do echo '# mirror' > {manifests}/mirror.yaml; sleep 0.3; done\n")
    script.chmod(0o755)
    with host_process(str(script), f"--pod-manifest-path={manifests}"):
        wait_until((manifests / "mirror.yaml").exists, "the kubelet's own manifest")
        yield manifests


@pytest.fixture(scope="module")
def agent(stage: Stage, pods: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent of the one tier that sees files, started when the kubelet runs."""
    assert pods.is_dir()
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    started = running_agent.start(stage.engine, "ebpf", tmp_path_factory.mktemp("pods"))
    yield started
    problems = started.stop()
    assert not problems, "\n".join(problems)


def test_a_container_that_writes_a_manifest_is_told_with_the_directory(
    agent: RunningAgent, pods: Path, stage: Stage
) -> None:
    mark = agent.mark()
    with stage.container("-v", f"{pods}:/given") as container:
        stage.let_it_be_seen()
        stage.shell(container, 'printf %s "$1" > /given/pod.yaml', MANIFEST)
        assert (pods / "pod.yaml").read_text() == MANIFEST
        told = agent.wait_for("HW-219", container=container.id, at_least=CRITICAL, since=mark)
    assert str(pods) in told["message"]
    evidence = told["hullwatch"]["evidence"]
    assert evidence["host_path"] == [str(pods)]


def test_the_kubelet_and_root_on_the_host_are_silent(agent: RunningAgent, pods: Path) -> None:
    mark, mirror = agent.mark(), pods / "mirror.yaml"
    before = mirror.stat().st_mtime_ns
    (pods / "of-root.yaml").write_text(MANIFEST)
    time.sleep(patient(1))
    settle()
    assert mirror.stat().st_mtime_ns > before
    assert [rule(alert) for alert in agent.alerts_since(mark) if rule(alert) == "HW-219"] == []
