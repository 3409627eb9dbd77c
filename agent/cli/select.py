"""Which container or process a person means: an id, the start of one, a name, or a pid. Pure.

As docker has it: a whole id, then a name, then at least three characters of an id. What fits more than one is not
guessed at: the candidates are listed. A number that is a pid and the start of an id too is ambiguous; ``pid:1234`` is
a pid.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.cli.output import Refused, short_id
from agent.state import NodeState
from agent.text import clipped
from collectors.facts import Container, Process

LEAST_PREFIX = 3
MAX_CANDIDATES = 20

Admits = Callable[[Container | None], bool]
"""Which containers may be meant (``Filter.admits``); asked with ``None`` of a process that is in none."""


def anything(_: Container | None) -> bool:
    """Every container and process may be meant."""
    return True


def choose(state: NodeState, wanted: str, admits: Admits = anything) -> Container | Process:
    """The one container or process that ``wanted`` stands for; raises ``Refused``."""
    text = wanted.removeprefix("pid:")
    process = _by_pid(state, text) if text.isascii() and text.isdigit() else None
    if process is not None and not admits(state.container_of(process)):
        process = None
    if text != wanted:
        if process is None:
            raise Refused(f"there is no process with the pid {clipped(text, 80)}")
        return process
    containers = matching(state, wanted, admits)
    if process is not None and containers:
        hint = f"write pid:{wanted}, or more of the container's id"
        raise Refused(f"{wanted} is a pid, and stands for a container too: {hint}", *_listed(containers))
    if process is not None:
        return process
    return _the_one(state, wanted, containers, admits)


def choose_container(state: NodeState, wanted: str, admits: Admits = anything) -> Container:
    """The one container that ``wanted`` stands for; raises ``Refused``."""
    return _the_one(state, wanted, matching(state, wanted, admits), admits)


def matching(state: NodeState, wanted: str, admits: Admits = anything) -> tuple[Container, ...]:
    """Every container that ``wanted`` may stand for: a whole id or a name goes before the start of an id."""
    containers = _sorted(state, admits)
    exact = tuple(each for each in containers if each.id == wanted)
    named = exact or tuple(each for each in containers if wanted in names(each))
    return named or tuple(each for each in containers if is_called(each, wanted))


def is_called(container: Container, wanted: str) -> bool:
    """``wanted`` is its id, the start of that, or one of its names."""
    if container.id == wanted or wanted in names(container):
        return True
    return len(wanted) >= LEAST_PREFIX and container.id.startswith(wanted)


def names(container: Container) -> tuple[str, ...]:
    """What the container may be called: the runtime's name, and ``[[namespace/]pod/]container`` of its pod."""
    known = [container.name.removeprefix("/")] if container.name else []
    pod = container.pod
    if pod is not None and not pod.is_sandbox and pod.container_name:
        inside = f"{pod.name}/{pod.container_name}"
        known += [pod.container_name, inside, f"{pod.namespace}/{inside}"]
    return tuple(known)


def display_name(container: Container) -> str:
    """The name for a column: of the pod and its container where there is a pod, else the runtime's."""
    pod = container.pod
    if pod is not None:
        return f"{pod.namespace}/{pod.name}" + (
            f"/{pod.container_name}" if pod.container_name and not pod.is_sandbox else ""
        )
    return (container.name or "").removeprefix("/") or "-"


def _by_pid(state: NodeState, text: str) -> Process | None:
    return next((each for each in state.processes() if str(each.key.pid) == text), None)


def _sorted(state: NodeState, admits: Admits) -> tuple[Container, ...]:
    return tuple(sorted(filter(admits, state.containers()), key=lambda each: each.id))


def _the_one(state: NodeState, wanted: str, containers: tuple[Container, ...], admits: Admits) -> Container:
    if len(containers) == 1:
        return containers[0]
    shown = clipped(wanted, 80)
    if containers:
        raise Refused(f"{shown} is ambiguous; it may be one of", *_listed(containers))
    known = _sorted(state, admits)
    if not known:
        why = (
            "none fits -n, --pod and --container" if tuple(state.containers()) else "no container is seen on this node"
        )
        raise Refused(f"there is no container {shown}: {why}")
    hint = f"the start of an id needs at least {LEAST_PREFIX} characters"
    raise Refused(f"there is no container {shown} ({hint}); these are there", *_listed(known))


def _listed(containers: tuple[Container, ...]) -> list[str]:
    lines = [
        f"  {short_id(each.id, no_trunc=False)}  {clipped(display_name(each), 80)}"
        for each in containers[:MAX_CANDIDATES]
    ]
    more = len(containers) - MAX_CANDIDATES
    return [*lines, f"  and {more} more"] if more > 0 else lines
