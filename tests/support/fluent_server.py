"""The npm package @fluent-org/logger as a receiver: an implementation of Fluent Forward that is not ours."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGE = "@fluent-org/logger@1.0.10"
SCRIPT = Path(__file__).with_suffix(".js")
INSTALL_SECONDS = 120
WAIT_SECONDS = 10.0


def missing(directory: Path) -> str | None:
    """Install the package into ``directory`` if it is not there; why that is not possible, or ``None``."""
    if (directory / "node_modules" / "@fluent-org" / "logger" / "package.json").is_file():
        return None
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    installed = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(directory), PACKAGE],
        capture_output=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    return None if installed.returncode == 0 else f"npm could not install {PACKAGE}"


class FluentServer:
    """One server; ``options`` are those of the package, ``tlsFiles`` names the files of ``tlsOptions``."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self._process = subprocess.Popen(
            ["node", str(SCRIPT), json.dumps({"listenOptions": {"port": 0, "host": "127.0.0.1"}, **options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "NODE_PATH": str(directory / "node_modules")},
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port: int = self._lines.get(timeout=WAIT_SECONDS)["port"]

    def entries(self, count: int) -> list[dict[str, Any]]:
        """The next entries: tag, time and record of each."""
        deadline = time.monotonic() + WAIT_SECONDS
        return [self._lines.get(timeout=max(deadline - time.monotonic(), 0.01)) for _ in range(count)]

    def is_silent(self) -> bool:
        """Nothing came that was not fetched."""
        return self._lines.empty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(WAIT_SECONDS)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
