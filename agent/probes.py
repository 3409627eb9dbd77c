"""What the HTTP endpoint answers: ``/metrics`` to Prometheus, ``/healthz`` and ``/readyz`` to whoever probes.

With a token, strangers learn from the probes only what a probe must tell: the status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec
import structlog

from agent.bearer_token import BearerToken
from agent.errors import ConfigError
from agent.exposition import CONTENT_TYPE
from agent.health import Health, Status
from agent.http_endpoint import Address, HttpEndpoint, Route
from agent.http_message import Answer, Request
from agent.metrics_schema import MetricsConfig, is_loopback, listen_address

_JSON = "application/json"


class Probes:
    """The routes. ``health`` and ``scrape`` are called by the endpoint's thread."""

    def __init__(self, health: Callable[[], Health], scrape: Callable[[], bytes], token: BearerToken | None) -> None:
        self._health = health
        self._scrape = scrape
        self._token = token

    def routes(self) -> Mapping[str, Route]:
        """Path and what answers there."""
        return {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}

    def _metrics(self, request: Request) -> Answer:
        if not self._admits(request):
            header = (("WWW-Authenticate", 'Bearer realm="hullwatch"'),)
            return Answer(HTTPStatus.UNAUTHORIZED, b"Unauthorized\n", header=header)
        return Answer(HTTPStatus.OK, self._scrape(), CONTENT_TYPE)

    def _healthz(self, request: Request) -> Answer:
        health = self._health()
        return self._told(request, health, is_well=health.status is not Status.FAILING)

    def _readyz(self, request: Request) -> Answer:
        health = self._health()
        return self._told(request, health, is_well=health.is_ready)

    def _told(self, request: Request, health: Health, *, is_well: bool) -> Answer:
        told = health if self._admits(request) else {"status": health.status, "is_ready": health.is_ready}
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(status, msgspec.json.encode(told) + b"\n", _JSON)

    def _admits(self, request: Request) -> bool:
        return self._token is None or self._token.admits(request.authorization)


def open_endpoint(
    config: MetricsConfig, health: Callable[[], Health], scrape: Callable[[], bytes]
) -> HttpEndpoint | None:
    """The endpoint of the configuration, yet to be run; ``None`` where it is off. Raises ``ConfigError``."""
    if config.address is None:
        return None
    log = structlog.get_logger("endpoint")
    token = _token(config.token_file)
    if token is None and not is_loopback(config.address):
        log.warning("endpoint_open", address=config.address, why="whoever reaches it reads it: no metrics.token_file")
    return HttpEndpoint(
        Address(*listen_address(config.address)),
        Probes(health, scrape, token).routes(),
        on_listening=lambda bound: log.info("endpoint_listening", host=bound.host, port=bound.port),
        on_trouble=lambda why: log.warning("endpoint_unavailable", address=config.address, why=why),
    )


def _token(path: str | None) -> BearerToken | None:
    """The token, which must be there when the agent starts."""
    if path is None:
        return None
    token = BearerToken(path)
    try:
        token.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError("", None, "metrics.token_file", f"{path!r} is of no use: {why}") from error
    return token
