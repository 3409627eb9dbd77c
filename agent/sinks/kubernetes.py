"""Events in the Kubernetes API, on the pod and on the node: a notice for ``kubectl describe``, and no pipeline.

The API server keeps events for an hour and is shared by all, so they are limited: one for the same rule on the same
object within a time, and so many a minute over all; what is left out is counted and not sent later. An event that comes
again is a conflict, and that is a success. RBAC: ``create`` on ``events`` of ``events.k8s.io``.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from agent.errors import SinkError
from agent.output_schema import KubernetesConfig
from agent.sinks.connection import MAX_DETAIL, said
from agent.sinks.exchange import retry_after
from agent.sinks.kubernetes_event import Record, events
from agent.sinks.secret_file import read_secret
from agent.stored_alert import StoredAlert
from agent.text import clipped, visible
from collectors.importing import IMPORTING
from detectors.base import Severity

MAX_REMEMBERED = 4096

_MINUTE = 60.0
_RESOURCE = ("events.k8s.io", "v1")
_CONFLICT = 409
# Not allowed, no such namespace (any more), or not as the server wants it: another try gives no other answer.
_HOPELESS = frozenset({400, 403, 404, 413, 422})


class RateLimit:
    """Lets an event through if neither its like nor too many others came lately. Bounded; the oldest is forgotten."""

    def __init__(self, per_minute: int, repeat_seconds: float) -> None:
        self._per_minute = per_minute
        self._repeat_seconds = repeat_seconds
        self._tokens = float(per_minute)
        self._refilled = 0.0
        self._last: OrderedDict[tuple[str, str], float] = OrderedDict()

    def admits(self, like: tuple[str, str], now: float) -> bool:
        """Whether the event may be sent now; it counts as sent then."""
        last = self._last.get(like)
        if last is not None and now - last < self._repeat_seconds:
            return False
        self._tokens = min(self._per_minute, self._tokens + (now - self._refilled) * self._per_minute / _MINUTE)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self._last[like] = now
        self._last.move_to_end(like)
        while len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        return True


class KubernetesSink:
    """Creates events. ``left_out`` counts those that the limit kept back, ``refused`` those that the server did."""

    max_batch = 16

    def __init__(
        self,
        config: KubernetesConfig,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = config.name
        self.min_severity = Severity[config.min_severity.upper()]
        self.left_out = 0
        self.refused = 0
        self._config = config
        self._server = config.server or _cluster_server(environment)
        self._clock = clock
        self._limit = RateLimit(config.events_per_minute, config.repeat_seconds)
        self._client: Any = None
        self._log = structlog.get_logger("agent.sinks.kubernetes")
        # Of a batch that failed in its midst: the events that were admitted, and may not be counted again.
        self._admitted: set[str] = set()

    def check(self) -> None:
        """Raise ``SinkError`` where a file that the sink needs cannot be used."""
        if not self._server:
            raise SinkError(self.name, "server is not set, and the agent runs in no cluster")
        read_secret(self.name, self._config.token_file)
        read_secret(self.name, self._config.ca_file)

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Create the events of the alerts, as far as the limit admits them."""
        bodies = [body for alert in batch for body in events(msgspec.json.decode(alert.document), self._config)]
        for body in bodies:
            name = body["metadata"]["name"]
            if name not in self._admitted:
                if not self._limit.admits(_like(body), self._clock()):
                    self.left_out += 1
                    continue
                self._admitted.add(name)
            self._create(body)
        self._admitted.clear()

    def close(self) -> None:
        """Close the client's connections."""
        if self._client is not None:
            self._client.api_client.close()
            self._client.api_client.rest_client.pool_manager.clear()
            self._client = None

    def _create(self, body: Record) -> None:
        with IMPORTING:
            from kubernetes.client.exceptions import ApiException
            from urllib3.exceptions import HTTPError

        if self._client is None:
            self._client = self._connected()
        # Tokens last an hour, and the kubelet writes new ones into the file.
        token = read_secret(self.name, self._config.token_file).decode("ascii", "replace")
        self._client.api_client.configuration.api_key["authorization"] = token
        timeout = self._config.timeout_seconds
        try:
            answer = self._client.create_namespaced_custom_object(
                *_RESOURCE,
                namespace=body["metadata"]["namespace"],
                plural="events",
                body=body,
                _preload_content=False,
                _request_timeout=(timeout, timeout),
            )
            answer.drain_conn()  # what is not read would stand before the next answer
            answer.release_conn()
        except ApiException as error:
            if error.status in _HOPELESS:
                self.refused += 1
                self._log.warning("event_refused", sink=self.name, status=error.status, object=body["metadata"]["name"])
            elif error.status != _CONFLICT:
                wait = retry_after((error.headers or {}).get("Retry-After"), time.time())
                # The client gives failed TLS as an answer with status 0.
                problem = f"answered {error.status}" if error.status else f"cannot be trusted: {_line(error.reason)}"
                raise SinkError(self.name, f"the API server {problem}", wait) from error
        except (HTTPError, OSError, ValueError) as error:
            raise SinkError(self.name, f"{self._server} cannot be reached: {said(error)}") from error

    def _connected(self) -> Any:
        """The official client; its import costs 35 MB of memory, and so waits for the first event."""
        from kubernetes import client

        configuration: Any = client.Configuration(host=self._server)
        configuration.ssl_ca_cert = self._config.ca_file
        configuration.retries = False
        configuration.api_key_prefix["authorization"] = "Bearer"
        # The client's own model of an event writes a time of whole seconds without its six digits, which the server
        # refuses (test_makes_events_on_pod_and_node); as a custom object it goes as it is.
        return client.CustomObjectsApi(client.ApiClient(configuration))


def _line(reason: object) -> str:
    return visible(clipped(" ".join(str(reason).split()), MAX_DETAIL))


def _like(body: Record) -> tuple[str, str]:
    regarding = body["regarding"]
    return "/".join((regarding["kind"], regarding.get("namespace", ""), regarding["name"])), body["reason"]


def _cluster_server(environment: Mapping[str, str]) -> str | None:
    """The API server as the kubelet tells it to every container."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
