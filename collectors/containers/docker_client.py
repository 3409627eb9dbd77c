"""The Docker SDK as hullwatch uses it: the low-level client on a unix socket, with a timeout on everything.

Importing this module imports the SDK (11 MiB of RSS), so ``docker`` does it only once it has seen a socket.
"""

from __future__ import annotations

import http.client
import re
from typing import Any

import docker
import docker.errors
import requests
import requests.exceptions
import urllib3.exceptions

ERRORS: tuple[type[Exception], ...] = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ValueError,
    OSError,
    RecursionError,
    # Not documented, but let out where the SDK takes the shape of an answer for granted: an error whose JSON has no
    # "message" is a KeyError, one that is a list a TypeError (tested: version-fails, version-fails-with-a-list).
    LookupError,
    TypeError,
    AttributeError,
)
"""What the SDK and what it is built on raise when an engine is absent, dead or answers nonsense."""

NOT_FOUND: type[Exception] = docker.errors.NotFound

_PROBE_VERSION = "1.44"  # any that the SDK accepts: /version is asked without one
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}", re.ASCII)


class _Client(docker.APIClient):  # type: ignore[misc]  # the SDK has no annotations
    """An ``APIClient`` whose event stream times out, and can be ended: the SDK does neither, and leaks its socket."""

    stream_timeout_seconds: float = 90.0
    streamed: requests.Response | None = None

    def send(self, request: Any, **options: Any) -> Any:
        """Sends a request as ``requests.Session`` does; a stream, for which the SDK sets no timeout, with one."""
        if options.get("timeout") is None:
            options["timeout"] = self.stream_timeout_seconds
        response = super().send(request, **options)
        if options.get("stream"):
            self.streamed = response
        return response

    def end_stream(self) -> None:
        """Closes the last stream; by the thread that reads it."""
        if self.streamed is not None:
            self.streamed.close()
            self.streamed = None

    def close(self) -> None:
        """Closes every connection."""
        self.end_stream()
        super().close()


def connect(socket_path: str, *, timeout_seconds: float, stream_timeout_seconds: float) -> Any:
    """A client that speaks the engine's own API version; raises one of ``ERRORS``.

    The version is asked for here, because the SDK's ``version="auto"`` trusts the shape of the answer.
    """
    probe = _client(socket_path, _PROBE_VERSION, timeout_seconds, stream_timeout_seconds)
    try:
        answer = probe.version(api_version=False)
    finally:
        probe.close()
    version = answer.get("ApiVersion") if isinstance(answer, dict) else None
    if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
        raise ValueError(f"expected a version of the Docker API, got {version!r:.80}")
    return _client(socket_path, version, timeout_seconds, stream_timeout_seconds)


def _client(socket_path: str, version: str, timeout_seconds: float, stream_timeout_seconds: float) -> Any:
    client = _Client(base_url=f"unix://{socket_path}", version=version, timeout=timeout_seconds)
    client.trust_env = False  # no proxies: the engine is on this node
    client.stream_timeout_seconds = stream_timeout_seconds
    return client
