"""Real namespaces for tests: a shell that is told what to mount, and a program run where it should fail."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collectors.facts import ProcessKey
from tests.support.patience import patient
from tests.support.processes import namespace, start_ticks

REPOSITORY = Path(__file__).parents[2]


class NamespaceShell:
    """A shell in a mount namespace of its own; it ends when its input does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The pid of the shell itself."""
        return self._process.pid

    def key(self, pid: int | None = None) -> ProcessKey:
        """The identity of the shell, or of another process."""
        wanted = self.pid if pid is None else pid
        return ProcessKey(wanted, start_ticks(wanted))

    def mnt_namespace(self) -> int:
        """The inode of its mount namespace."""
        return namespace(self.pid, "mnt")

    def run(self, command: str) -> str:
        """Let the shell run a command, and return its last line; the command must succeed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command} && echo ran || echo failed\n")
        self._process.stdin.flush()
        last = ""
        for line in self._process.stdout:
            if line == "ran\n":
                return last
            if line == "failed\n":
                break
            last = line.strip()
        raise AssertionError(f"{command}: failed in the namespace")

    def kill(self) -> None:
        """End the shell, and not what it started."""
        self._process.kill()
        self._process.wait(timeout=patient(5))


@contextmanager
def namespace_shell() -> Iterator[NamespaceShell]:
    """A shell in a new, private mount namespace; whatever it mounts is gone when it is."""
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield NamespaceShell(process)
        finally:
            process.kill()


def output_of_python(code: str, *unshare: str) -> str:
    """What a Python program prints that runs with this repository on its path, under ``unshare`` with these options."""
    result = subprocess.run(
        ["unshare", *unshare, sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=patient(30),
    )
    return result.stdout.strip()
