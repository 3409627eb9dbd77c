from __future__ import annotations

import json
from dataclasses import replace

from collectors.events import Seen
from collectors.facts import Unknown
from tests.agent.cli.nodes import broken_out, clean, escaped, invoke, look_at, sleeping
from tests.support import build


def test_lists_the_processes_of_containers() -> None:
    result = invoke(clean(), "ps")
    assert result.exit_code == 0
    assert result.stdout == (
        "CONTAINER     NAME   PID   USER  HOST       CAPS  SECCOMP     COMMAND\n"
        "000100010001  web-1  4100  0     user,time  14    filter (1)  sleep infinity\n"
        "000200020002  web-2  4200  0     user,time  14    filter (1)  sleep infinity\n"
    )


def test_shows_what_is_the_hosts_and_was_not_given() -> None:
    result = invoke(broken_out(), "ps", "--no-trunc", "web-1")
    line = next(line for line in result.stdout.split("\n") if " 4242 " in line)
    assert line.split()[3:6] == ["0", "root,mnt!,user,time", "all"]
    assert " off " in line
    assert result.stderr == "hullwatch: root of 3 is not known\n"


def test_paints_it_red() -> None:
    result = invoke(broken_out(), "ps", "--color", "always")
    assert "\x1b[1;31mroot\x1b[0m,\x1b[1;31mmnt!\x1b[0m,user,time" in result.stdout


def test_no_color_is_heeded_by_auto_alone() -> None:
    assert "\x1b" not in invoke(broken_out(), "ps", env={"NO_COLOR": "1"}).stdout
    assert "\x1b" in invoke(broken_out(), "ps", "--color", "always", env={"NO_COLOR": "1"}).stdout


def test_a_namespace_that_is_not_known_is_not_passed_over() -> None:
    process = build.process()
    namespaces = replace(process.confinement.namespaces, net=Unknown("denied: proc/ns"))
    process = replace(process, confinement=replace(process.confinement, namespaces=namespaces))
    result = invoke(look_at(*sleeping(1), Seen(build.NOW_NS, process)), "ps")
    assert "user,time,net?" in result.stdout


def test_shows_a_thread_with_its_process() -> None:
    leader = build.process(4242)
    thread = build.thread(leader, 4243, escaped().confinement)
    result = invoke(look_at(*sleeping(1), Seen(build.NOW_NS, leader), Seen(build.NOW_NS, thread)), "ps")
    assert " 4242/4243 " in result.stdout


def test_filters_by_container() -> None:
    assert [each["pid"] for each in json.loads(invoke(clean(), "ps", "web-2", "-o", "json").stdout)] == [4200]
    assert len(json.loads(invoke(clean(), "ps", "web-2", "0001", "-o", "json").stdout)) == 2


def test_refuses_a_container_that_is_not_there() -> None:
    result = invoke(clean(), "ps", "web-3")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("hullwatch: there is no container web-3")


def test_json_says_what_the_table_says() -> None:
    found = {each["pid"]: each for each in json.loads(invoke(broken_out(), "ps", "-o", "json").stdout)}
    assert found[4242]["host_namespaces"] == ["mnt", "user", "time"]
    assert found[4242]["host_namespaces_beyond_first"] == ["mnt"]
    assert found[4242]["root_is_host"] is True
    assert found[4242]["container"]["name"] == "web-1"
    assert found[4100]["host_namespaces_beyond_first"] == []


def test_a_node_without_containers_is_said_on_stderr() -> None:
    result = invoke(look_at(), "ps")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "hullwatch: no container runs on this node\n"
    assert invoke(look_at(), "ps", "-o", "json").stdout == "[]\n"
