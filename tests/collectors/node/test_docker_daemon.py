from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.node.docker_daemon import config_path, parse_docker_daemon
from collectors.node_facts import DockerDaemon

DEFAULTS = DockerDaemon(
    hosts=("unix:///var/run/docker.sock",),
    verifies_tls=False,
    userns_remap="",
    icc=True,
    live_restore=False,
    no_new_privileges=False,
    seccomp_profile="",
)


def test_parses_the_defaults_of_a_daemon_without_configuration() -> None:
    assert parse_docker_daemon((b"/usr/bin/dockerd", b"-H", b"fd://"), b"") == DockerDaemon(
        hosts=("fd://",),
        verifies_tls=False,
        userns_remap="",
        icc=True,
        live_restore=False,
        no_new_privileges=False,
        seccomp_profile="",
    )
    assert parse_docker_daemon((b"dockerd",), b" \n") == DEFAULTS


def test_parses_daemon_json() -> None:
    config = {
        "hosts": ["unix:///run/docker.sock", "tcp://0.0.0.0:2376"],
        "tlsverify": True,
        "userns-remap": "default",
        "icc": False,
        "live-restore": True,
        "no-new-privileges": True,
        "seccomp-profile": "unconfined",
        "log-opts": {"max-size": "10m"},
        "storage-driver": "overlay2",
    }
    assert parse_docker_daemon((b"dockerd",), json.dumps(config).encode()) == DockerDaemon(
        hosts=("unix:///run/docker.sock", "tcp://0.0.0.0:2376"),
        verifies_tls=True,
        userns_remap="default",
        icc=False,
        live_restore=True,
        no_new_privileges=True,
        seccomp_profile="unconfined",
    )


def test_parses_arguments() -> None:
    arguments = b"dockerd --tlsverify --icc=false -H tcp://0.0.0.0:2376 --userns-remap me --live-restore".split(b" ")
    found = parse_docker_daemon(arguments, b"{}")
    assert (found.hosts, found.verifies_tls, found.icc) == (("tcp://0.0.0.0:2376",), True, False)
    assert (found.userns_remap, found.live_restore) == ("me", True)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((b"dockerd",), "/etc/docker/daemon.json"),
        ((b"dockerd", b"--config-file", b"/x/d.json"), "/x/d.json"),
        ((b"dockerd", b"--config-file=/y.json"), "/y.json"),
    ],
)
def test_parses_which_file_is_read(arguments: tuple[bytes, ...], path: str) -> None:
    assert config_path(arguments) == path


@pytest.mark.parametrize("config", [b"{", b"[]", b'{"hosts": "x"}', b'{"icc": "no"}', b"\xff", b"[" * 100_000])
def test_refuses_what_the_daemon_would(config: bytes) -> None:
    with pytest.raises(Malformed):
        parse_docker_daemon((b"dockerd",), config)


@given(st.binary(max_size=200))
def test_refuses_with_nothing_but_malformed(config: bytes) -> None:
    try:
        parse_docker_daemon((b"dockerd",), config)
    except Malformed:
        return
