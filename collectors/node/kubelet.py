"""How the kubelet is configured: its ``KubeletConfiguration`` and the arguments that it was started with.

Source: the reference of kubelet and of ``kubelet.config.k8s.io/v1beta1``. Arguments win over the file. The defaults
differ: with a file they are the API's (anonymous off, Webhook, no read-only port), without one the old flags'
(anonymous on, AlwaysAllow, 10255). Drop-in files (``--config-dir``) are not read. Pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from collectors.errors import Malformed
from collectors.facts import Unknown
from collectors.node.arguments import is_true, parse_flags
from collectors.node_facts import Kubelet

SOURCE = "kubelet configuration"
MAX_BYTES = 1 << 20
MAX_PATH_CHARACTERS = 4096
ROOT_DIRECTORY = "/var/lib/kubelet"
POD_LOGS_DIRECTORY = "/var/log/pods"
STATIC_POD_PATHS = (
    "/etc/kubernetes/manifests",  # kubeadm, kops, OpenShift, GKE, kind
    "/etc/kubernetes/static-pods",  # Bottlerocket
    "/var/lib/rancher/k3s/agent/pod-manifests",
    "/var/lib/rancher/rke2/agent/pod-manifests",
)

_SWITCHES = frozenset({"anonymous-auth", "seccomp-default", "protect-kernel-defaults"})
_PORT = Annotated[int, Meta(ge=0, le=65535)]


class _Anonymous(msgspec.Struct):
    enabled: bool | None = None


class _X509(msgspec.Struct, rename="camel"):
    client_ca_file: str = msgspec.field(name="clientCAFile", default="")


class _Authentication(msgspec.Struct):
    anonymous: _Anonymous | None = None
    x509: _X509 | None = None


class _Authorization(msgspec.Struct):
    mode: str | None = None


class _Config(msgspec.Struct, rename="camel"):
    authentication: _Authentication | None = None
    authorization: _Authorization | None = None
    read_only_port: _PORT | None = None
    seccomp_default: bool | None = None
    protect_kernel_defaults: bool | None = None
    static_pod_path: str | None = None
    pod_logs_dir: str | None = None


def config_path(arguments: Sequence[bytes]) -> str | None:
    """The configuration file that a kubelet with these arguments reads, ``None`` when it has none."""
    given = _flags(arguments).get("config")
    return given[-1] if given else None


def parse_kubelet(arguments: Sequence[bytes], config: bytes | None) -> Kubelet:
    """The kubelet's settings; ``config`` is its file, ``None`` when it was given none. Raises ``Malformed``."""
    flags = _flags(arguments)
    read = _Config() if config is None else _decode(config)
    has_file = config is not None
    authentication = read.authentication or _Authentication()
    anonymous = (authentication.anonymous or _Anonymous()).enabled
    client_ca = (authentication.x509 or _X509()).client_ca_file
    mode = (read.authorization or _Authorization()).mode

    def switch(name: str, *, configured: bool | None, default: bool) -> bool:
        if given := flags.get(name):
            return is_true(given[-1])
        return default if configured is None else configured

    return Kubelet(
        anonymous_auth=switch("anonymous-auth", configured=anonymous, default=not has_file),
        authorization_mode=_last(flags, "authorization-mode") or mode or ("Webhook" if has_file else "AlwaysAllow"),
        has_client_ca=bool(_last(flags, "client-ca-file") or client_ca),
        read_only_port=_port(_last(flags, "read-only-port"), read.read_only_port, 0 if has_file else 10255),
        seccomp_default=switch("seccomp-default", configured=read.seccomp_default, default=False),
        protect_kernel_defaults=switch(
            "protect-kernel-defaults", configured=read.protect_kernel_defaults, default=False
        ),
        root_directory=_path(_last(flags, "root-dir")) or ROOT_DIRECTORY,
        pod_logs_directory=_path(read.pod_logs_dir) or POD_LOGS_DIRECTORY,
        static_pod_path=_path(_last(flags, "pod-manifest-path")) or _path(read.static_pod_path),
    )


def static_pod_paths(kubelet: Kubelet | Unknown | None) -> tuple[str, ...]:
    """Where a manifest that is put there becomes a pod of the node: the kubelet's own place first, then the usual ones.

    The usual ones stay in the list when a kubelet says otherwise: another may be started, and k3s' runs in a process
    whose arguments are not read. A ``staticPodURL`` is no file.
    """
    own = kubelet.static_pod_path if isinstance(kubelet, Kubelet) else None
    return tuple(dict.fromkeys((*((own,) if own is not None else ()), *STATIC_POD_PATHS)))


def _decode(config: bytes) -> _Config:
    import yaml

    try:
        return msgspec.convert(yaml.safe_load(config) or {}, _Config)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Malformed(SOURCE, str(error).split("\n", 1)[0]) from error


def _last(flags: dict[str, list[str]], name: str) -> str:
    return flags.get(name, [""])[-1]


def _path(given: str | None) -> str | None:
    """An absolute path, normal; ``None`` for what is none (a relative one hangs on where the kubelet was started)."""
    if given is None or not given.startswith("/") or len(given) > MAX_PATH_CHARACTERS or "\0" in given:
        return None
    return posixpath.normpath(given)


def _port(given: str, configured: int | None, default: int) -> int:
    if given:
        if not (given.isascii() and given.isdigit() and len(given) <= len("65535")):
            raise Malformed(SOURCE, "a read-only port that is no number")
        return int(given)
    return default if configured is None else configured


def _flags(arguments: Sequence[bytes]) -> dict[str, list[str]]:
    return parse_flags(arguments, short={}, switches=_SWITCHES)
