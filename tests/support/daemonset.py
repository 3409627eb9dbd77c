"""A DaemonSet's pod as a `docker run`: every setting of the manifest, and an error for one that is not known here.

What a kubelet would do with the manifest and the engine does with options. Changed are only what the machine must keep:
the directory of the agent's state, which is a temporary one, and the name of the image.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
ABOVE_DOCKER_20 = frozenset({"PERFMON", "BPF"})
STATE = "/var/lib/hullwatch"
# Settings that are about scheduling, the API or the probes, and none of the engine's.
ELSEWHERE = frozenset(
    {
        *("name", "image", "imagePullPolicy", "args", "startupProbe", "livenessProbe", "readinessProbe"),
        *("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "dnsPolicy", "priorityClassName"),
        *("terminationGracePeriodSeconds", "tolerations", "nodeSelector", "containers", "volumes"),
    }
)
HOST_NAMESPACES = {"hostPID": "--pid=host", "hostNetwork": "--network=host"}
RESOURCES = {"cpu": "--cpus", "memory": "--memory"}


class UnknownSettingError(ValueError):
    """The manifest has a setting that this translation does not know: it would be tested without it."""


@dataclass(frozen=True, slots=True)
class DockerRun:
    """What stands between `docker run` and the image, and after it; the pod's capabilities by name."""

    options: tuple[str, ...]
    arguments: tuple[str, ...]
    capabilities: tuple[str, ...]


def find(manifests: Sequence[Manifest], kind: str) -> Manifest:
    """The one object of a kind."""
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def as_docker_run(
    manifests: Sequence[Manifest], directory: Path, *, without: str = "", config: str | None = None
) -> DockerRun:
    """The run of the DaemonSet among these objects; its files lie in `directory`.

    `without`: a capability that is left out. `config`: text that stands for the ConfigMap's `config.yaml`.
    """
    pod = find(manifests, "DaemonSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    capabilities = [name for name in container["securityContext"]["capabilities"]["add"] if name != without]
    data = dict(find(manifests, "ConfigMap")["data"])
    if config is not None:
        data["config.yaml"] = config
    options = [
        *_of_pod(pod),
        *_of_container(container, capabilities),
        *_mounts(pod, container, data, directory),
    ]
    return DockerRun(tuple(options), tuple(container["args"]), tuple(capabilities))


def _of_pod(pod: Manifest) -> Iterator[str]:
    for key, value in pod.items():
        if key in HOST_NAMESPACES and value is True:
            yield HOST_NAMESPACES[key]
        elif key not in ELSEWHERE:
            raise UnknownSettingError(f"{key}: {value}")


def _of_container(container: Manifest, capabilities: Sequence[str]) -> Iterator[str]:
    for key, value in container.items():
        if key == "securityContext":
            yield from _security(value, capabilities)
        elif key == "resources":
            yield from (f"{RESOURCES[name]}={_quantity(name, limit)}" for name, limit in value["limits"].items())
        elif key == "env":
            yield from (f"--env={each['name']}={_told(each['valueFrom'], container)}" for each in value)
        elif key != "volumeMounts" and key not in ELSEWHERE:
            raise UnknownSettingError(f"{key}: {value}")


def _told(source: Manifest, container: Manifest) -> str:
    """What the kubelet puts into a variable (the downward API)."""
    if source == {"resourceFieldRef": {"resource": "limits.memory"}}:
        return str(int(container["resources"]["limits"]["memory"].removesuffix("Mi")) << 20)
    if source != {"fieldRef": {"fieldPath": "spec.nodeName"}}:
        raise UnknownSettingError(str(source))
    return "the-node"


def _security(context: Manifest, capabilities: Sequence[str]) -> Iterator[str]:
    context = dict(context)
    assert context.pop("privileged") is False
    assert context.pop("seccompProfile") == {"type": "RuntimeDefault"}  # the engine's own default
    assert context.pop("appArmorProfile") == {"type": "Unconfined"}
    yield "--security-opt=apparmor=unconfined"
    yield f"--user={context.pop('runAsUser')}:{context.pop('runAsGroup')}"
    if context.pop("allowPrivilegeEscalation") is False:
        yield "--security-opt=no-new-privileges"
    if context.pop("readOnlyRootFilesystem"):
        yield "--read-only"
    yield from (f"--cap-drop={name}" for name in context.pop("capabilities")["drop"])
    yield from (f"--cap-add={name}" for name in capabilities if name not in ABOVE_DOCKER_20)
    granted = [name for name in capabilities if name in ABOVE_DOCKER_20]
    yield f"--env=HULLWATCH_LIVE_GRANT={','.join(granted)}"
    if context:
        raise UnknownSettingError(str(context))


def _mounts(pod: Manifest, container: Manifest, config: dict[str, str], directory: Path) -> Iterator[str]:
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        volume = sources[mount["name"]]
        if "configMap" in volume:
            source = directory / "config"
            source.mkdir()
            for name, text in config.items():
                (source / name).write_text(text)
        elif volume["hostPath"]["path"] == STATE:
            source = directory / "state"
        else:
            source = Path(volume["hostPath"]["path"])
        if volume.get("hostPath", {}).get("type") == "DirectoryOrCreate":
            source.mkdir(exist_ok=True)
        yield f"--mount={_bind(source, mount)}"


def _bind(source: Path, mount: Manifest) -> str:
    parts = [f"type=bind,source={source},target={mount['mountPath']}"]
    if mount.get("readOnly"):
        parts.append("readonly")
    propagation = mount.get("mountPropagation", "None")
    # A node's mounts are shared (mount_namespaces(7)); where this machine's are not, the engine refuses rslave.
    if propagation == "HostToContainer" and _is_shared(source):
        parts.append("bind-propagation=rslave")
    elif propagation not in ("None", "HostToContainer"):
        raise UnknownSettingError(propagation)
    return ",".join(parts)


def _is_shared(path: Path) -> bool:
    """Whether the mount that a path lies on has peers (proc(5), optional fields of mountinfo)."""
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [row for row in rows if path.is_relative_to(row[4])]
    fields = max(below, key=lambda row: len(row[4]))
    return any(field.startswith("shared:") for field in fields[6:])


def _quantity(name: str, value: object) -> str:
    """Kubernetes' quantity as the engine takes it."""
    text = str(value)
    if name == "cpu":
        return str(int(text[:-1]) / 1000) if text.endswith("m") else text
    return text.removesuffix("i").lower() if text.endswith("i") else text


def load(text: str) -> list[Manifest]:
    """The objects of a YAML stream."""
    return [each for each in yaml.safe_load_all(text) if each]


def probe_addresses(manifests: Sequence[Manifest]) -> list[str]:
    """The URL of every probe."""
    (container,) = find(manifests, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    return [f"http://{each['host']}:{each['port']}{each['path']}" for each in probes]


def shown(run: DockerRun) -> str:
    """For a failed test."""
    return json.dumps(run.options, indent=1)
