"""A container that runs ``storm.c``, compiled for the occasion: in C, so that no interpreter waters the ratios."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.selftest.container import ThrowawayContainer

HERE = Path(__file__).parent


class Storm:
    """A running storm: ``start`` lets it work once, ``read_line`` is what it says of it. ``pid`` is the host's."""

    def __init__(self, container: ThrowawayContainer) -> None:
        self.read_line = container.read_line
        self.container_id = container.id
        self.pid = int(container.read_line())

    def start(self) -> None:
        """Let it work."""
        os.kill(self.pid, signal.SIGUSR1)


@contextlib.contextmanager
def storm(*arguments: object) -> Iterator[Storm]:
    """The program and its directory are there before the container is, so its execs are as boring as an image's."""
    with tempfile.TemporaryDirectory(prefix="hullwatch-bench-") as directory:
        compiler = shutil.which("cc") or shutil.which("gcc") or "clang"
        program = Path(directory) / "storm"
        subprocess.run(
            [compiler, "-O2", "-static", "-o", str(program), str(HERE / "storm.c")], check=True, capture_output=True
        )
        script = shutil.copy(HERE / "storm.py", directory)
        Path(directory).chmod(0o755)
        time.sleep(1.1)
        with ThrowawayContainer(Path(script), tuple(map(str, arguments))) as container:
            yield Storm(container)
