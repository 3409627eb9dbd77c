"""The engine asked through its socket, without the `docker` command (Docker Engine API 1.41).

For what the tests ask at every turn: on an emulated machine each start of that command takes a second.
"""

import http.client
import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "v1.41"
STDOUT, STDERR = 1, 2


class RefusedError(RuntimeError):
    """The engine did not do it; the message is its own."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("engine", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a command inside a container."""

    status: int
    stdout: bytes
    stderr: bytes


def ask(path: Path, method: str, target: str, body: Any = None, *, timeout_seconds: float) -> bytes:
    """One question to the engine that listens at `path`; RefusedError with its message."""
    connection = _Connection(path, timeout_seconds)
    try:
        connection.request(
            method,
            f"/{VERSION}{target}",
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status >= http.client.BAD_REQUEST:
        raise RefusedError(f"{method} {target}: {said.decode(errors='replace').strip()}")
    return said


def execute(
    path: Path, container: str, command: Sequence[str], options: Sequence[str], *, timeout_seconds: float
) -> Finished:
    """As `docker exec OPTIONS CONTAINER COMMAND` (-d, -t, -u, -w and --privileged)."""
    wanted = _settings(options)
    is_detached = bool(wanted.pop("Detach", False))
    attached = {"AttachStdout": not is_detached, "AttachStderr": not is_detached}
    made = json.loads(
        ask(
            path,
            "POST",
            f"/containers/{container}/exec",
            {"Cmd": [*command], **attached, **wanted},
            timeout_seconds=timeout_seconds,
        )
    )["Id"]
    how = {"Detach": is_detached, "Tty": wanted.get("Tty", False)}
    said = ask(path, "POST", f"/exec/{made}/start", how, timeout_seconds=timeout_seconds)
    if is_detached:
        return Finished(0, b"", b"")
    status = json.loads(ask(path, "GET", f"/exec/{made}/json", timeout_seconds=timeout_seconds))["ExitCode"]
    return Finished(int(status), *((said, b"") if how["Tty"] else streams(said)))


def _settings(options: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    left = iter(options)
    for option in left:
        match option:
            case "-d":
                found["Detach"] = True
            case "-t":
                found["Tty"] = True
            case "--privileged":
                found["Privileged"] = True
            case "-u":
                found["User"] = next(left)
            case "-w":
                found["WorkingDir"] = next(left)
            case _:
                raise ValueError(f"an option of docker exec that is not known here: {option}")
    return found


def streams(said: bytes) -> tuple[bytes, bytes]:
    """What was written to stdout and stderr: each piece has a header, its stream and its length (ContainerAttach)."""
    pieces: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
    at = 0
    while at < len(said):
        stream, length = struct.unpack_from(">B3xI", said, at)
        pieces[stream].append(said[at + 8 : at + 8 + length])
        at += 8 + length
    return b"".join(pieces[STDOUT]), b"".join(pieces[STDERR])
