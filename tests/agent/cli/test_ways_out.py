from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from agent.cli.node import Look
from collectors.events import NodeSeen
from collectors.facts import Reach, Unknown
from collectors.node_facts import CgroupLayout, NodeFacts, Software
from tests.agent.cli.nodes import clean, invoke, look_at, sleeping
from tests.support import build

SOCKET = "/run/docker.sock"
OLD_RUNC = NodeFacts(
    software=(Software("runc", "1.1.11", "build info"),),
    docker=None,
    kubelet=None,
    files=(),
    sysctls=(),
    lsms=frozenset({"apparmor"}),
    lockdown="integrity",
    cgroups=CgroupLayout.V2,
)


def exposed() -> Look:
    """A container with the engine's socket beside an honest one, on a node with an old runc."""
    sources = (build.source("/s", SOCKET, (SOCKET, Reach.IS)),)
    return look_at(
        NodeSeen(build.NOW_NS, OLD_RUNC),
        *sleeping(1, sources=sources),
        *sleeping(2),
        unseen=("root of 3 is not known",),
    )


def test_lists_the_ways_of_one_container_the_easiest_first() -> None:
    result = invoke(exposed(), "ways-out", "web-1", "--no-trunc")
    assert result.exit_code == 0
    lines = result.stdout.split("\n")
    assert lines[0] == f"Container {build.container_id(1)}: web-1"
    assert lines[1].startswith(" 1  one step, gives root on host: ")
    assert f"socket {SOCKET}" in lines[1]
    assert lines[1].endswith("(HW-304)")
    assert lines[2].startswith("      how: ")
    assert lines[3] == "      seen by: HW-210"
    assert "CVE-2024-21626 in runc 1.1.11" in result.stdout
    assert result.stderr == "hullwatch: root of 3 is not known\n"


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_documents_hold_rules_steps_and_who_sees_it(form: str, read: object) -> None:
    assert callable(read)
    found = read(invoke(exposed(), "ways-out", "web-1", "-o", form).stdout)
    assert found["container"]["id"] == build.container_id(1)
    assert found["unknown"] == []
    first = found["ways"][0]
    assert (first["rank"], first["takes"], first["gives"]) == (1, "one step", "root on host")
    assert first["rule"] == {"id": "HW-304", "name": "runtime_socket_mounted"}
    last = found["ways"][-1]
    assert {"id": "HW-103", "name": "host_root_entered"} in last["seen_by"]


def test_a_disabled_rule_sees_nothing(tmp_path: Path) -> None:
    config = tmp_path / "hullwatch.yaml"
    config.write_text("detectors:\n  disabled: [HW-103]\n")
    result = invoke(exposed(), "ways-out", "web-1", "-o", "json", "--config", str(config))
    assert all(each["id"] != "HW-103" for way in json.loads(result.stdout)["ways"] for each in way["seen_by"])


def test_an_exception_hides_no_way(tmp_path: Path) -> None:
    config = tmp_path / "hullwatch.yaml"
    config.write_text("exceptions:\n- reason: wanted\n  rules: [HW-304]\n  container: web-1\n")
    assert f"socket {SOCKET}" in invoke(exposed(), "ways-out", "web-1", "--config", str(config)).stdout


def test_says_what_could_not_be_told() -> None:
    look = look_at(*sleeping(1, declared=Unknown("no_bundle"), sources=Unknown("no_bundle")))
    result = invoke(look, "ways-out", "web-1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "hullwatch: no way out is known: nothing was declared that opens one\n" in result.stderr
    assert "hullwatch: could not tell: HW-304: no_bundle\n" in result.stderr


def test_a_wide_list_has_a_line_for_each_way() -> None:
    lines = invoke(exposed(), "ways-out", "web-1", "-o", "wide", "--no-trunc").stdout.split("\n")
    assert lines[1].split() == ["#", "TAKES", "GIVES", "BY", "RULE", "DECLARED", "SEEN", "BY", "STEPS"]
    assert lines[2].startswith("1  one step")
    assert f"socket {SOCKET}" in lines[2]


def test_an_unknown_container_is_status_2() -> None:
    assert invoke(clean(), "ways-out", "nobody").exit_code == 2


def test_scan_ranks_the_ways_of_every_container_and_the_nodes_weaknesses() -> None:
    result = invoke(exposed(), "scan", "--exposure", "--no-trunc")
    assert result.exit_code == 1
    lines = result.stdout.split("\n")
    assert lines[0].split()[:3] == ["CONTAINER", "CALLED", "#"]
    assert lines[1].split()[:2] == [build.container_id(1), "web-1"]
    assert sum("CVE-2024-21626" in line for line in lines) == 1  # once for the node, not for each container
    assert "hullwatch: 2 containers: 3 ways out, 1 weaknesses of the node\n" in result.stderr


def test_scan_leaves_out_what_is_mild() -> None:
    result = invoke(exposed(), "scan", "--exposure", "--min-severity", "medium", "-o", "json")
    found = json.loads(result.stdout)
    assert [len(each["ways"]) for each in found["containers"]] == [1, 0]
    assert [each["rule"]["id"] for each in found["node"]] == ["HW-351"]
    assert invoke(clean(), "scan", "--exposure", "--min-severity", "low").exit_code == 0
