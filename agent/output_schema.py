"""The sinks of the configuration, ``output.sinks``: a list in which each kind may stand more than once.

The key ``type`` says which kind an entry is. Secrets are never in the file: keys that end in ``_file`` name the files
that hold them, and those are read anew for each connection, so that a secret can be renewed under a running agent.
``refusals`` says what types cannot: keys that contradict each other. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta, field

from agent.config_section import FORMAT, AbsolutePath, FormatName, Section, SeverityName

MAX_PORT = 65_535
RESERVED_NAMES = ("stdout", "file", "journald")

SinkName = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$", title="a name of at most 32 lower-case letters, digits, _ and -"),
]
Address = Annotated[
    str,
    Meta(
        pattern=r"^((tcp|tls)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}|unix:///.*)$",
        max_length=1024,
        title="tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH",
    ),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-~]*)?$",
        max_length=2048,
        title="a URL of http or https, without user and password",
    ),
]
# RFC 9110, 5.6.2 (token) and 5.5 (visible characters and blanks): nothing in them ends a header.
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]
HeaderValue = Annotated[
    str, Meta(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=4096, title="text of printable ASCII characters")
]
# RFC 5424, 6.2.5: APP-NAME.
PrintableWord = Annotated[str, Meta(pattern=r"^[!-~]{1,48}$", title="at most 48 printable ASCII characters, no blank")]
Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}$", title="at most 128 letters, digits, _, . and -")]
HostName = Annotated[str, Meta(pattern=r"^[!-~]{1,255}$", title="a host name")]


_PORT = re.compile(r"^(?:tcp|tls|https?)://(?:\[[^]]*\]|[^:/]+):(\d+)")


class TlsConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the receiver is told from an impostor, and how the agent shows who it is. TLS 1.2 or newer."""

    ca_file: Annotated[
        AbsolutePath | None,
        Meta(description="Certificates (PEM) of the authorities that are trusted; by default the system's."),
    ] = None
    certificate_file: Annotated[
        AbsolutePath | None,
        Meta(description="The agent's own certificate (PEM), with its chain, for receivers that want one."),
    ] = None
    key_file: Annotated[
        AbsolutePath | None,
        Meta(description="The key (PEM, without a passphrase) of `certificate_file`, if it is not in the same file."),
    ] = None
    server_name: Annotated[
        HostName | None,
        Meta(description="The name in the receiver's certificate, if it is not the host of the address."),
    ] = None


class SinkConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """What every sink has."""

    name: Annotated[
        SinkName,
        Meta(description="Name of the sink in health, metrics and outbox; another name is another sink."),
    ]
    min_severity: Annotated[SeverityName, Meta(description="Alerts below this severity are not sent.")] = "info"
    timeout_seconds: Annotated[
        float,
        Meta(ge=0.1, le=300, description="Time for one exchange with the receiver, connection included."),
    ] = 10.0


class ForwardConfig(SinkConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="forward"):
    """Fluent Forward v1: fluent-bit, fluentd, Vector and the OpenTelemetry collector take it."""

    address: Annotated[Address, Meta(description="Where the receiver listens; the protocol's port is 24224.")]
    tls: TlsConfig = TlsConfig()
    format: Annotated[FormatName, Meta(description=FORMAT)] = "ecs"
    tag: Annotated[Tag, Meta(description="The tag by which the receiver routes.")] = "hullwatch.alert"
    ack: Annotated[
        bool,
        Meta(
            description="Wait until the receiver says that it has the alerts; without it, what is on its way is lost."
        ),
    ] = True
    compress: Annotated[
        Literal["none", "gzip"], Meta(description="`gzip` is CompressedPackedForward; not every receiver takes it.")
    ] = "none"
    shared_key_file: Annotated[
        AbsolutePath | None, Meta(description="File with the shared key; with it, both sides prove that they know it.")
    ] = None
    self_hostname: Annotated[
        HostName | None, Meta(description="The agent's name in the handshake; by default the node's.")
    ] = None
    username: Annotated[HostName | None, Meta(description="User, where the receiver wants one beside the key.")] = None
    password_file: Annotated[AbsolutePath | None, Meta(description="File with the user's password.")] = None
    max_batch: Annotated[int, Meta(ge=1, le=4096, description="The most alerts in one message.")] = 256


