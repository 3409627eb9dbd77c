"""HTTP requests of a sink: one connection that is kept, one POST after the other, every answer bounded.

Redirects are not followed: where alerts go is the configuration's to say. Proxies are not used.
"""

from __future__ import annotations

import email.utils
import gzip
import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent import __version__
from agent.errors import SinkError
from agent.output_schema import TlsConfig
from agent.sinks.connection import Connection, Connector, Resolver, Target
from agent.sinks.plain_answer import parse_plain
from agent.sinks.secret_file import read_secret
from agent.sinks.session import Session
from agent.text import clipped, valid, visible

MAX_ANSWER_BYTES = 65_536
MAX_RETRY_AFTER_SECONDS = 3600.0
MAX_SHOWN = 200

_PORTS = {"http": 80, "https": 443}
_GZIP_LEVEL = 3  # from 4 on deflate looks twice for each match: half as much CPU again, for 1% of the alert's size


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered; ``body`` is cut at ``MAX_ANSWER_BYTES``."""

    status: int
    body: bytes
    retry_after_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        """The receiver has what was sent: any 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004 (RFC 9110, 15.3)

    def shown(self) -> str:
        """Status and the start of the body, for one line of a log."""
        text = visible(clipped(self.body.decode("utf-8", "replace").strip(), MAX_SHOWN))
        return f"answered {self.status}" + (f": {text}" if text else "")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go, and what each of them carries."""

    url: str
    tls: TlsConfig
    headers: Mapping[str, str] = field(default_factory=dict)
    header_files: Mapping[str, str] = field(default_factory=dict)
    is_compressed: bool = False


class Exchange:
    """POST requests to one URL."""

    def __init__(
        self, sink: str, destination: Destination, timeout_seconds: float, *, resolve: Resolver = socket.getaddrinfo
    ) -> None:
        url = urlsplit(destination.url)
        port = url.port or _PORTS[url.scheme]
        assert url.hostname is not None
        target = Target("tls" if url.scheme == "https" else "tcp", url.hostname, port)
        self._connector = Connector(sink, target, destination.tls, resolve=resolve)
        self._sink = sink
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._authority = url.netloc
        self._destination = destination
        self._session = Session(sink, self._connector.open, timeout_seconds)

    def check(self) -> None:
        """Raise ``SinkError`` where a file that the requests need cannot be used."""
        self._connector.check()
        self._headers("", b"")

    def post(self, body: bytes, content_type: str) -> Answer:
        """Send one request and read its answer."""
        if self._destination.is_compressed:
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        headers = self._headers(content_type, body)
        answer, is_kept = self._session.run(lambda connection: self._ask(connection, headers, body))
        if not is_kept:
            self._session.close()
        return answer

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._session.close()

    def _headers(self, content_type: str, body: bytes) -> dict[str, str]:
        headers = {
            "Host": self._authority,
            "User-Agent": f"hullwatch/{__version__}",
            **self._destination.headers,
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
        }
        if self._destination.is_compressed:
            headers["Content-Encoding"] = "gzip"
        for name, path in self._destination.header_files.items():
            value = read_secret(self._sink, path)
            if any(each < 0x20 or each > 0x7E for each in value):  # noqa: PLR2004 (printable ASCII)
                raise SinkError(self._sink, f"{path} holds characters that no header can")
            headers[name] = value.decode("ascii")
        return headers

    def _ask(self, connection: Connection, headers: dict[str, str], body: bytes) -> tuple[Answer, bool]:
        """One request on a connection; the second value says whether both sides want to keep it."""
        lines = [f"POST {self._path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode("ascii") + body)
        first = connection.receive(MAX_ANSWER_BYTES)
        plain = parse_plain(first)
        if plain is not None:
            wait = retry_after(plain.fields.get("retry-after"), time.time())
            return Answer(plain.status, plain.body, wait), plain.is_kept
        connection.put_back(first)
        try:
            with http.client.HTTPResponse(connection, method="POST") as response:  # type: ignore[arg-type]
                response.begin()
                data = response.read(MAX_ANSWER_BYTES + 1)
                is_kept = response.isclosed() and not response.will_close
        except (http.client.HTTPException, ValueError) as error:
            detail = visible(clipped(valid(f"{type(error).__name__} {error}"), MAX_SHOWN))
            raise SinkError(self._sink, f"the answer is no HTTP: {detail}") from error
        wait = retry_after(response.getheader("Retry-After"), time.time())
        return Answer(response.status, data[:MAX_ANSWER_BYTES], wait), is_kept


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3: a number or a date), bounded; ``None`` where nothing is said. Pure."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), MAX_RETRY_AFTER_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        seconds = moment.timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
