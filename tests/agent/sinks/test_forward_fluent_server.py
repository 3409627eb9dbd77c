"""The sink ``forward`` with a receiver that is not ours: the FluentServer of npm's @fluent-org/logger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.errors import SinkError
from agent.output_schema import ForwardConfig, TlsConfig
from agent.sinks.forward import ForwardSink
from tests.agent import alerts
from tests.support import fluent_server
from tests.support.certificates import Certificates
from tests.support.fluent_server import FluentServer
from tests.support.opened_sinks import opened

BATCH = alerts.batch(20)


@pytest.fixture(scope="module")
def package(request: pytest.FixtureRequest) -> Path:
    directory = request.config.cache.mkdir("fluent-org-logger")
    reason = fluent_server.missing(directory)
    if reason is not None:
        pytest.skip(reason)
    return Path(directory)


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key").write_text("a shared key")
    (tmp_path / "password").write_text("s3cret")
    return {"shared_key_file": str(tmp_path / "key"), "password_file": str(tmp_path / "password")}


def sent(server: FluentServer, address: str, **keys: Any) -> None:
    """Send the batch twice, and look at what came."""
    sink = opened(ForwardSink(ForwardConfig(name="siem", address=address, **keys)))
    sink.send(BATCH[:10])
    sink.send(BATCH[10:])
    entries = server.entries(len(BATCH))
    assert [each["record"]["event"]["id"] for each in entries] == [alert.id for alert in BATCH]
    assert {each["tag"] for each in entries} == {"hullwatch.alert"}
    assert all(each["isEventTime"] for each in entries)


@pytest.mark.parametrize("compress", ["none", "gzip"])
@pytest.mark.parametrize("format_name", ["ecs", "falco", "ocsf"])
def test_takes_alerts_over_tcp(package: Path, compress: str, format_name: str) -> None:
    with FluentServer(package) as server:
        sink = opened(
            ForwardSink(
                ForwardConfig(
                    name="siem",
                    address=f"tcp://127.0.0.1:{server.port}",
                    compress=compress,  # type: ignore[arg-type]
                    format=format_name,  # type: ignore[arg-type]
                )
            )
        )
        sink.send(BATCH)
        assert len(server.entries(len(BATCH))) == len(BATCH)


def test_takes_alerts_over_a_unix_socket(package: Path, socket_path: str) -> None:
    with FluentServer(package, listenOptions={"path": socket_path}) as server:
        sent(server, f"unix://{socket_path}")


def test_takes_alerts_over_tls_with_a_client_certificate(package: Path, certificates: Certificates) -> None:
    files = {
        "key": certificates.key("server"),
        "cert": certificates.certificate("server"),
        "ca": certificates.authority,
    }
    tls = TlsConfig(
        ca_file=certificates.authority,
        certificate_file=certificates.certificate("client"),
        key_file=certificates.key("client"),
    )
    options = {"tlsFiles": files, "tlsOptions": {"requestCert": True, "rejectUnauthorized": True}}
    with FluentServer(package, **options) as server:
        sent(server, f"tls://127.0.0.1:{server.port}", tls=tls)
        without = ForwardConfig(
            name="siem", address=f"tls://127.0.0.1:{server.port}", tls=TlsConfig(ca_file=certificates.authority)
        )
        with pytest.raises(SinkError, match=r"siem: (receiving|sending) failed: "):
            opened(ForwardSink(without)).send(BATCH)


def test_proves_the_shared_key(package: Path, secrets: dict[str, Any]) -> None:
    security = {"serverHostname": "aggregator", "sharedKey": "a shared key"}
    with FluentServer(package, security=security) as server:
        sent(server, f"tcp://127.0.0.1:{server.port}", shared_key_file=secrets["shared_key_file"], self_hostname="node")


def test_proves_user_and_password(package: Path, secrets: dict[str, Any]) -> None:
    security = {
        "serverHostname": "aggregator",
        "sharedKey": "a shared key",
        "authorize": True,
        "userDict": {"hullwatch": "s3cret"},
    }
    with FluentServer(package, security=security) as server:
        sent(server, f"tcp://127.0.0.1:{server.port}", username="hullwatch", compress="gzip", **secrets)
        Path(secrets["password_file"]).write_text("wrong")
        config = ForwardConfig(name="siem", address=f"tcp://127.0.0.1:{server.port}", username="hullwatch", **secrets)
        with pytest.raises(SinkError, match="siem: the receiver refused us: "):
            opened(ForwardSink(config)).send(BATCH)


def test_is_refused_with_another_key(package: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("another key")
    with FluentServer(package, security={"serverHostname": "aggregator", "sharedKey": "a shared key"}) as server:
        address = f"tcp://127.0.0.1:{server.port}"
        config = ForwardConfig(name="siem", address=address, shared_key_file=str(tmp_path / "key"))
        with pytest.raises(SinkError, match="siem: the receiver refused us: "):
            opened(ForwardSink(config)).send(BATCH)
        with pytest.raises(SinkError, match="wants a shared key"):
            opened(ForwardSink(ForwardConfig(name="siem", address=address))).send(BATCH)
        assert server.is_silent()


def test_sends_again_to_a_server_that_came_back(package: Path, socket_path: str) -> None:
    sink = opened(ForwardSink(ForwardConfig(name="siem", address=f"unix://{socket_path}", timeout_seconds=2.0)))
    with FluentServer(package, listenOptions={"path": socket_path}) as server:
        sink.send(BATCH[:5])
        server.entries(5)
    with pytest.raises(SinkError, match="cannot be reached"):
        sink.send(BATCH)
    if os.path.exists(socket_path):
        os.unlink(socket_path)
    with FluentServer(package, listenOptions={"path": socket_path}) as server:
        sink.send(BATCH)
        assert len(server.entries(len(BATCH))) == len(BATCH)
