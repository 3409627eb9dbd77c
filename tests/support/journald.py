"""Debian's systemd-journald as a receiver, without systemd: in a mount namespace of its own, nothing of the host in it.

Its /run is a file system of that namespace; sockets and journal lie in a directory of the test. It reads neither the
kernel's log nor audit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = Path("/usr/lib/systemd/systemd-journald")
WAIT_SECONDS = 10.0
_MACHINE_ID = "0123456789abcdef0123456789abcdef\n"
_CONFIG = (
    "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nForwardToWall=no\nSyncIntervalSec=1s\n"
)
_SCRIPT = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
mount --bind "$1/sockets" /run/systemd/journal
mount --bind "$1/log" /run/log/journal
mount --bind "$1/etc" /etc/systemd
mount --bind "$1/machine-id" /etc/machine-id
exec "$2"
"""


def missing() -> str | None:
    """Why it cannot run here, or ``None``."""
    if os.geteuid() != 0:
        return "a mount namespace wants root"
    if not PROGRAM.exists() or shutil.which("journalctl") is None or not Path("/etc/machine-id").exists():
        return "systemd-journald is not installed"
    return None


class Journald:
    """One journald; what it keeps is in ``directory``, where a later one goes on."""

    def __init__(self, directory: Path) -> None:
        for name in ("sockets", "log", "etc"):
            (directory / name).mkdir(exist_ok=True)
        (directory / "machine-id").write_text(_MACHINE_ID, encoding="ascii")
        (directory / "etc" / "journald.conf").write_text(_CONFIG, encoding="ascii")
        self.socket = directory / "sockets" / "socket"
        self._log = directory / "log"
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "sh", str(directory), str(PROGRAM)],
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.socket.exists():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def entries(self, count: int) -> list[dict[str, Any]]:
        """The entries of hullwatch, when there are so many; journalctl shows what is no text as a list of bytes."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            command = [
                "journalctl",
                f"--directory={self._log}",
                "--output=json",
                "--all",
                "SYSLOG_IDENTIFIER=hullwatch",
            ]
            shown = subprocess.run(command, capture_output=True, check=False, timeout=WAIT_SECONDS)
            found = [json.loads(line) for line in shown.stdout.splitlines()]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, (found, shown.stderr)
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(WAIT_SECONDS)
