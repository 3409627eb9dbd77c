from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.facts import Unknown
from collectors.node.kubelet import STATIC_POD_PATHS, config_path, parse_kubelet, static_pod_paths
from collectors.node_facts import Kubelet

KUBEADM = b"""\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
kind: KubeletConfiguration
rotateCertificates: true
seccompDefault: true
protectKernelDefaults: true
"""


def test_parses_the_configuration_of_kubeadm() -> None:
    assert parse_kubelet((b"kubelet", b"--config=/var/lib/kubelet/config.yaml"), KUBEADM) == Kubelet(
        anonymous_auth=False,
        authorization_mode="Webhook",
        has_client_ca=True,
        read_only_port=0,
        seccomp_default=True,
        protect_kernel_defaults=True,
    )


def test_parses_the_old_defaults_without_a_file() -> None:
    assert parse_kubelet((b"kubelet",), None) == Kubelet(
        anonymous_auth=True,
        authorization_mode="AlwaysAllow",
        has_client_ca=False,
        read_only_port=10255,
        seccomp_default=False,
        protect_kernel_defaults=False,
    )


def test_parses_the_defaults_of_the_api_with_an_empty_file() -> None:
    found = parse_kubelet((b"kubelet",), b"")
    assert (found.anonymous_auth, found.authorization_mode, found.read_only_port) == (False, "Webhook", 0)


def test_parses_arguments_over_the_file() -> None:
    line = (
        b"kubelet --anonymous-auth=true --authorization-mode AlwaysAllow --read-only-port=10255 --seccomp-default=false"
    )
    found = parse_kubelet(line.split(b" "), KUBEADM)
    assert (found.anonymous_auth, found.authorization_mode) == (True, "AlwaysAllow")
    assert (found.read_only_port, found.seccomp_default) == (10255, False)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [((b"kubelet",), None), ((b"kubelet", b"--config", b"/x.yaml"), "/x.yaml"), ((b"kubelet", b"--config=/y"), "/y")],
)
def test_parses_which_file_is_read(arguments: tuple[bytes, ...], path: str | None) -> None:
    assert config_path(arguments) == path


@pytest.mark.parametrize(
    "config",
    [
        b"a: [",
        b"- x",
        b"readOnlyPort: 70000",
        b"readOnlyPort: no",
        b"authorization: Webhook",
        b"\x80",
        b"x: !!python/object:os.system 1",
    ],
)
def test_refuses_what_the_kubelet_would(config: bytes) -> None:
    with pytest.raises(Malformed):
        parse_kubelet((b"kubelet",), config)


def test_refuses_a_port_that_is_no_number() -> None:
    with pytest.raises(Malformed):
        parse_kubelet((b"kubelet", b"--read-only-port=x"), None)


@given(st.binary(max_size=200))
def test_refuses_with_nothing_but_malformed(config: bytes) -> None:
    try:
        parse_kubelet((b"kubelet",), config)
    except Malformed:
        return


def test_knows_where_the_kubelet_keeps_pods_logs_and_manifests() -> None:
    config = KUBEADM + b"staticPodPath: /etc/kubernetes/manifests/\npodLogsDir: /data/pod-logs\n"
    found = parse_kubelet((b"kubelet", b"--config=/c", b"--root-dir", b"/data/kubelet"), config)
    assert found.root_directory == "/data/kubelet"
    assert found.pod_logs_directory == "/data/pod-logs"
    assert found.static_pod_path == "/etc/kubernetes/manifests"
    by_argument = parse_kubelet((b"kubelet", b"--config=/c", b"--pod-manifest-path=/srv/pods"), config)
    assert by_argument.static_pod_path == "/srv/pods"


@pytest.mark.parametrize("path", ["manifests", "", "/" + "x" * 5000])
def test_a_manifest_path_that_is_not_absolute_is_none(path: str) -> None:
    assert parse_kubelet((b"kubelet",), f"staticPodPath: {path}".encode()).static_pod_path is None


def test_lists_the_kubelets_own_static_pod_path_before_the_usual_ones() -> None:
    own = parse_kubelet((b"kubelet", b"--pod-manifest-path=/srv/pods"), b"")
    assert static_pod_paths(own) == ("/srv/pods", *STATIC_POD_PATHS)
    usual = parse_kubelet((b"kubelet", b"--pod-manifest-path=/etc/kubernetes/manifests"), b"")
    assert static_pod_paths(usual) == STATIC_POD_PATHS
    assert static_pod_paths(None) == static_pod_paths(Unknown("denied: x")) == STATIC_POD_PATHS
