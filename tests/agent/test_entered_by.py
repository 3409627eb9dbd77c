"""By which way a session came in, from the events of a whole session through the node's state to the detector."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.state import NodeState
from collectors.events import ContainerSeen, Event, Exec, Exit, Seen
from collectors.facts import Executable, FileId, Layer, Place, Process
from detectors.base import Finding, Tier
from detectors.shell_entered import DETECTOR
from tests.support import build

NOW = build.NOW_NS
RUNC = next(iter(build.host_baseline().runtime_binaries))


def program(path: bytes, file: FileId) -> Executable:
    return Executable(path, Place(file, build.HOST_ROOT_MOUNT), 0o100755, 0, 1, NOW, layer=Layer.FOREIGN)


SHIM = build.host_process(900, executable=program(b"/usr/bin/shim", FileId(build.HOST_DEVICE, 9)))
LOGIN = build.host_process(700, executable=program(b"/usr/bin/bash", FileId(build.HOST_DEVICE, 7)))
SESSION = build.process(tty=34816, parent_pid=950)


def runc(parent: Process) -> Process:
    return build.host_process(950, parent_pid=parent.key.pid, executable=program(b"/usr/bin/runc", RUNC))


def ways(*events: Event) -> list[object]:
    """What HW-229 tells of the way, on a node with a container under a shim, after these events."""
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=100, max_containers=10)
    told: list[object] = []
    for process in (SHIM, LOGIN):
        state.apply(Seen(NOW, process))
    state.apply(ContainerSeen(NOW, build.container()))
    state.apply(Exec(NOW, build.first_process()))
    for event in events:
        state.apply(event)
        if isinstance(event, DETECTOR.wants):
            found = [each for each in DETECTOR.check(event, state) if isinstance(each, Finding)]
            told += [dict(each.evidence)["entered_by"] for each in found]
    return told


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((Exec(NOW, runc(SHIM)), Exec(NOW, SESSION)), id="runc-seen"),
        pytest.param(
            (Exec(NOW, runc(SHIM)), Exit(NOW, runc(SHIM).key), Exec(NOW, replace(SESSION, parent_pid=900))),
            id="runc-gone-and-reparented",
        ),
        pytest.param((Seen(NOW, replace(SESSION, parent_pid=900)),), id="only-a-sweep"),
        pytest.param((Exec(NOW, SESSION),), id="runc-never-seen"),
    ],
)
def test_a_session_by_the_shim_is_the_engines(events: tuple[Event, ...]) -> None:
    assert ways(*events) == ["runtime_exec"]


def test_a_session_by_a_runtime_that_somebody_called_is_by_hand() -> None:
    assert ways(Exec(NOW, runc(LOGIN)), Exec(NOW, SESSION)) == ["runtime_by_hand"]
