from __future__ import annotations

import os

from collectors.facts import Process, Unknown
from detectors.base import Blind, Finding, Member
from detectors.shell_entered import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen, view_of

TTY = os.makedev(136, 0)


def session() -> Member:
    """The shell of ``docker exec -it``: it is its own entry."""
    task = build.process(tty=TTY, parent_pid=900)
    return build.member(task, entry=task)


def test_fires_when_a_session_has_a_terminal() -> None:
    member = session()
    shim = build.host_process(900, executable=build.executable(b"/usr/bin/containerd-shim-runc-v2"))
    view = view_of(member).put_parent(member.process, shim)
    assert run(DETECTOR, seen(member.process), view) == [
        Finding(
            "somebody entered the container at a terminal",
            build.container_id(),
            member.process.key,
            evidence=(
                ("program", b"/usr/bin/bash"),
                ("arguments", (b"bash",)),
                ("uid", "0"),
                ("sent_by", (b"/usr/bin/containerd-shim-runc-v2",)),
            ),
        )
    ]


def test_silent_when_there_is_no_terminal() -> None:
    task = build.process()
    assert judge(DETECTOR, build.member(task, entry=task)) == []


def test_silent_when_it_is_the_first_process_or_its_child() -> None:
    first: Process = build.first_process(tty=TTY)
    assert judge(DETECTOR, build.member(first, first=first)) == []
    assert judge(DETECTOR, build.member(build.process(tty=TTY))) == []


def test_silent_when_it_is_the_host_s() -> None:
    assert run(DETECTOR, seen(build.host_process(tty=TTY)), FakeView()) == []


def test_blind_when_container_or_entry_is_not_known() -> None:
    task = build.process(tty=TTY)
    nobody = FakeView(members={task.key: Unknown("no container")})
    assert run(DETECTOR, seen(task), nobody) == [Blind("no container", task.key)]
    assert judge(DETECTOR, build.member(task, entry=Unknown("not seen"))) == [Blind("entry: not seen", task.key)]
