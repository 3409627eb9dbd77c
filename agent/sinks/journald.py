"""Alerts in systemd's journal, by its native protocol: one datagram an alert on a unix socket.

Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. A value that may hold a line feed goes with its length before it; a
datagram that is too large for the socket is handed over as a sealed memfd. The journal confirms nothing: an alert is
sent when the kernel has it in the socket's queue, and the outbox' history has it in any case.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

import msgspec

from agent.errors import SinkError
from agent.stored_alert import Render, StoredAlert
from detectors.base import Severity

TIMEOUT_SECONDS = 5.0
IDENTIFIER = "hullwatch"

# syslog(3): LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO; LOG_AUTHPRIV is facility 10.
_PRIORITIES = (
    (Severity.CRITICAL, 2),
    (Severity.HIGH, 3),
    (Severity.MEDIUM, 4),
    (Severity.LOW, 5),
)
_INFO = 6
_FACILITY = 10
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class JournaldSink:
    """Opens the socket with the first alert, and anew after an error: journald may have been restarted."""

    name = "journald"
    max_batch = 64

    def __init__(self, path: str, render: Render, min_severity: Severity = Severity.INFO) -> None:
        self.min_severity = min_severity
        self._path = path
        self._render = render
        self._socket: socket.socket | None = None

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """One entry an alert."""
        try:
            for alert in batch:
                self._send(entry(alert, self._render(alert)))
        except OSError as error:
            self.close()
            raise SinkError(self.name, f"{self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(self._path)
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            _send_as_file(self._socket, data)


def entry(alert: StoredAlert, rendered: bytes) -> bytes:
    """The fields of one entry, as the protocol has them. Pure."""
    priority = next((number for severity, number in _PRIORITIES if alert.severity >= severity), _INFO)
    fields = [
        ("MESSAGE", _message(alert)),
        ("PRIORITY", str(priority).encode()),
        ("SYSLOG_FACILITY", str(_FACILITY).encode()),
        ("SYSLOG_IDENTIFIER", IDENTIFIER.encode()),
        ("HULLWATCH_EVENT_ID", alert.id.encode()),
        ("HULLWATCH_RULE_ID", alert.rule_id.encode()),
        ("HULLWATCH_SEVERITY", str(alert.severity).encode()),
        ("HULLWATCH_ALERT", rendered),
    ]
    if alert.container_id is not None:
        fields.append(("CONTAINER_ID_FULL", alert.container_id.encode()))
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _message(alert: StoredAlert) -> bytes:
    """The alert's sentence."""
    with contextlib.suppress(ValueError, RecursionError):  # a damaged file of the outbox: no JSON, or no UTF-8
        match msgspec.json.decode(alert.document):
            case {"message": str(message)}:
                return message.encode()
            case _:
                pass
    return alert.rule_id.encode()


def _send_as_file(connection: socket.socket, data: bytes) -> None:
    """Hand over a memfd that nobody can change any more, in an empty datagram."""
    descriptor = os.memfd_create("hullwatch-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
        connection.sendmsg([b""], [rights])
    finally:
        os.close(descriptor)
