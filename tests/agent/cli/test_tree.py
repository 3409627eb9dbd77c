from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agent.cli.node import Look
from collectors.events import Event, Seen
from collectors.facts import Process, Unknown
from tests.agent.cli.nodes import broken_out, escaped, invoke, look_at, sleeping
from tests.support import build


def seen(*processes: Process) -> tuple[Event, ...]:
    return tuple(Seen(build.NOW_NS, each) for each in processes)


def shell(pid: int, parent_pid: int = build.first_pid(), **facts: Any) -> Process:
    return build.process(pid, parent_pid=parent_pid, **facts)


def pids(look: Look, wanted: str) -> list[tuple[int, int]]:
    found = json.loads(invoke(look, "tree", wanted, "-o", "json").stdout)
    return [(each["depth"], each["pid"]) for each in found]


def test_draws_ancestors_descendants_and_what_changed_between() -> None:
    result = invoke(broken_out(), "tree", "web-1")
    assert result.exit_code == 0
    assert result.stdout == (
        "PID   USER  CONTAINER  TREE\n"
        "900   0     -          bash\n"
        "                       │ narrower: mnt,pid,net,ipc,uts,cgroup namespaces; capabilities -27\n"
        "                       │   (permitted,effective,bounding); root; seccomp filter (1); label\n"
        "                       │   docker-default (enforce); cgroup\n"
        "4100  0     web-1      └─ sleep infinity\n"
        "                          │ WIDER: the host's mnt namespace; capabilities +27\n"
        "                          │   (permitted,effective,bounding); the host's root; cwd in the host's\n"
        "                          │   root; seccomp disabled\n"
        "4242  0     web-1         └─ sh -c id\n"
    )
    assert result.stderr == "hullwatch: root of 3 is not known\n"


def test_what_got_wider_is_red() -> None:
    result = invoke(broken_out(), "tree", "4242", "--color", "always")
    assert "\x1b[1;31mWIDER: the host's mnt namespace;" in result.stdout
    assert "\x1b[1msh -c id\x1b[0m" in result.stdout


def test_a_process_has_its_line_of_ancestors_and_all_below_it() -> None:
    look = look_at(*sleeping(1), *seen(shell(4242), shell(4243, 4242), shell(4244, 4243), shell(4245)))
    assert pids(look, "4242") == [(0, 900), (1, 4100), (2, 4242), (3, 4243), (4, 4244)]
    assert pids(look, "web-1") == [(0, 900), (1, 4100), (2, 4242), (3, 4243), (4, 4244), (2, 4245)]


def test_siblings_are_joined_by_a_line() -> None:
    look = look_at(*sleeping(1), *seen(shell(4242), shell(4243, 4242), shell(4244)))
    lines = [line[23:] for line in invoke(look, "tree", "web-1").stdout.split("\n") if "bash" in line]
    assert lines == ["bash", "   ├─ bash", "   │  └─ bash", "   └─ bash"]


def test_who_was_taken_over_by_the_host_is_still_the_containers() -> None:
    orphan = replace(escaped(), parent_pid=900)
    look = look_at(*sleeping(1), *seen(orphan))
    result = invoke(look, "tree", "web-1")
    assert pids(look, "web-1") == [(0, 900), (1, 4100), (1, 4242)]
    assert "WIDER than first: the host's mnt namespace; capabilities +27" in result.stdout


def test_a_thread_hangs_below_its_process() -> None:
    leader = shell(4242)
    look = look_at(*sleeping(1), *seen(leader, build.thread(leader, 4250, escaped().confinement)))
    assert pids(look, "4242")[-1] == (3, 4250)
    assert "4242/4250 " in invoke(look, "tree", "4242").stdout


def test_what_is_not_known_is_said_of_containers_alone() -> None:
    blind = replace(build.confinement(), seccomp=Unknown("denied: proc/status"))
    result = invoke(look_at(*sleeping(1), *seen(shell(4242, confinement=blind))), "tree", "4242")
    assert "│ not known: seccomp\n" in result.stdout
    on_host = build.host_process(901, parent_pid=900, confinement=build.host_confinement(seccomp=Unknown("denied: x")))
    assert "not known" not in invoke(look_at(*seen(on_host)), "tree", "901").stdout


def test_a_chain_without_end_is_cut_and_counted() -> None:
    chain = [shell(5000 + index, 4999 + index if index else build.first_pid()) for index in range(200)]
    result = invoke(look_at(*sleeping(1), *seen(*chain)), "tree", "web-1")
    assert len([line for line in result.stdout.split("\n") if "bash" in line]) == 40
    assert "hullwatch: 161 processes lie deeper than is drawn\n" in result.stderr


def test_parents_that_are_each_others_children_end() -> None:
    look = look_at(*seen(shell(4242, 4243), shell(4243, 4242)))
    assert invoke(look, "tree", "4242").exit_code == 0


def test_a_container_without_processes_is_said() -> None:
    result = invoke(look_at(sleeping(1)[0]), "tree", "web-1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "hullwatch: no process of that container was seen\n"


def test_lists_the_candidates_of_an_ambiguous_id() -> None:
    result = invoke(look_at(*sleeping(1, name=None), *sleeping(1 << 4, name=None)), "tree", "00")
    assert result.exit_code == 2
    assert "hullwatch:   000100010001  -\nhullwatch:   001000100010  -\n" in result.stderr


def test_the_document_names_what_was_and_what_is() -> None:
    found = json.loads(invoke(broken_out(), "tree", "4242", "-o", "json").stdout)[-1]
    assert (found["parent"], found["container"]["name"]) == (4100, "web-1")
    assert found["change"]["wider"][0] == {
        "aspect": "mnt_namespace",
        "dimension": "namespaces",
        "was": str(build.mnt_namespace()),
        "now": str(build.HOST_MNT),
    }
    assert found["change"]["narrower"] == []
