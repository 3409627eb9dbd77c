from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.entries import Way, is_declared_command, way_in
from collectors.facts import Pod
from collectors.pod_facts import PodCommand, PodDetails
from tests.support import build

UID = "11111111-2222-4333-8444-555555555555"
COMMANDS = (
    PodCommand("cart", "livenessProbe", ("/bin/check", "-q")),
    PodCommand("cart", "readinessProbe", ("ready.sh",)),
    PodCommand("sidecar", "preStop", ("drain",)),
)
POD = build.container(
    runtime="containerd",
    pod=Pod("shop", "cart", UID, "cart", is_sandbox=False),
    pod_uid=UID,
    pod_details=PodDetails("shop", "cart", UID, "node-1", commands=COMMANDS),
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (b"/bin/check\0-q\0", True),
        (b"/bin/sh\0/bin/check\0-q\0", True),
        (b"/bin/sh\0-e\0/bin/check\0-q\0", True),
        (b"/bin/sh\0/usr/local/bin/ready.sh\0", True),
        (b"ready.sh\0", True),
        (b"/bin/check\0", False),
        (b"/bin/check\0-q\0-x\0", False),
        (b"/tmp/check\0-q\0", False),
        (b"/tmp/ready.sh\0", False),
        (b"a\0b\0c\0/bin/check\0-q\0", False),
        (b"drain\0", False),
        (b"", False),
        (b"\xff\xfe\0", False),
    ],
)
def test_knows_the_commands_that_the_pod_declares(arguments: bytes, *, expected: bool) -> None:
    assert is_declared_command(POD, arguments) is expected


def test_no_command_is_declared_where_nobody_was_asked() -> None:
    assert not is_declared_command(replace(POD, pod_details=None), b"/bin/check\0-q\0")


def test_tells_the_ways_apart() -> None:
    probe = build.process(arguments=b"/bin/check\0-q\0")
    other = build.process(arguments=b"cat\0/etc/passwd\0")
    terminal = build.process(arguments=b"/bin/check\0-q\0", tty=34816)
    shim = build.host_process(800)
    assert way_in(POD, probe, senders=(shim,), shim=shim) is Way.POD_PROBE
    assert way_in(POD, other, senders=(shim,), shim=shim) is Way.POD_EXEC_OR_PROBE
    assert way_in(POD, terminal, senders=(shim,), shim=shim) is Way.POD_EXEC
    assert way_in(build.container(), terminal, senders=(), shim=None) is Way.RUNTIME_EXEC


def test_a_monitor_of_its_own_is_no_hand_where_the_runtime_has_one_for_each_session() -> None:
    session = build.process(tty=34816, parent_pid=900)
    conmon = build.host_process(900, executable=build.executable(b"/usr/bin/conmon"))
    other = build.host_process(800, executable=build.executable(b"/usr/bin/other"))
    assert way_in(replace(POD, runtime="cri-o"), session, senders=(conmon,), shim=other) is Way.POD_EXEC
    assert way_in(POD, session, senders=(conmon,), shim=other) is Way.RUNTIME_BY_HAND
