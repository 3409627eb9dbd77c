"""The Helm chart renders what the kustomizations render: one description of the pod, whichever way it is installed."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import helm_chart, kustomize
from tests.support.daemonset import find
from tests.support.helm_chart import ChartError, RendererUnavailableError
from tests.support.kubernetes_schema import misfits

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart"
OF_HELM = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
SAME = {
    "base": {},
    "overlays/poll": {"sensor": "poll"},
    "overlays/netlink": {"sensor": "netlink"},
    "overlays/ebpf": {"sensor": "ebpf"},
    "overlays/ebpf-before-5.11": {"sensor": "ebpf", "oldKernel": True},
    "overlays/api-enrichment": {"kubernetesApi": True},
    "overlays/openshift": {"openshift": True},
    "overlays/k3s": {"runtimeDirectory": "/run/k3s"},
    "overlays/rke2": {"runtimeDirectory": "/run/k3s"},
    "overlays/microk8s": {"runtimeDirectory": "/var/snap/microk8s/common/run"},
    "overlays/kind": {"sensor": "poll"},
}

Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def program() -> Path:
    """The renderer."""
    try:
        return helm_chart.build()
    except RendererUnavailableError as error:
        pytest.skip(str(error))


def plain(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The objects by kind, without what Helm adds, and lists of mounts in the order of their names."""
    found = {}
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        manifest["metadata"]["labels"] = {name: value for name, value in labels.items() if name not in OF_HELM}
        if manifest["kind"] == "DaemonSet":
            template = manifest["spec"]["template"]
            template["metadata"].pop("annotations", None)
            template["spec"]["volumes"].sort(key=lambda each: str(each["name"]))
            template["spec"]["containers"][0]["volumeMounts"].sort(key=lambda each: str(each["name"]))
        found[manifest["kind"]] = manifest
    return found


def test_every_overlay_has_its_values() -> None:
    overlays = {path.parent.relative_to(DEPLOY / "kustomize") for path in DEPLOY.rglob("kustomization.yaml")}
    assert set(SAME) == {str(path) for path in overlays}


@pytest.mark.parametrize(("overlay", "values"), SAME.items(), ids=lambda each: each if isinstance(each, str) else "")
def test_renders_what_kustomize_renders(overlay: str, values: Manifest, program: Path) -> None:
    ours = helm_chart.render(CHART, {"namespace": {"create": True}, **values}, program)
    assert plain(ours) == plain(kustomize.render(DEPLOY / "kustomize" / overlay))


def test_an_old_kernel_costs_other_sensors_nothing(program: Path) -> None:
    for sensor in ("poll", "netlink"):
        old, new = (
            find(helm_chart.render(CHART, {"sensor": sensor, "oldKernel": is_old}, program), "DaemonSet")
            for is_old in (True, False)
        )
        assert old == new


def test_default_leaves_the_namespace_to_the_operator(program: Path) -> None:
    kinds = [each["kind"] for each in helm_chart.render(CHART, {}, program)]
    assert sorted(kinds) == ["ConfigMap", "DaemonSet", "PriorityClass", "ServiceAccount"]


def test_takes_every_value(program: Path) -> None:
    values = {
        "image": {"repository": "registry.example/hullwatch", "digest": f"sha256:{'a' * 64}"},
        "imagePullSecrets": [{"name": "pull"}],
        "config": {"log": {"level": "debug"}, "output": {"stdout": {"format": "falco"}}},
        "podLabels": {"team": "security"},
        "podAnnotations": {"a/b": "c"},
        "priorityClass": {"create": False, "name": "system-node-critical"},
        "seLinuxType": "spc_t",
        "tolerations": [],
        "nodeSelector": {"pool": "a"},
        "maxUnavailable": "25%",
    }
    manifests = helm_chart.render(CHART, values, program)
    assert [problem for each in manifests for problem in misfits(each)] == []
    daemonset = find(manifests, "DaemonSet")
    template = daemonset["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert container["image"] == f"registry.example/hullwatch@sha256:{'a' * 64}"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert "tolerations" not in pod
    assert template["metadata"]["labels"] == {"app.kubernetes.io/name": "hullwatch", "team": "security"}
    assert template["metadata"]["annotations"]["a/b"] == "c"
    assert pod["priorityClassName"] == "system-node-critical"
    assert container["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
    assert find(manifests, "ConfigMap")["data"]["config.yaml"].startswith("sensor: auto\nlog:\n")


def test_a_changed_configuration_replaces_the_pods(program: Path) -> None:
    def checksum(config: Manifest) -> str:
        template = find(helm_chart.render(CHART, {"config": config}, program), "DaemonSet")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) != checksum({"log": {"level": "debug"}})


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"sensor": "best"}, id="no-such-sensor"),
        pytest.param({"image": {"digest": "latest"}}, id="digest-that-is-none"),
        pytest.param({"privileged": True}, id="unknown-key"),
        pytest.param({"config": {"sensor": "poll"}}, id="sensor-twice"),
        pytest.param({"maxUnavailable": "1"}, id="number-for-a-percentage"),
    ],
)
def test_schema_refuses(values: Manifest, program: Path) -> None:
    with pytest.raises(ChartError):
        helm_chart.render(CHART, values, program)


def test_engine_refuses_a_value_that_is_not_there(tmp_path: Path, program: Path) -> None:
    (tmp_path / "broken.yaml").write_text("{{ .Values.nowhere }}\n")
    done = subprocess.run([program, tmp_path], input=b'{"Values": {}}', capture_output=True, check=False, timeout=30)  # noqa: S603  (the renderer)
    assert done.returncode == 1
    assert b"nowhere" in done.stderr


def test_versions_are_the_programs() -> None:
    version = re.search(r'__version__ = "(.+)"', (DEPLOY.parent / "agent/__init__.py").read_text())
    assert version is not None
    assert f"\nversion: {version[1]}\nappVersion: {version[1]}\n" in (CHART / "Chart.yaml").read_text()
    assert f"hullwatch:{version[1]}" in (DEPLOY / "daemonset.yaml").read_text()
    assert f"ARG VERSION={version[1]}\n" in (DEPLOY.parent / "Dockerfile").read_text()
