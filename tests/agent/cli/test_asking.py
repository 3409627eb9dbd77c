"""The commands that ask the running agent, on an agent that answers: what each shows, filters and refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.outbox import Query
from collectors.events import Exec, Exit, Seen
from collectors.facts import Pod
from tests.agent.cli.nodes import escaped, invoke, sleeping
from tests.support import build
from tests.support.answering import Answering, answering

POD = Pod("shop", "web-7f", "0f0f", "nginx", is_sandbox=False)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Answering]:
    """Two containers, the second in a pod; a process of the first is out."""
    events = (*sleeping(1), *sleeping(2, pod=POD), Seen(build.NOW_NS + 10**9, escaped()))
    with answering(tmp_path, *events) as running:
        yield running


def ask(agent: Answering, *arguments: str) -> str:
    result = invoke(None, *arguments, "--socket", agent.path)
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(agent: Answering, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ask(agent, *arguments, "-o", "jsonl").splitlines()]


def newest(agent: Answering, rule: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(agent.outbox.query(Query(rule=rule), 1)[0].document)
    return found


# alerts


def test_alerts_are_told_oldest_first_as_the_agent_wrote_them(agent: Answering) -> None:
    found = listed(agent, "alerts")
    assert [each["event"]["id"] for each in found] == sorted(each["event"]["id"] for each in found)
    assert found[-1] == json.loads(agent.outbox.query(Query(), 1)[0].document)


@pytest.mark.parametrize(
    ("filters", "rules"),
    [
        (("--rule", "103"), {"HW-103"}),
        (("--rule", "host_root_entered"), {"HW-103"}),
        (("-n", "shop"), {"HW-308"}),
        (("--pod", "web-7f"), {"HW-308"}),
        (("--container", "web-2"), {"HW-308"}),
        (("--container", build.container_id(2)[:12]), {"HW-308"}),
        (("--container", "web-7f/web-2"), {"HW-308"}),
        (("--container", "00"), set()),
        (("--min-severity", "critical", "--rule", "HW-308"), set()),
        (("--since", "2025-11-21T04:40:01", "--rule", "HW-308"), set()),
        (("--since", "2025-11-21", "--until", "2025-11-21T04:40:01"), {"HW-308"}),
        (("--since", "10m"), set()),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_filters_narrow_alerts_the_same_in_every_form(
    agent: Answering, filters: tuple[str, ...], rules: set[str]
) -> None:
    assert {each["rule"]["id"] for each in listed(agent, "alerts", *filters)} == rules
    assert {each["rule"]["id"] for each in json.loads(ask(agent, "alerts", *filters, "-o", "json"))} == rules
    table = ask(agent, "alerts", *filters)
    assert {line.split()[3] for line in table.splitlines()[1:]} == rules


def test_the_newest_are_shown_when_there_are_more(agent: Answering) -> None:
    result = invoke(None, "alerts", "--limit", "1", "-o", "jsonl", "--socket", agent.path)
    assert json.loads(result.stdout) == json.loads(agent.outbox.query(Query(), 1)[0].document)
    assert "these are the newest 1" in result.stderr


def test_following_goes_on_where_the_history_ends(agent: Answering) -> None:
    """Until the agent goes away, which is said and has a status of its own."""

    def go_on() -> None:
        while not agent.desk._followers:
            pass
        agent.feed(Seen(build.NOW_NS + 2 * 10**9, escaped(2, 4343)))
        while any(each._waiting for each in agent.desk._followers):
            pass
        agent.server.stop()

    thread = threading.Thread(target=go_on)
    thread.start()
    result = invoke(None, "alerts", "-f", "--rule", "HW-103", "--limit", "5", "--socket", agent.path)
    thread.join()
    assert [line.split()[7] for line in result.stdout.splitlines()[1:]] == ["4242", "4343"]
    assert result.exit_code == 3
    assert "went away" in result.stderr


# incidents


def test_an_incident_is_listed_and_told(agent: Answering) -> None:
    incident = newest(agent, "HW-103")["hullwatch"]["incident"]["id"]
    (only,) = listed(agent, "incidents")
    assert (only["id"], only["is_open"], only["severity"]) == (incident, True, 90)
    story = json.loads(ask(agent, "incidents", incident[:8], "-o", "json"))
    assert story["now"]["verdict"] == "out"
    assert [each["pid"] for each in story["now"]["wider"]] == [4242]
    assert [each["rule"]["id"] for each in story["alerts"]][:2] == ["HW-308", "HW-101"]
    root = story["processes"][0]
    assert (root["pid"], root["children"][0]["children"][0]["rules"][:2]) == (900, ["HW-101", "HW-103"])


def test_an_alerts_id_leads_to_its_incident(agent: Answering) -> None:
    alert = newest(agent, "HW-103")
    page = ask(agent, "incidents", alert["event"]["id"])
    assert page.startswith(f"Incident {alert['hullwatch']['incident']['id']}: critical, still open")
    assert "OUT: 1 process of this container is outside it" in page
    assert "└─ 4242 sh -c id  <- HW-101 HW-103" in page
    assert "(LIVES, outside)" in page


def test_a_child_that_is_out_with_its_parent_stands_below_it(agent: Answering) -> None:
    """No alert tells of it: it was born outside, and is counted with its parent."""
    child = escaped(1, 4300, parent_pid=4242, name=b"cat", arguments=b"cat\0/etc/shadow\0")
    agent.feed(Seen(build.NOW_NS + 2 * 10**9, child))
    page = ask(agent, "incidents", newest(agent, "HW-103")["event"]["id"])
    assert "        └─ 4300 cat /etc/shadow (LIVES, outside)" in page


def test_a_process_that_ended_is_no_longer_out(agent: Answering) -> None:
    agent.feed(Exit(build.NOW_NS + 3 * 10**9, build.key(4242)))
    page = ask(agent, "incidents", newest(agent, "HW-103")["event"]["id"])
    assert "CONTAINED: no live process of this container (1 process) is wider than it" in page
    assert "(ended)" in page


@pytest.mark.parametrize("wanted", ["ffffffffffff", "nobody", "019aa4b6-0000", "x" * 5000])
def test_an_unknown_id_is_refused_with_what_is_there(agent: Answering, wanted: str) -> None:
    result = invoke(None, "incidents", wanted, "--socket", agent.path)
    assert result.exit_code == 2
    assert "there is no incident or alert" in result.stderr
    assert newest(agent, "HW-103")["hullwatch"]["incident"]["id"] in result.stderr


def test_an_ambiguous_id_is_refused_with_the_candidates(agent: Answering) -> None:
    result = invoke(None, "incidents", "019aa4b6", "--socket", agent.path)
    assert result.exit_code == 2
    assert "ambiguous" in result.stderr
    assert newest(agent, "HW-103")["event"]["id"] in result.stderr


# explain, containers, events, status


def test_explain_tells_of_an_alert(agent: Answering) -> None:
    alert = newest(agent, "HW-103")
    page = ask(agent, "explain", alert["event"]["id"])
    for part in (
        "HW-103 host_root_entered, critical",
        "container: 000100010001 web-1",
        "process: 4242 sh -c id, uid 0",
        "started by: 4100 sleep infinity <- 900 bash",
        "root was: ",
        "certain: it is what the kernel holds",
        "OUT: 1 process",
        f"hullwatch incidents {alert['hullwatch']['incident']['id'][:8]}",
        "hullwatch inspect pid:4242",
    ):
        assert part in page
    assert page.index("OUT: 1 process") < page.index("WHAT IT MEANS")  # what a person wants first comes first


def test_explain_of_an_incident_says_who_tells_it(agent: Answering) -> None:
    incident = newest(agent, "HW-103")["hullwatch"]["incident"]["id"]
    result = invoke(None, "explain", incident, "--socket", agent.path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"hullwatch incidents {incident} tells it" in result.stderr


def test_explain_of_a_rule_asks_nobody() -> None:
    result = invoke(None, "explain", "HW-103", "--socket", "/nowhere")
    assert result.exit_code == 0


def test_explain_of_an_unknown_event_is_refused(agent: Answering) -> None:
    result = invoke(None, "explain", "019aa4b6-4500-7000-8000-ffffffffffff", "--socket", agent.path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no rule and no alert" in result.stderr


def test_containers_say_who_is_out(agent: Answering) -> None:
    found = listed(agent, "containers")
    assert [(each["container"]["id"], each["now"]["verdict"]) for each in found] == [
        (build.container_id(2), "contained"),
        (build.container_id(1), "out"),
    ]
    assert [each["given"] for each in found] == [["HW-308"], ["HW-308"]]
    assert "shop/web-7f/nginx" in ask(agent, "containers", "-n", "shop")
    assert invoke(None, "containers", "-n", "elsewhere", "--socket", agent.path).stdout == ""


def test_events_show_what_a_container_does_and_nobody_else(agent: Answering) -> None:
    first = build.first_process(1)

    def go_on() -> None:
        while not agent.watch._watchers:
            pass
        agent.feed(
            Exec(build.NOW_NS + 1, build.host_process(950)),
            Exec(build.NOW_NS + 2, build.process(5100, 2)),
            Exec(build.NOW_NS + 3, build.process(5000, parent_pid=first.key.pid, name=b"ls", arguments=b"ls\0-l\0")),
            Seen(
                build.NOW_NS + 4,
                build.process(
                    5000,
                    parent_pid=first.key.pid,
                    observed_ns=build.NOW_NS + 4,
                    confinement=build.confinement(uids=build.ids(1000)),
                ),
            ),
            Exit(build.NOW_NS + 5, build.key(5000)),
        )

    thread = threading.Thread(target=go_on)
    thread.start()
    found = listed(agent, "events", "web-1", "--limit", "3")
    thread.join()
    assert [(each["kind"], each["process"]["pid"]) for each in found] == [
        ("exec", 5000),
        ("change", 5000),
        ("exit", 5000),
    ]
    assert found[0]["process"]["command_line"] == "ls -l"
    assert found[1]["changed"][0]["aspect"] == "uids"
    assert {each["container"]["name"] for each in found} == {"web-1"}


def test_events_of_an_unknown_container_are_refused_with_those_that_are_there(agent: Answering) -> None:
    result = invoke(None, "events", "nobody", "--socket", agent.path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "web-1" in result.stderr


def test_nobody_watches_any_more_when_a_command_has_ended(agent: Answering) -> None:
    assert not agent.watch._watchers
    assert agent.watch.before(Exit(1, build.key(1))) is None


def test_status_fits_a_screen(agent: Answering) -> None:
    page = ask(agent, "status")
    assert len(page.splitlines()) <= 24
    assert "sensor      netlink (asked for: auto): the best that is ready" in page
    assert "losses      6 queue_full, 12 netlink overrun" in page


# no agent


@pytest.mark.parametrize("command", ["status", "alerts", "incidents", "containers", "events"])
def test_no_agent_is_said_and_has_its_status(command: str, tmp_path: Path) -> None:
    result = invoke(None, command, "--socket", str(tmp_path / "control.sock"))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no agent runs here: there is no socket" in result.stderr
    assert "hullwatch run starts one" in result.stderr


def test_what_is_no_socket_has_its_status(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("")
    assert invoke(None, "status", "--socket", str(tmp_path / "control.sock")).exit_code == 4


@pytest.mark.parametrize("text", ["yesterday", "10", "m", "2026-13-01", "-5m"])
def test_a_time_that_is_none_is_refused(agent: Answering, text: str) -> None:
    result = invoke(None, "alerts", "--since", text, "--socket", agent.path)
    assert result.exit_code == 2
    assert "wanted a time ago" in result.stderr
