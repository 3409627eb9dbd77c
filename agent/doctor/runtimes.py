"""The container runtimes: which run on the host, by the processes that keep their containers, and which are seen.

A shim names the socket of its containerd, and a conmon its bundle, so the directories of a distribution are told by who
uses them. A directory that is used and not seen is a mount that is missing, and the overlay for it is named. Believed
are processes in the host's mount namespace alone: a container may call itself what it likes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

from agent.doctor.base import Answer, Surroundings, Verdict, off, ok
from collectors.bounded import read_bounded
from collectors.containers.runtime_state import BUNDLE_DIRECTORIES, STATE_DIRECTORIES
from collectors.containers.state_directory import resolve_directory
from collectors.errors import CollectorError
from collectors.proc.cmdline import parse_cmdline
from collectors.proc.ns import parse_ns_link

AREA = "runtimes"
MAX_PROCESSES = 65_536
MAX_ARGUMENTS_BYTES = 65_536
_KEEPERS = (b"containerd-shim", b"conmon")
_ENGINE = b"dockerd\n"
_STORAGE = "/overlay-containers/"
_OF_RKE2 = "/rancher/rke2/"
_OVERLAYS = (
    ("/run/k3s", "k3s"),
    ("/var/snap/microk8s/common/run", "microk8s"),
    ("/run/containerd", ""),
    ("/run/docker", ""),
    ("/run/containers", ""),
)
"""Where distributions keep their runtime, with the overlay that mounts it; the base mounts /run."""

_COSTS = "What containers were declared to be, and their names, is not known: exposure and diff are blind."
_ELSEWHERE = "name it in containers.state_directories, and in a pod mount it (the chart's runtimeDirectory)."


def check(surroundings: Surroundings) -> Iterator[Answer]:
    """State directories of runtimes, and the Docker API."""
    used, has_docker = _in_use(surroundings)
    yield _runtimes(surroundings, used)
    yield _docker(surroundings, has_docker=has_docker)


def directory_of(arguments: Sequence[bytes]) -> tuple[str, str] | None:
    """The directory that the runtime of a shim or a conmon uses, and the program's own path; ``None`` for others."""
    words = [os.fsdecode(each) for each in arguments]
    for flag, value in itertools.pairwise(words[1:]):
        if flag in {"-address", "--address"} and value.startswith("/"):
            return os.path.dirname(_normal(value)), words[0]
        if flag in {"-b", "--bundle"} and _STORAGE in value and value.startswith("/"):
            return _normal(value).split(_STORAGE, 1)[0], words[0]
    return None


def mend_of(directory: str, program: str) -> str:
    """How a directory that is not seen is brought in."""
    for prefix, overlay in _OVERLAYS:
        if f"{directory}/".startswith(f"{prefix}/"):
            if not overlay:
                return "In a pod: mount hostPath /run with mountPropagation HostToContainer, as the base does."
            name = "rke2" if overlay == "k3s" and _OF_RKE2 in program else overlay
            return f"In a pod: apply the overlay {name} (deploy/kustomize/overlays/{name})."
    return f"No overlay mounts {directory}: {_ELSEWHERE}"


def _normal(path: str) -> str:
    return os.path.normpath(path).replace("/var/run/", "/run/", 1)  # a link on every distribution


def _in_use(surroundings: Surroundings) -> tuple[dict[str, str], bool]:
    """The directories of runtimes that keep containers now, each with a program; and whether dockerd runs."""
    proc, found, has_docker = surroundings.roots.proc, dict[str, str](), False
    try:
        pids = [name for name in os.listdir(proc) if name.isdecimal()][:MAX_PROCESSES]
    except OSError:
        return found, has_docker
    for pid in pids:
        try:
            name = read_bounded(f"{proc}/{pid}/comm", 64, source="proc/comm")
            if not name.startswith(_KEEPERS) and name != _ENGINE:
                continue
            if parse_ns_link(os.readlink(f"{proc}/{pid}/ns/mnt".encode()), "mnt") != surroundings.host.namespaces.mnt:
                continue
            has_docker |= name == _ENGINE
            told = directory_of(parse_cmdline(_arguments(proc, pid)))
        except (OSError, CollectorError):
            continue  # it ended, or is closed to us: what that costs is said elsewhere
        if told is not None:
            found.setdefault(*told)
    return found, has_docker


def _arguments(proc: str, pid: str) -> bytes:
    return read_bounded(f"{proc}/{pid}/cmdline", MAX_ARGUMENTS_BYTES, source="proc/cmdline")


def _runtimes(surroundings: Surroundings, used: dict[str, str]) -> Answer:
    extra = surroundings.config.containers.state_directories
    known = [
        *((each.runtime, each.path) for each in BUNDLE_DIRECTORIES if "*" not in each.path),
        *((each.runtime, each.path) for each in STATE_DIRECTORIES if "*" not in each.path),
        *(("configured", each) for each in extra),
    ]
    host = surroundings.roots.host
    found: dict[str, str] = {}  # by the real path: /var/run is a link
    for runtime, path in known:
        try:
            found.setdefault(resolve_directory(host, path), runtime)
        except CollectorError:
            continue
    seen = [_normal(path.removeprefix(host.rstrip("/"))) for path in found]
    missing = {each: program for each, program in used.items() if not any(_is_below(path, each) for path in seen)}
    if missing:
        directories = ", ".join(missing)
        mend = " ".join(dict.fromkeys(mend_of(each, program) for each, program in missing.items()))
        return Answer(
            AREA, "runtimes", Verdict.WARNING, f"used on the host, not seen here: {directories}", _COSTS, mend
        )
    if found:
        return ok(AREA, "runtimes", ", ".join(f"{runtime} ({path})" for path, runtime in found.items()))
    mend = f"Where a runtime is installed: in a pod mount hostPath /run, as the base does; elsewhere {_ELSEWHERE}"
    return Answer(AREA, "runtimes", Verdict.WARNING, "no state directory of a runtime is there", _COSTS, mend)


def _is_below(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")


def _docker(surroundings: Surroundings, *, has_docker: bool) -> Answer:
    docker = surroundings.config.containers.docker
    costs = "Containers of docker have no names, images and labels; detection works without."
    mend = "Mount the socket and name it in containers.docker.socket, or set containers.docker.enabled: false."
    if docker.enabled is False:
        return off(AREA, "Docker API", "off in the configuration")
    if docker.enabled == "auto" and not os.path.exists(docker.socket):
        if has_docker:
            found = f"dockerd runs on the host, and there is no socket at {docker.socket}"
            return Answer(AREA, "Docker API", Verdict.WARNING, found, costs, mend)
        return off(AREA, "Docker API", f"no socket at {docker.socket}")
    try:
        return ok(AREA, "Docker API", f"{docker.socket}: {surroundings.try_docker()}")
    except OSError as error:
        verdict = Verdict.FAILED if docker.enabled is True else Verdict.WARNING
        return Answer(AREA, "Docker API", verdict, f"{docker.socket}: {error.strerror or error}", costs, mend)
