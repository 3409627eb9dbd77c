"""The section ``metrics`` of the configuration. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from agent.config_section import AbsolutePath, Section

_LAST_PORT = 65_535

ListenAddress = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
        max_length=64,
        title="IP:PORT, or null",
    ),
]


class MetricsConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HTTP endpoint with `/metrics` (Prometheus), `/healthz` and `/readyz`."""

    address: Annotated[
        ListenAddress | None,
        Meta(
            description="Where it listens: an IP address, in brackets if of version 6, and a port. `null` switches it "
            "off. Port 0 takes any, which the log names."
        ),
    ] = "127.0.0.1:9755"
    token_file: Annotated[
        AbsolutePath | None,
        Meta(
            description="File with a token. `/metrics` then wants it as `Authorization: Bearer TOKEN`, and the probes "
            "answer strangers with the status alone. Read anew for each request."
        ),
    ] = None


def listen_address(text: str) -> tuple[str, int]:
    """Host, without brackets, and port of a ``ListenAddress``; raises ``ValueError`` with what is wrong."""
    host, _, port = text.rpartition(":")
    ipaddress.ip_address(host.strip("[]"))
    if int(port) > _LAST_PORT:
        raise ValueError(f"there is no port {port}")
    return host.strip("[]"), int(port)


def is_loopback(text: str) -> bool:
    """Nobody beyond this machine reaches the address; containers in its network namespace do."""
    return ipaddress.ip_address(listen_address(text)[0]).is_loopback


def refusals(config: MetricsConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """What types cannot say: the key below ``metrics``, and what is wrong there."""
    if config.address is None:
        return
    try:
        listen_address(config.address)
    except ValueError as error:
        yield ("address",), f"is {config.address!r}: {error}; wanted IP:PORT, or null"
