from __future__ import annotations

import pytest

from agent.config import parse_config
from agent.errors import ConfigError
from agent.metrics_schema import is_loopback, listen_address


def test_listens_on_loopback_by_default() -> None:
    address = parse_config(b"", "f", ()).metrics.address
    assert address is not None
    assert is_loopback(address)


def test_null_switches_the_endpoint_off() -> None:
    assert parse_config(b"metrics: {address: null}", "f", ()).metrics.address is None


@pytest.mark.parametrize(
    ("text", "host", "port", "is_local"),
    [
        ("127.0.0.1:9755", "127.0.0.1", 9755, True),
        ("127.8.8.8:0", "127.8.8.8", 0, True),
        ("[::1]:80", "::1", 80, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("[::]:80", "::", 80, False),
        ("10.1.2.3:65535", "10.1.2.3", 65_535, False),
    ],
)
def test_takes_an_address(text: str, host: str, port: int, is_local: bool) -> None:
    assert parse_config(f"metrics: {{address: '{text}'}}".encode(), "f", ()).metrics.address == text
    assert listen_address(text) == (host, port)
    assert is_loopback(text) is is_local


@pytest.mark.parametrize(
    "text", ["localhost:80", ":80", "127.0.0.1", "127.0.0.1:", "999.1.1.1:80", "[::1:80", "[1.2.3]:80", "1.2.3.4:65536"]
)
def test_refuses_an_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"f:1: metrics.address: is '.*wanted IP:PORT, or null"):
        parse_config(f"metrics: {{address: '{text}'}}".encode(), "f", ())
