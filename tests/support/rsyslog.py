"""Debian's rsyslog as a receiver: a process of its own, with its own configuration, on loopback. Never the system's."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

WAIT_SECONDS = 10.0

_TEMPLATE = (
    '{"pri":"%PRI%","host":"%HOSTNAME%","app":"%APP-NAME%","msgid":"%MSGID%","time":"%TIMESTAMP:::date-rfc3339%",'
    '"sd":"%STRUCTURED-DATA:::json%","msg":"%msg:::json%","version":"%protocol-version%"}'
)


def command() -> str | None:
    """The daemon, which is not on everybody's PATH."""
    return shutil.which("rsyslogd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def can_tls() -> bool:
    """The package rsyslog-openssl is there."""
    return any(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so"))


class Rsyslog:
    """Writes one line of JSON a message. ``inputs`` is its configuration of inputs; ``{port}`` in it is ``port``."""

    def __init__(self, directory: Path, modules: str, inputs: str, ready: Path | None = None) -> None:
        self.port = _free_port()
        self._out = directory / "messages"
        self._log = directory / "rsyslogd.log"
        config = directory / "rsyslog.conf"
        lines = [
            f'global(workDirectory="{directory}" maxMessageSize="64k")',
            modules,
            f'template(name="line" type="string" string="{_escaped(_TEMPLATE)}\\n")',
            f'ruleset(name="all") {{ action(type="omfile" file="{self._out}" template="line") }}',
            inputs.replace("{port}", str(self.port)),
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        program = command()
        assert program is not None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-n", "-f", str(config), "-i", str(directory / "pid")], stdout=log, stderr=log
            )
        self._wait(ready)

    def messages(self, count: int) -> list[str]:
        """The lines of the first ``count`` messages."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            lines = self._out.read_text(encoding="utf-8").split("\n")[:-1] if self._out.exists() else []
            if len(lines) >= count:
                return lines
            assert time.monotonic() < deadline, (lines, self._log.read_text(encoding="utf-8"))
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, ready: Path | None) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            if _takes(ready) if ready is not None else _listens(self.port):
                return
            time.sleep(0.02)
        self.__exit__(None, None, None)
        raise AssertionError(self._log.read_text(encoding="utf-8"))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _takes(path: Path) -> bool:
    """Somebody listens on the unix socket, a stream or a datagram one; that it exists says only that it was bound."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as probe:
            if probe.connect_ex(str(path)) == 0:
                return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
