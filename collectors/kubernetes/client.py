"""The Kubernetes API through the official client's connection, raw: bytes of a list, lines of a watch.

The client's configuration, TLS and connection pool are used, and neither its API classes nor its models: those cost
21 MB of memory more and several times the time of a pod's decoding (docs/adr/0018). Import this module where it is
first needed: the client costs 21 MB on top of the agent.

Every answer is bounded in size and time, one that comes a byte at a time included. The token is read anew for each
request: the kubelet replaces it within the hour. Redirects are not followed: a token goes to no other host.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from kubernetes import client as official
from urllib3 import Retry, Timeout
from urllib3.exceptions import HTTPError

from collectors.bounded import read_bounded
from collectors.errors import CollectorError, Malformed, TooLarge

SOURCE = "Kubernetes API"
PODS = "/api/v1/pods"
MAX_TOKEN_BYTES = 65_536
MAX_LIST_BYTES = 64 << 20
MAX_LINE_BYTES = 4 << 20
LIST_SECONDS = 60.0
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
OVERTIME_SECONDS = 30.0  # a server that does not end a watch in time
MAX_SAID = 300

_MAX_DIGITS = 6
_CHUNK_BYTES = 65_536
_OK = 200
# A dead connection is found within a minute, however long a watch stays silent (tcp(7)).
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class Unreachable(CollectorError):
    """The server could not be reached, could not be trusted, or stopped answering."""

    kind = "unreachable"


class Answered(CollectorError):
    """The server answered something else than 200; ``retry_after_seconds`` where it says so."""

    kind = "answered"

    def __init__(self, status: int, retry_after_seconds: float | None) -> None:
        super().__init__(SOURCE, f"answered {status}")
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class PodsClient:
    """Asks one server for the pods of one node. Owned by one thread; ``stop`` may be called by any."""

    def __init__(
        self, server: str, node: str, token_file: str, ca_file: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        configuration: Any = official.Configuration(host=server)
        configuration.ssl_ca_cert = ca_file
        configuration.retries = Retry(total=0, redirect=False)
        configuration.socket_options = _KEEPALIVE
        try:
            self._client: Any = official.ApiClient(configuration)
        except (OSError, ValueError) as error:
            raise Unreachable(SOURCE, _said(error)) from error
        self._server = server.rstrip("/")
        self._selector = f"spec.nodeName={node}"
        self._token_file = token_file
        self._clock = clock
        self._response: Any = None
        self._is_stopped = False

    def list_pods(self, version: str) -> bytes:
        """The list as bytes; a large one comes packed, and its size counts unpacked.

        Raises ``Unreachable``, ``Answered``, ``TooLarge``, or what reading the token raises.
        """
        query = {"fieldSelector": self._selector}
        if version:
            query["resourceVersion"] = version
        ends = self._clock() + LIST_SECONDS
        parts: list[bytes] = []
        size = 0
        for part in self._body(self._ask(query, READ_SECONDS, {"Accept-Encoding": "gzip"}), ends):
            size += len(part)
            if size > MAX_LIST_BYTES:
                raise TooLarge(SOURCE, f"a list of more than {MAX_LIST_BYTES} bytes")
            parts.append(part)
        return b"".join(parts)

    def watch_pods(self, version: str, window_seconds: int) -> Iterator[bytes]:
        """The lines of a watch as they come, until it ends; returns when the server accepted. Raises as ``list_pods``.

        The server may be silent for as long as nothing happens: that a connection is dead, TCP finds out.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "fieldSelector": self._selector,
            "resourceVersion": version,
            "timeoutSeconds": str(window_seconds),
        }
        longest = window_seconds + OVERTIME_SECONDS
        ends = self._clock() + longest
        return _lines(self._body(self._ask(query, longest, {}), ends))

    def stop(self) -> None:
        """Wake whoever reads."""
        self._is_stopped = True
        response = self._response
        if response is not None:
            try:
                response.shutdown()
            except (OSError, ValueError, RuntimeError):
                return  # it ended by itself meanwhile

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.pool_manager.clear()

    def _ask(self, query: dict[str, str], read_seconds: float, more: dict[str, str]) -> Any:
        """The answer's head; its body is still to be read."""
        token = read_bounded(self._token_file, MAX_TOKEN_BYTES, source="service account token")
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token.decode('ascii', 'replace').strip()}",
            "User-Agent": "hullwatch",
            **more,
        }
        try:
            response = self._client.rest_client.pool_manager.request(
                "GET",
                f"{self._server}{PODS}?{urlencode(query)}",
                headers=headers,
                preload_content=False,
                redirect=False,
                timeout=Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            )
        except (HTTPError, OSError, ValueError) as error:
            raise Unreachable(SOURCE, _said(error)) from error
        if response.status != _OK:
            response.close()
            raise Answered(response.status, _retry_after(response.headers.get("Retry-After")))
        return response

    def _body(self, response: Any, ends: float) -> Iterator[bytes]:
        """The answer's body as it comes, until the instant ``ends``."""
        self._response = response
        try:
            while not self._is_stopped and (part := response.read1(_CHUNK_BYTES)):
                yield part
                if self._clock() > ends:
                    raise Unreachable(SOURCE, "an answer that took too long")
        except (HTTPError, OSError, ValueError) as error:
            raise Unreachable(SOURCE, _said(error)) from error
        finally:
            self._response = None
            response.close()


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a body that comes in parts; raises ``TooLarge`` for one that does not end."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > MAX_LINE_BYTES:
            raise TooLarge(SOURCE, f"an event of more than {MAX_LINE_BYTES} bytes")
    if rest.strip():
        raise Malformed(SOURCE, "the watch ended in the midst of an event")


def _retry_after(value: str | None) -> float | None:
    """Seconds, as the API server writes them; a date would need the server's clock."""
    is_number = value is not None and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS
    return float(value or 0) if is_number else None


def _said(error: Exception) -> str:
    """One line for the log."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_SAID]
