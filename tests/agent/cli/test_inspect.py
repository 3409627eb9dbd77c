from __future__ import annotations

import json
from dataclasses import replace

from collectors.events import ContainerSeen, MountTable, Seen
from collectors.facts import Unknown
from tests.agent.cli.nodes import broken_out, clean, escaped, invoke, look_at, sleeping
from tests.support import build


def row(text: str, aspect: str) -> str:
    return next(line for line in text.split("\n") if line.startswith(f"{aspect} "))


def test_sets_the_declared_beside_the_observed() -> None:
    result = invoke(clean(), "inspect", "web-1")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        f"Container {build.container_id(1)}: web-1 (docker, image debian:12)\nFirst process 4100: sleep infinity\n"
    )
    assert row(result.stdout, "mnt_namespace").split() == ["mnt_namespace", "its", "own", "4026532100"]
    assert row(result.stdout, "user_namespace").split("  ")[-1] == "4026531837 (the host's)"
    assert "WIDER" not in result.stdout


def test_marks_what_is_wider_than_the_first_process() -> None:
    result = invoke(broken_out(), "inspect", "4242", "--no-trunc")
    assert row(result.stdout, "mnt_namespace").endswith("WIDER")
    assert row(result.stdout, "root").endswith("WIDER")
    assert " WIDER by DAC_READ_SEARCH " in row(result.stdout, "effective_capabilities")
    assert "HW-103" in result.stdout
    assert "every mount is the host's" in result.stdout


def test_marks_a_first_process_that_is_wider_than_declared() -> None:
    first = escaped(pid=build.first_pid())
    events = (ContainerSeen(build.NOW_NS, build.container(1)), Seen(build.NOW_NS, first))
    result = invoke(look_at(*events), "inspect", "web-1", "-o", "json")
    relations = {each["aspect"]: each["relation"] for each in json.loads(result.stdout)["aspects"]}
    assert relations["mnt_namespace"] == "wider"
    assert relations["net_namespace"] == "equal"
    assert relations["seccomp"] == "wider"


def test_lists_the_mounts_that_lead_to_the_host() -> None:
    found = json.loads(invoke(clean(), "inspect", "web-1", "-o", "json").stdout)
    assert found["host_mounts"] == [
        {
            "point": "/etc/hosts",
            "read_only": False,
            "type": "ext4",
            "source": "/dev/mapper/vg-root",
            "root": f"/var/lib/docker/containers/{build.container_id(1)}/hosts",
        }
    ]


def test_a_file_system_that_the_host_has_mounted_too_leads_there() -> None:
    host = MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(900), build.host_mount_table())
    found = json.loads(invoke(look_at(host, *sleeping(1)), "inspect", "web-1", "-o", "json").stdout)
    assert [each["point"] for each in found["host_mounts"]] == ["/etc/hosts", "/sys", "/sys/fs/cgroup"]


def test_shows_a_container_without_a_bundle() -> None:
    events = sleeping(1, declared=Unknown("no_bundle"))
    result = invoke(look_at(*events), "inspect", "web-1")
    assert result.exit_code == 0
    assert "What was declared is not known: no_bundle\n" in result.stdout
    assert row(result.stdout, "mnt_namespace").split() == ["mnt_namespace", "?", "4026532100", "?"]


def test_shows_a_container_whose_first_process_was_not_seen() -> None:
    result = invoke(look_at(ContainerSeen(build.NOW_NS, build.container(1))), "inspect", "web-1")
    assert result.exit_code == 0
    assert "Its first process was not seen.\n" in result.stdout


def test_shows_a_process_of_the_host() -> None:
    result = invoke(clean(), "inspect", "900")
    assert result.exit_code == 0
    assert "It belongs to no container.\n" in result.stdout
    assert row(result.stdout, "mnt_namespace").split(maxsplit=1)[1] == f"{build.HOST_MNT} (the host's)"


def test_what_is_not_known_is_not_called_equal() -> None:
    process = build.process()
    process = replace(process, confinement=replace(process.confinement, root=Unknown("denied: proc/root")))
    result = invoke(look_at(*sleeping(1), Seen(build.NOW_NS, process)), "inspect", "4242")
    assert row(result.stdout, "root").split()[-4:] == ["unknown:", "denied:", "proc/root", "unknown"]


def test_refuses_an_ambiguous_id_and_lists_the_candidates() -> None:
    result = invoke(clean(), "inspect", "000")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "hullwatch: 000 is ambiguous; it may be one of\n"
        "hullwatch:   000100010001  web-1\n"
        "hullwatch:   000200020002  web-2\n"
    )
