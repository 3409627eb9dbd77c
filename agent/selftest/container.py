"""A throwaway container: made by runc or crun where one is installed, else of bare namespaces and a cgroup.

It shares the host's pid namespace, so that a host process can be named from inside, and is given the capabilities that
``nsenter`` needs; everything else of it is its own. Its root is an empty directory in which the interpreter and its
libraries appear read-only. Everything is removed again by ``ThrowawayContainer.close``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from collectors.closing import closed_on_failure

RUNTIMES = ("runc", "crun")
CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT")
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
CGROUP_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/systemd")
END_SECONDS = 5.0
PARENT_CGROUP = "hullwatch-selftest"


class SelftestError(Exception):
    """The throwaway container could not be made or run: says which step, and what the runtime or kernel said."""


class ThrowawayContainer:
    """A context manager. ``id`` is the container's id as the agent will see it; ``runtime`` what made it.

    It runs ``script`` (with the interpreter and the standard library only) with ``arguments``.
    """

    def __init__(self, script: Path, arguments: tuple[str, ...], *, runtime: str | None = None) -> None:
        found = next((each for each in ([runtime] if runtime else RUNTIMES) if each and shutil.which(each)), None)
        self.runtime = found or "bare namespaces"
        self.id = secrets.token_hex(32)
        self._script = script
        self._program = [sys.executable, "-I", "-S", str(script), *arguments]
        self._directory = Path(tempfile.mkdtemp(prefix="hullwatch-selftest-"))
        self._process: subprocess.Popen[str] | None = None
        self._cgroups: list[Path] = []

    def __enter__(self) -> Self:
        with closed_on_failure(self):
            if self.runtime in RUNTIMES:
                self._run_with_runtime()
            else:
                self._run_bare()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_line(self) -> str:
        """What the container says next; an empty string when it ended without a word."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def complaints(self) -> str:
        """What the runtime wrote to stderr, cut at 2,000 characters."""
        with contextlib.suppress(OSError):
            return (self._directory / "stderr").read_text(errors="replace")[:2000].strip()
        return ""

    def close(self) -> None:
        """End the container and remove every trace of it."""
        if self.runtime in RUNTIMES:
            subprocess.run(  # noqa: S603  the runtime found on PATH, our own container's id
                [self.runtime, "delete", "--force", self.id], capture_output=True, check=False, timeout=END_SECONDS
            )
        if self._process is not None:
            self._end(self._process)
        for cgroup in self._cgroups:
            _remove_cgroup(cgroup)
        _remove_empty_parents()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        if process.stdout is not None:
            process.stdout.close()

    def _run_with_runtime(self) -> None:
        bundle = self._directory
        (bundle / "rootfs").mkdir()
        (bundle / "config.json").write_text(json.dumps(self._bundle()))
        self._start([self.runtime, "run", "--bundle", str(bundle), self.id], None)

    def _run_bare(self) -> None:
        """Namespaces by unshare(2) in the child, a cgroup whose name is a container's, a copy of the interpreter.

        A copy, since a process that runs the file of its parent on the host is taken for a runtime at work.
        """
        for root in CGROUP_ROOTS:
            if os.access(f"{root}/cgroup.procs", os.W_OK):
                cgroup = Path(root, PARENT_CGROUP, self.id)
                cgroup.mkdir(parents=True)
                self._cgroups.append(cgroup)
                break
        else:
            raise SelftestError("no cgroup hierarchy that can be written, and neither runc nor crun is installed")
        interpreter = self._directory / "python"
        shutil.copy2(os.path.realpath(sys.executable), interpreter)
        self._program[0] = str(interpreter)
        self._start(self._program, self._enter_bare)

    def _enter_bare(self) -> None:
        """Runs in the child, between fork and exec."""
        libc = ctypes.CDLL(None, use_errno=True)
        for cgroup in self._cgroups:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        if libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)

    def _start(self, command: list[str], before_exec: Any) -> None:
        with (self._directory / "stderr").open("wb") as stderr:
            try:
                self._process = subprocess.Popen(  # noqa: S603  our own program or the runtime, no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    start_new_session=True,
                    preexec_fn=before_exec,  # noqa: PLW1509  a bounded few system calls in the child
                    env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONHOME": sys.base_prefix},
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise SelftestError(f"{command[0]}: {error}") from error

    def _bundle(self) -> dict[str, Any]:
        """The OCI bundle: own mount, network, ipc and uts namespace, the host's pid namespace."""
        sets = {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")}
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": self._program,
                "env": [f"PYTHONHOME={sys.base_prefix}", "PATH=/usr/bin:/bin"],
                "cwd": "/",
                "capabilities": sets,
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": False},
            "hostname": "hullwatch-selftest",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                *(
                    {"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]}
                    for path in _interpreter_directories(self._script)
                ),
            ],
            "linux": {
                "cgroupsPath": f"/{PARENT_CGROUP}/{self.id}",
                "namespaces": [{"type": kind} for kind in ("mount", "network", "ipc", "uts")],
            },
        }


def _interpreter_directories(script: Path) -> tuple[str, ...]:
    """The directories that the interpreter, its libraries and the script lie in; none below another."""
    wanted = {sys.base_prefix, sys.prefix, str(script.parent), os.path.dirname(os.path.realpath(sys.executable))}
    wanted |= {path for path in ("/usr/lib", "/usr/lib64", "/usr/bin", "/lib", "/lib64") if os.path.isdir(path)}
    ordered = sorted(wanted)
    return tuple(
        path for path in ordered if not any(path != other and path.startswith(other + "/") for other in ordered)
    )


def _remove_cgroup(cgroup: Path) -> None:
    """A cgroup can be removed once its last process has been reaped, a moment after it was killed."""
    for _ in range(20):
        try:
            cgroup.rmdir()
        except FileNotFoundError:
            break
        except OSError:
            time.sleep(0.1)
        else:
            break


def _remove_empty_parents() -> None:
    """The runtime removes the container's own cgroups; what was made for them above goes with the last one."""
    for root in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")):
        with contextlib.suppress(OSError):
            (root / PARENT_CGROUP).rmdir()
