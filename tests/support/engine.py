"""A Docker engine for the live tests: the machine's own if one answers, else one that starts and ends with them.

The engine that is started keeps its data, socket and pid file in a directory of its own and makes no network, no bridge
and no firewall rule; containers run with `--network none`.

Where the facts of a container lie (Docker 20.10, containerd 1.6, runc 1.1; E: the exec root, by default /run/docker):

- `E/containerd/daemon/io.containerd.runtime.v2.task/moby/ID/config.json`: the OCI bundle, written before the first
  process; beside it `init.pid`, `rootfs` (empty: Docker gives runc the path of its own overlay mount), `work`, a
  symbolic link, and `runtime`. (With a containerd of the machine's own, not Docker's child, it is below
  /run/containerd instead.)
- `E/runtime-runc/moby/ID/state.json`: runc's state, also for a runtime that was added with `--add-runtime`.
- `E/containerd/ID/init-stdout`: FIFOs of the first process' standard streams.
- `/sys/fs/cgroup/*/docker/ID`: the cgroup in each hierarchy of version 1, and of version 2 where it is mounted beside.

The default exec root is used when no other daemon uses it, because that is where an agent looks without being told;
`Engine.exec_root` says which it was.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import engine_api
from tests.support.patience import patient
from tests.support.processes import is_alive, wait_until

DEFAULT_EXEC_ROOT = Path("/run/docker")
DEFAULT_SOCKET = Path("/var/run/docker.sock")
CGROUPS = Path("/sys/fs/cgroup")
LABEL = "hullwatch.live"
LAST_CAPABILITY_OF_DOCKER_20 = 37
CAP_SYS_RESOURCE = 24
NOT_STARTED = 126  # the status of a command that the engine could not start (docker-exec(1))
TRIMMED_RUNTIME = "hullwatch-live-trimmed"
GRANTING_RUNTIME = "hullwatch-live-granting"

# include/uapi/linux/capability.h, by number; Docker 20.10 refuses the names of 38 and above.
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
)


class EngineUnavailableError(RuntimeError):
    """No Docker engine runs here and none can be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs, or ran: its id, its name, and the host pid of its first process (0: it has ended)."""

    id: str
    name: str
    pid: int


@dataclass(slots=True)
class Engine:
    """A Docker engine, and what the tests do with it through the `docker` command."""

    client: str
    socket: Path
    exec_root: Path
    trimmed_runtime: str = ""
    granting_runtime: str = ""
    process: subprocess.Popen[bytes] | None = None
    directory: Path | None = None
    made_exec_root: bool = False
    old_cgroups: frozenset[Path] = frozenset()
    session: str = field(default_factory=lambda: secrets.token_hex(4))
    image: str = ""
    _kinds: dict[tuple[str | bytes, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def task_root(self) -> Path:
        """The directory whose `moby/ID/config.json` are the OCI bundles of the containers."""
        own = self.exec_root / "containerd/daemon/io.containerd.runtime.v2.task"
        return own if own.is_dir() else Path("/run/containerd/io.containerd.runtime.v2.task")

    def bundle(self, container: Container) -> Path:
        """The directory of a container's OCI bundle."""
        return self.task_root / "moby" / container.id

    @property
    def runtime_root(self) -> Path:
        """What `runc --root` wants in order to see the engine's containers."""
        return self.exec_root / "runtime-runc/moby"

    def docker(
        self, *arguments: str | bytes, timeout_seconds: float = 60, check: bool = True, text_in: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the docker command; CalledProcessError with its messages when it fails and `check` is on."""
        finished = subprocess.run(
            (self.client, "-H", f"unix://{self.socket}", *arguments),
            check=False,
            capture_output=True,
            timeout=patient(timeout_seconds),
            input=text_in,
        )
        if check and finished.returncode:
            raise subprocess.CalledProcessError(
                finished.returncode, finished.args, finished.stdout, finished.stderr
            ) from EngineUnavailableError(finished.stderr.decode(errors="replace"))
        return finished

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine itself knows of a container."""
        value: dict[str, Any] = json.loads(self._ask("GET", f"/containers/{name}/json"))
        return value

    def _ask(self, method: str, target: str, body: Any = None) -> bytes:
        return engine_api.ask(self.socket, method, target, body, timeout_seconds=patient(60))

    def run(self, *command: str | bytes, options: Sequence[str | bytes] = (), image: str = "") -> Container:
        """Start a container in the background; it is removed at the latest when the engine is closed.

        `docker run` finds out once what options mean; containers like it are asked of the engine itself.
        """
        name = f"hullwatch-live-{self.session}-{secrets.token_hex(3)}"
        kind = (*options, image or self.image)
        known = self._kinds.get(kind)
        if known is not None and command and all(isinstance(word, str) for word in command):
            self._ask("POST", f"/containers/create?name={name}", {**known, "Cmd": [*command]})
            self._ask("POST", f"/containers/{name}/start")
            return self.look_up(name)
        base = ("run", "-d", "--name", name, "--label", f"{LABEL}={self.session}")
        network: tuple[str, ...] = () if any(_is_network(option) for option in options) else ("--network", "none")
        self.docker(*base, *network, *kind, *command)
        if command:
            found = self.inspect(name)
            own = {"Hostname"} if found["Config"]["Hostname"] == found["Id"][:12] else set()
            config = {key: value for key, value in found["Config"].items() if key not in own}
            self._kinds[kind] = {**config, "HostConfig": found["HostConfig"]}
        return self.look_up(name)

    def look_up(self, name: str) -> Container:
        """The container of this name as it is now."""
        found = self.inspect(name)
        return Container(id=found["Id"], name=found["Name"].lstrip("/"), pid=found["State"]["Pid"])

    def execute(
        self,
        container: Container,
        *command: str,
        options: Sequence[str] = (),
        check: bool = True,
        timeout_seconds: float = 60,
    ) -> str:
        """As `docker exec`, waited for: what it printed (with `-d` among the options it is not waited for).

        CalledProcessError with its messages when it fails and `check` is on.
        """
        try:
            finished = engine_api.execute(
                self.socket, container.id, command, options, timeout_seconds=patient(timeout_seconds)
            )
        except engine_api.RefusedError as error:
            finished = engine_api.Finished(NOT_STARTED, b"", str(error).encode())
        if check and finished.status:
            raise subprocess.CalledProcessError(
                finished.status, command, finished.stdout, finished.stderr
            ) from EngineUnavailableError(finished.stderr.decode(errors="replace"))
        return finished.stdout.decode(errors="surrogateescape")

    def remove(self, container: Container) -> None:
        """Kill and remove a container, which may have gone already."""
        with suppress(engine_api.RefusedError):
            self._ask("DELETE", f"/containers/{container.id}?force=1&v=1")

    def close(self) -> None:
        """Remove the tests' containers; stop the daemon if it was started here, and take away what it left."""
        left = self.docker("ps", "-aq", "--no-trunc", "--filter", f"label={LABEL}={self.session}", check=False)
        for container in left.stdout.decode().split():
            self.docker("rm", "-f", "-v", container, check=False)
        if self.process is None:
            if self.image:
                self.docker("rmi", "-f", self.image, check=False)
            return
        _stop(self.process)
        self._tidy()

    def _tidy(self) -> None:
        if self.directory is not None:
            _unmount_below(self.directory)
            shutil.rmtree(self.directory, ignore_errors=True)
        if self.made_exec_root:
            _unmount_below(self.exec_root)
            shutil.rmtree(self.exec_root, ignore_errors=True)
        for path in set(CGROUPS.glob("*/docker")) - self.old_cgroups:
            for child in sorted(path.glob("**/"), reverse=True):
                try:
                    child.rmdir()
                except OSError as error:
                    print(f"left behind: {child}: {error}", file=sys.stderr)  # noqa: T201


def _is_network(option: str | bytes) -> bool:
    return isinstance(option, str) and option.startswith(("--network", "--net"))


def find_or_start() -> Engine:
    """The engine of this machine if it answers, else one of our own. EngineUnavailableError says why neither."""
    if os.geteuid() != 0:
        raise EngineUnavailableError("needs root")
    address = os.environ.get("DOCKER_HOST", f"unix://{DEFAULT_SOCKET}")
    socket = Path(address.removeprefix("unix://"))
    client = shutil.which("docker")
    if client and address.startswith("unix://") and socket.exists():
        engine = Engine(client=client, socket=socket, exec_root=DEFAULT_EXEC_ROOT)
        if engine.docker("info", check=False, timeout_seconds=20).returncode == 0:
            return engine
    return start()


def start() -> Engine:
    """A daemon of our own, up and answering."""
    dockerd = shutil.which("dockerd")
    if not dockerd:
        raise EngineUnavailableError("dockerd is not installed (package docker.io)")
    # The client of the daemon's own package: another one on PATH may be too new to talk to it.
    beside = Path("/usr/bin/docker")
    client = str(beside) if dockerd == "/usr/sbin/dockerd" and beside.exists() else shutil.which("docker")
    if not client:
        raise EngineUnavailableError("the docker command is not installed (package docker.io)")
    directory = Path(tempfile.mkdtemp(prefix="hullwatch-live-"))
    directory.chmod(0o711)
    exec_root = DEFAULT_EXEC_ROOT if not _in_use(DEFAULT_EXEC_ROOT) else directory / "exec"
    engine = Engine(
        client=client,
        socket=directory / "docker.sock",
        exec_root=exec_root,
        trimmed_runtime=TRIMMED_RUNTIME if _lacks(CAP_SYS_RESOURCE) else "",
        granting_runtime=GRANTING_RUNTIME,
        directory=directory,
        made_exec_root=not exec_root.exists(),
        old_cgroups=frozenset(CGROUPS.glob("*/docker")),
    )
    problems = []
    for driver in ("overlay2", "vfs"):
        engine.process = _spawn(dockerd, engine, driver)
        try:
            _wait_for_answer(engine)
        except EngineUnavailableError as error:
            problems.append(f"{driver}: {error}")
            _stop(engine.process)
            continue
        return engine
    engine._tidy()
    raise EngineUnavailableError("; ".join(problems))


def _spawn(dockerd: str, engine: Engine, driver: str) -> subprocess.Popen[bytes]:
    directory = engine.directory or Path("/nonexistent")
    command = [dockerd, "-H", f"unix://{engine.socket}", "--data-root", str(directory / "data"), "--exec-root"]
    command += [str(engine.exec_root), "--pidfile", str(directory / "docker.pid"), "--storage-driver", driver]
    command += ["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    command += ["--group", "root"]
    for name, module in ((engine.trimmed_runtime, "trimmed_runtime"), (engine.granting_runtime, "granting_runtime")):
        if name:
            command += ["--add-runtime", f"{name}={_write_runtime(directory, name, module)}"]
    with (directory / "daemon.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )


def _write_runtime(directory: Path, name: str, module: str) -> Path:
    """A program of one of the modules that stand before runc."""
    source = Path(__file__).with_name(f"{module}.py").read_text()
    runc = shutil.which("runc") or "/usr/sbin/runc"
    program = directory / name
    program.write_text(f"#!{sys.executable} -IS\n{source}\nmain({runc!r})\n")
    program.chmod(0o755)
    return program


def _wait_for_answer(engine: Engine, timeout_seconds: float = 60) -> None:
    deadline = time.monotonic() + patient(timeout_seconds)
    log = (engine.directory or Path("/nonexistent")) / "daemon.log"
    while time.monotonic() < deadline:
        if engine.process is None or engine.process.poll() is not None:
            raise EngineUnavailableError(f"dockerd ended: {log.read_text(errors='replace')[-600:]}")
        if engine.socket.exists() and engine.docker("info", check=False, timeout_seconds=20).returncode == 0:
            return
        time.sleep(0.1)
    raise EngineUnavailableError(f"dockerd did not answer within {timeout_seconds} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=patient(30))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=patient(10))


def _in_use(exec_root: Path) -> bool:
    try:
        pid = int((exec_root / "containerd/containerd.pid").read_text())
    except (OSError, ValueError):
        return False
    return is_alive(pid)


def _lacks(capability: int) -> bool:
    text = Path("/proc/self/status").read_text()
    bounding = int(next(line.split()[1] for line in text.splitlines() if line.startswith("CapBnd:")), 16)
    return not bounding >> capability & 1


def _unmount_below(directory: Path) -> None:
    """Unmount what a killed daemon left mounted, innermost first, so that no tree is removed through a mount."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([point for point in points if point.startswith(f"{directory}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True, timeout=20)


def all_capabilities() -> list[str]:
    """The `--cap-add` options for every capability that this machine has and Docker knows."""
    return [
        f"--cap-add={name}"
        for number, name in enumerate(CAPABILITIES)
        if number <= LAST_CAPABILITY_OF_DOCKER_20 and not _lacks(number)
    ]


def wait_until_gone(container: Container) -> None:
    """Wait until the first process of a container has ended."""
    wait_until(lambda: not is_alive(container.pid), f"the end of {container.name}")
