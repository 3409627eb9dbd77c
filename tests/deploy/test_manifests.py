"""The manifests are what they say: valid to Kubernetes' own schema, least-privileged, the same wherever they stand."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.config import load_config
from agent.config_schema import Config
from agent.metrics_schema import is_loopback
from tests.support import kustomize
from tests.support.daemonset import as_docker_run, find, load, probe_addresses
from tests.support.kubernetes_schema import misfits

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
KUSTOMIZATIONS = sorted(path.parent.relative_to(DEPLOY / "kustomize") for path in DEPLOY.rglob("kustomization.yaml"))
SCC = "SecurityContextConstraints"  # OpenShift's own: no part of Kubernetes' document
SENSORS = {"poll": [], "netlink": ["NET_ADMIN"], "ebpf": ["BPF", "PERFMON"]}

Manifest = dict[str, Any]


def rendered(name: Path | str) -> list[Manifest]:
    return kustomize.render(DEPLOY / "kustomize" / name)


def container_of(manifests: list[Manifest]) -> Manifest:
    (container,) = find(manifests, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def capabilities_of(manifests: list[Manifest]) -> Manifest:
    return dict(container_of(manifests)["securityContext"]["capabilities"])


def test_plain_file_is_the_base() -> None:
    subprocess.run([sys.executable, TOP / "scripts/manifests.py", "--check"], check=True)  # noqa: S603  (this Python)
    assert load((DEPLOY / "daemonset.yaml").read_text()) == rendered("base")


@pytest.mark.parametrize("name", KUSTOMIZATIONS, ids=str)
def test_fits_kubernetes_schema(name: Path) -> None:
    found = [problem for each in rendered(name) if each["kind"] != SCC for problem in misfits(each)]
    assert not found, "\n".join(found)


def test_cleanup_fits_kubernetes_schema_and_has_no_capability() -> None:
    manifests = load((DEPLOY / "cleanup.yaml").read_text())
    assert [problem for each in manifests for problem in misfits(each)] == []
    pod = _pod(manifests)
    contexts = [each["securityContext"] for each in (*pod["initContainers"], *pod["containers"])]
    assert [context["capabilities"] for context in contexts] == [{"drop": ["ALL"]}] * 2
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(pod)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        pytest.param(("spec", "updatestrategy"), {}, "spec.updatestrategy: Extra inputs", id="key-in-wrong-case"),
        pytest.param(("spec", "template", "spec", "hostPid"), True, "spec.hostPid: Extra inputs", id="hostPid"),
        pytest.param(("spec", "template", "spec", "host_ipc"), True, "a key has a name", id="pythons-spelling"),
        pytest.param(("spec", "template", "spec", "hostPID"), "yes", "spec.hostPID: Input should", id="text-for-bool"),
        pytest.param(("spec", "template", "spec", "tolerations"), {}, "tolerations: Input should", id="map-for-list"),
        pytest.param(("spec", "selector"), None, "spec.selector: Input should", id="no-selector"),
    ],
)
def test_schema_refuses(path: tuple[str, ...], value: Any, said: str) -> None:
    broken = copy.deepcopy(find(rendered("base"), "DaemonSet"))
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(said in problem for problem in misfits(broken))


@pytest.mark.parametrize("name", KUSTOMIZATIONS, ids=str)
def test_asks_for_little(name: Path) -> None:
    manifests = rendered(name)
    container = container_of(manifests)
    context = container["securityContext"]
    assert context["privileged"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"]["drop"] == ["ALL"]
    assert not {"SYS_ADMIN", "SYS_MODULE"} & set(context["capabilities"]["add"])
    assert ("SYS_RESOURCE" in context["capabilities"]["add"]) is (name.name == "ebpf-before-5.11")
    assert not any(each.startswith("CAP_") for each in context["capabilities"]["add"])
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/hullwatch"}
    sources = {volume.get("hostPath", {}).get("path") for volume in _pod(manifests)["volumes"]}
    assert not {"/", "/etc", "/proc", "/var", "/var/lib/kubelet"} & sources


@pytest.mark.parametrize("name", KUSTOMIZATIONS, ids=str)
def test_is_on_every_node_and_gives_way_in_time(name: Path) -> None:
    manifests = rendered(name)
    pod = _pod(manifests)
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == find(manifests, "PriorityClass")["metadata"]["name"]
    assert find(manifests, "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].endswith("%")
    assert pod["terminationGracePeriodSeconds"] > 5  # agent.daemon.DELIVER_SECONDS


@pytest.mark.parametrize("name", KUSTOMIZATIONS, ids=str)
def test_configuration_is_one_that_the_agent_takes(name: Path, tmp_path: Path) -> None:
    if name.name == "api-enrichment" and "kubernetes" not in Config.__struct_fields__:
        pytest.skip("this agent has no watch of the API server")
    path = tmp_path / "config.yaml"
    path.write_text(find(rendered(name), "ConfigMap")["data"]["config.yaml"])
    config = load_config(str(path))
    assert config.metrics.address is not None
    assert is_loopback(config.metrics.address)
    assert {address.split("/")[2] for address in probe_addresses(rendered(name))} == {config.metrics.address}
    assert Path(config.state.directory or "").as_posix() == Config().state.directory == "/var/lib/hullwatch"


@pytest.mark.parametrize(("sensor", "needed"), SENSORS.items(), ids=str)
def test_sensor_has_what_it_needs_and_no_more(sensor: str, needed: list[str]) -> None:
    manifests = rendered(f"overlays/{sensor}")
    assert find(manifests, "ConfigMap")["data"]["config.yaml"] == f"sensor: {sensor}\n"
    assert set(capabilities_of(manifests)["add"]) == {"SYS_PTRACE", "DAC_READ_SEARCH", *needed}


def test_an_old_kernel_costs_one_capability_and_no_more() -> None:
    old, new = (rendered(f"overlays/{name}") for name in ("ebpf-before-5.11", "ebpf"))
    capabilities = capabilities_of(old)["add"]
    assert capabilities == [*capabilities_of(new)["add"], "SYS_RESOURCE"]
    find(old, "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = (
        capabilities_of(new)["add"]
    )
    assert old == new


@pytest.mark.parametrize("name", KUSTOMIZATIONS, ids=str)
def test_token_only_where_the_api_is_asked(name: Path) -> None:
    manifests = rendered(name)
    asks = name.name == "api-enrichment"
    assert _pod(manifests)["automountServiceAccountToken"] is asks
    assert find(manifests, "ServiceAccount")["automountServiceAccountToken"] is False
    roles = [each for each in manifests if each["kind"] == "ClusterRole"]
    rights = {
        (resource, verb)
        for role in roles
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    wanted = {("pods", "list"), ("pods", "watch")}
    assert rights == (wanted if asks else set())


def test_openshift_admits_what_the_daemonset_asks_for() -> None:
    manifests = rendered("overlays/openshift")
    constraints = find(manifests, SCC)
    account = find(manifests, "ServiceAccount")["metadata"]
    assert constraints["users"] == [f"system:serviceaccount:{account['namespace']}:{account['name']}"]
    assert set(constraints["allowedCapabilities"]) == set(capabilities_of(manifests)["add"])
    assert constraints["allowPrivilegedContainer"] is False
    kinds = {kind for volume in _pod(manifests)["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= set(constraints["volumes"])


def test_every_privilege_names_who_needs_it() -> None:
    """Each capability, host namespace and host path stands on a line with a comment, or below one."""
    lines = (DEPLOY / "kustomize/base/daemonset.yaml").read_text().splitlines()
    wanted = re.compile(r"^\s+(- (BPF|PERFMON|SYS_PTRACE|DAC_READ_SEARCH)\b|host(PID|Network|IPC):)")
    found = [line for line in lines if wanted.match(line)]
    assert len(found) == 6
    assert all(re.search(r"  # \w+", line) for line in found)
    names = [index for index, line in enumerate(lines) if re.match(r"^            - name: (run|cgroup|state)$", line)]
    assert len(names) == 3
    assert all(lines[index - 1].lstrip().startswith("#") for index in names)


def test_translation_for_the_engine_knows_every_setting(tmp_path: Path) -> None:
    run = as_docker_run(rendered("overlays/ebpf"), tmp_path, without="PERFMON")
    assert "--env=HULLWATCH_LIVE_GRANT=BPF" in run.options
    assert {"--pid=host", "--network=host", "--read-only", "--cap-drop=ALL", "--cap-add=SYS_PTRACE"} <= set(run.options)
    assert "--security-opt=no-new-privileges" in run.options


def _pod(manifests: list[Manifest]) -> Manifest:
    return dict(find(manifests, "DaemonSet")["spec"]["template"]["spec"])