class RequestConfig(SinkConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every sink that makes HTTP requests has."""

    tls: TlsConfig = TlsConfig()
    headers: Annotated[
        dict[HeaderName, HeaderValue], Meta(max_length=64, description="Headers of each request; nothing secret.")
    ] = field(default_factory=dict)
    header_files: Annotated[
        dict[HeaderName, AbsolutePath],
        Meta(max_length=64, description="Headers whose values are in files, such as `Authorization`."),
    ] = field(default_factory=dict)


class HttpConfig(RequestConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="http"):
    """POST to a URL: falcosidekick, Splunk, and whatever else takes JSON."""

    url: Annotated[Url, Meta(description="Where to; redirects are not followed.")]
    format: Annotated[FormatName, Meta(description=FORMAT)] = "ecs"
    body: Annotated[
        Literal["auto", "array", "ndjson", "single"],
        Meta(
            description="One JSON array, one object a line, or one request an alert; `auto` is `single` for `falco`, "
            "else `array`."
        ),
    ] = "auto"
    compress: Annotated[Literal["none", "gzip"], Meta(description="`gzip` is Content-Encoding: gzip.")] = "none"
    max_batch: Annotated[int, Meta(ge=1, le=4096, description="The most alerts in one request.")] = 128


class OtlpConfig(RequestConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="otlp"):
    """OpenTelemetry logs over HTTP: the collector, and every backend that takes OTLP."""

    url: Annotated[Url, Meta(description="Where to, with the path: as a rule `http://HOST:4318/v1/logs`.")]
    encoding: Annotated[Literal["protobuf", "json"], Meta(description="How the request is written.")] = "protobuf"
    compress: Annotated[Literal["none", "gzip"], Meta(description="`gzip` is Content-Encoding: gzip.")] = "gzip"
    max_batch: Annotated[int, Meta(ge=1, le=4096, description="The most alerts in one request.")] = 256


class SyslogConfig(SinkConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="syslog"):
    """RFC 5424 over TCP or TLS (octet counting) or a unix socket (stream or datagram): rsyslog, syslog-ng."""

    address: Annotated[Address, Meta(description="Where the receiver listens: 514 for TCP, 6514 for TLS, as a rule.")]
    tls: TlsConfig = TlsConfig()
    content: Annotated[
        Literal["structured", "json", "cee"],
        Meta(
            description="`structured` is structured data and the sentence; `json` is the whole alert as the message; "
            "`cee` is that after `@cee:`."
        ),
    ] = "structured"
    format: Annotated[FormatName, Meta(description="The shape of the alert in `json` and `cee`.")] = "ecs"
    facility: Annotated[
        Literal[
            "kern", "user", "daemon", "auth", "syslog", "authpriv",
            "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
        ],
        Meta(description="The facility; the severity follows from the alert's."),
    ] = "authpriv"  # fmt: skip
    app_name: Annotated[PrintableWord, Meta(description="APP-NAME of each message.")] = "hullwatch"
    enterprise_id: Annotated[
        int,
        Meta(
            ge=0,
            le=4_294_967_295,
            description="Private enterprise number in the name of the structured data; 32473 is the one for examples.",
        ),
    ] = 32_473
    max_message_bytes: Annotated[
        int,
        Meta(
            ge=2048,
            le=1_048_576,
            description="The longest message that the receiver takes. JSON that is longer goes as structured data.",
        ),
    ] = 8192
    max_batch: Annotated[int, Meta(ge=1, le=4096, description="The most alerts that are written at once.")] = 256


class KubernetesConfig(SinkConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="kubernetes"):
    """Events on the pod and on the node, for `kubectl describe`. A notice, not a pipeline: it is limited in rate."""

    min_severity: Annotated[SeverityName, Meta(description="Alerts below this severity make no event.")] = "high"
    on_pod: Annotated[bool, Meta(description="Whether the pod gets an event, in its namespace.")] = True
    on_node: Annotated[bool, Meta(description="Whether the node gets an event, in the namespace `default`.")] = True
    node_name: Annotated[
        HostName | None, Meta(description="The node's name in the cluster; by default `host.name` of the alert.")
    ] = None
    events_per_minute: Annotated[
        int, Meta(ge=1, le=600, description="The most events in a minute; what is beyond is left out and counted.")
    ] = 20
    repeat_seconds: Annotated[
        float, Meta(ge=0, le=86_400, description="One event for the same rule on the same object within this time.")
    ] = 600.0
    server: Annotated[
        Url | None, Meta(description="The API server; by default that of the cluster in which the agent runs.")
    ] = None
    token_file: Annotated[AbsolutePath, Meta(description="File with the service account's token.")] = (
        "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 (a path)
    )
    ca_file: Annotated[AbsolutePath, Meta(description="Certificates (PEM) that the API server's must follow from.")] = (
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    )


AnySinkConfig = ForwardConfig | HttpConfig | OtlpConfig | SyslogConfig | KubernetesConfig

# Headers that the sinks write themselves.
OWN_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"}
)


def refusals(sinks: Sequence[AnySinkConfig]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each contradiction: the path of the key below ``output.sinks``, and what is wrong there."""
    names: dict[str, int] = {}
    for index, sink in enumerate(sinks):
        if sink.name in RESERVED_NAMES:
            yield (index, "name"), f"is {sink.name!r}, which is the name of a sink with its own section"
        if sink.name in names:
            yield (index, "name"), f"is {sink.name!r} as in output.sinks[{names[sink.name]}]; wanted one name a sink"
        names.setdefault(sink.name, index)
        for key, problem in [*_contradictions(sink), *_of_port(sink)]:
            yield (index, *key), problem


def _contradictions(sink: AnySinkConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    match sink:
        case ForwardConfig():
            yield from _of_tls(sink.tls, "address", sink.address, "tls://")
            if (sink.username is None) != (sink.password_file is None):
                yield ("username",), "and password_file go together; wanted both or none"
            if sink.username is not None and sink.shared_key_file is None:
                yield ("username",), "is sent in the handshake only; wanted shared_key_file as well"
        case SyslogConfig():
            yield from _of_tls(sink.tls, "address", sink.address, "tls://")
        case RequestConfig():
            yield from _of_tls(sink.tls, "url", sink.url, "https://")
            yield from _of_headers(sink.headers, sink.header_files)
        case KubernetesConfig():
            if sink.server is not None and not sink.server.startswith("https://"):
                yield ("server",), f"is {sink.server!r}; wanted a URL of https, because the token is sent there"


def _of_port(sink: AnySinkConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in ("address", "url", "server"):
        port = _PORT.search(getattr(sink, key, None) or "")
        if port is not None and not 0 < int(port[1]) <= MAX_PORT:
            yield (key,), f"has the port {port[1]}; wanted one from 1 to {MAX_PORT}"


def _of_tls(tls: TlsConfig, key: str, target: str, scheme: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if tls != TlsConfig() and not target.startswith(scheme):
        yield ("tls",), f"is given, but {key} is no {scheme}"
    if tls.key_file is not None and tls.certificate_file is None:
        yield ("tls", "key_file"), "is given without certificate_file"


def _of_headers(headers: dict[str, str], files: dict[str, str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    seen: set[str] = set()
    for key, name in [*(("headers", name) for name in headers), *(("header_files", name) for name in files)]:
        if name.lower() in OWN_HEADERS:
            yield (key, name), "is a header that the sink writes itself"
        if name.lower() in seen:
            yield (key, name), "stands twice"
        seen.add(name.lower())
