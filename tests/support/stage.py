"""What the acts and the honest workloads of the live tests are made of, and where they are performed."""

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine import Container, Engine, all_capabilities
from tests.support.hierarchies import CGROUPS
from tests.support.patience import patient
from tests.support.processes import host_process, unique_seconds, wait_for_process

CRITICAL, HIGH, MEDIUM, LOW, INFO = 90, 70, 50, 30, 10
UNCONFINED = ("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
TOOLS = "/opt/tools"


class CannotHereError(RuntimeError):
    """This machine has not got what an act needs; the message is the reason for skipping it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that must come: its rule, and the lowest severity that will do.

    `names_container` is False for a rule that speaks of the host: the kernel does not say on whose behalf it acts.
    """

    rule: str
    severity: int
    names_container: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an act did, as far as an alert about it can be held against it.

    `container_id`: the container that the alert names. `pids`: the host pids any of which it may name as the acting
    process; empty where none is known for certain. `text`: a path or an argument that belongs in the evidence.
    """

    container_id: str
    pids: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """An engine with the test image, and the built tools as the host sees them.

    `seen_after_seconds` is how long a container has to be up for whoever watches to have seen it as it started; 0 when
    nobody watches.
    """

    engine: Engine
    tools: Path
    seen_after_seconds: float = 0.0

    def let_it_be_seen(self) -> None:
        """Give the watcher the time to see a container as it started: a change at once after start is another act."""
        time.sleep(self.seen_after_seconds)

    def container(self, *options: str, command: Sequence[str] = ()) -> AbstractContextManager[Container]:
        """A container that sleeps, or runs the command, and is removed with the block."""
        return _container(self, options, command)

    def capable(self, *options: str, command: Sequence[str] = ()) -> AbstractContextManager[Container]:
        """A container as privileged as Docker makes one by single options: every capability, no filters."""
        return _container(self, (*all_capabilities(), *UNCONFINED, *options), command)

    def privileged(self, *options: str, command: Sequence[str] = ()) -> AbstractContextManager[Container]:
        """A container of `docker run --privileged`, trimmed of what the machine itself has not got."""
        return _container(self, ("--privileged", *self.runtime_options(), *options), command)

    def runtime_options(self) -> tuple[str, ...]:
        """The options by which a privileged container, or exec, is possible on this machine."""
        return ("--runtime", self.engine.trimmed_runtime) if self.engine.trimmed_runtime else ()

    def sleep_inside(
        self, container: Container, *before: str, options: Sequence[str] = (), program: str = "sleep"
    ) -> int:
        """Run `BEFORE... sleep N` inside by `docker exec -d`; the host pid of the sleep once it runs."""
        seconds = unique_seconds()
        self.engine.execute(container, *before, program, seconds, options=("-d", *options))
        return wait_for_process(seconds, first=program.rsplit("/", 1)[-1])

    def shell(self, container: Container, script: str, *arguments: str, options: Sequence[str] = ()) -> str:
        """Run a shell script inside and wait for it; what it printed."""
        return self.engine.execute(container, "sh", "-ec", script, "sh", *arguments, options=options)

    def victim(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        """A process of the host for a container to go after: pid 1 of some machines is closed, even to root."""
        return host_process("sleep", unique_seconds(120))


@dataclass(frozen=True, slots=True)
class Act:
    """One escape, or a part of one, that is really performed; `perform` asserts its effect before it yields.

    While the context is open the state that the act made is there; when it closes, everything is as before. `weakest`
    is the least sensor that must raise the expected alerts. With nothing expected the act is a control: it looks like
    an escape, is none, and must stay silent.
    """

    name: str
    perform: Callable[[Stage], AbstractContextManager[Outcome]]
    expected: tuple[Expected, ...]
    weakest: str = "poll"


@dataclass(frozen=True, slots=True)
class Workload:
    """Honest work that is really done, and asserted to be done before `perform` yields.

    Nothing above `worst` may be said about it, of whatever container or host process, but the exposures that its
    containers were declared with (`declared`, by rule).
    """

    name: str
    perform: Callable[[Stage], AbstractContextManager[None]]
    worst: int = INFO
    declared: tuple[str, ...] = ()


@contextmanager
def _container(stage: Stage, options: Sequence[str], command: Sequence[str]) -> Iterator[Container]:
    container = stage.engine.run(*(command or ("sleep", f"{patient(300):.0f}")), options=options)
    try:
        yield container
    finally:
        stage.engine.remove(container)


@contextmanager
def host_directory() -> Iterator[Path]:
    """An empty directory of the host's own file system, for a volume or a payload."""
    path = Path(tempfile.mkdtemp(prefix="hullwatch-live-volume-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run_on_host(*command: str, timeout_seconds: float = 30) -> str:
    """Run a program of the host to its end; what it printed. CalledProcessError when it fails."""
    finished = subprocess.run(command, check=True, capture_output=True, timeout=patient(timeout_seconds))
    return finished.stdout.decode(errors="surrogateescape")


def needs_program(name: str) -> str:
    """The path of a host program; CannotHereError when it is not installed."""
    found = shutil.which(name)
    if not found:
        raise CannotHereError(f"{name} is not installed")
    return found


def needs_hierarchy(controller: str) -> Path:
    """The mounted version 1 hierarchy of a cgroup controller; CannotHereError when there is none."""
    path = CGROUPS / controller
    if not (path / "release_agent").exists():
        raise CannotHereError(f"cgroup v1 is not mounted for {controller}")
    return path


def unique_name() -> str:
    """A short name that nothing else on the machine has."""
    return f"hwlive{secrets.token_hex(4)}"
