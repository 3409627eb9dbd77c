from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from agent.cli import agent_link, node
from agent.cli.output import Refused
from agent.config_schema import Config, ContainersConfig, DockerConfig, RootsConfig
from agent.control_schema import ControlConfig
from agent.pipeline import DetectorCounts
from collectors.events import Seen
from collectors.facts import ProcessKey, Unknown
from tests.agent.cli.nodes import escaped, sleeping
from tests.support import build
from tests.support.answering import answering

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="looks at this node, which needs root")


def test_says_which_facts_are_not_known_and_of_how_many() -> None:
    process = build.process()
    confinement = replace(
        process.confinement,
        namespaces=replace(process.confinement.namespaces, net=Unknown("denied: proc/ns")),
        root=Unknown("denied: proc/root"),
        seccomp=Unknown("unsupported: proc/status"),
    )
    blurred = replace(process, confinement=confinement)
    assert list(node.unknown_facts([process, blurred, blurred])) == [
        "not known of 2 processes (denied): net namespace, root",
        "not known of 2 processes (unsupported): seccomp",
    ]


def test_kernel_threads_have_nothing_to_know() -> None:
    thread = replace(build.process(), is_kernel_thread=True)
    unknown = replace(thread, confinement=replace(thread.confinement, root=Unknown("denied: proc/root")))
    assert list(node.unknown_facts([unknown])) == []


def test_says_what_detectors_could_not_tell_by_reason() -> None:
    counts = {
        "HW-101": DetectorCounts(blind={"denied: proc/ns": 2}),
        "HW-103": DetectorCounts(blind={"denied: proc/ns": 1}, failures={"KeyError: 'x'": 3}),
    }
    assert list(node.undecided(counts)) == [
        "HW-103 failed 3 times: KeyError: 'x'",
        "could not tell: HW-101 (2), HW-103 (1): denied: proc/ns",
    ]


def test_no_file_is_the_defaults() -> None:
    assert node.read(None) == Config()


@root_only
def test_looks_at_this_node() -> None:
    snapshot = node.look_here(Config(), True)  # noqa: FBT003 (a ``Look``)
    own = next(each for each in snapshot.state.processes() if each.key.pid == os.getpid())
    assert own.key == ProcessKey(os.getpid(), own.key.start_ticks)
    assert isinstance(snapshot.state.mounts(_host_mnt(snapshot)), tuple | Unknown)
    assert not any("failed" in line for line in snapshot.unseen)


def _host_mnt(snapshot: node.Snapshot) -> int:
    found = snapshot.state.host.namespaces.mnt
    return found if isinstance(found, int) else 0


@root_only
def test_a_node_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="this node can't be looked at"):
        node.look_here(Config(roots=RootsConfig(proc=str(tmp_path / "proc"))), False)  # noqa: FBT003 (a ``Look``)


@root_only
def test_a_dead_docker_socket_costs_names_and_nothing_else(tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)  # and nobody listens
    config = Config(containers=ContainersConfig(docker=DockerConfig(socket=path)))
    snapshot = node.look_here(config, False)  # noqa: FBT003 (a ``Look``)
    assert any(line.startswith("names of Docker's containers are not known: ") for line in snapshot.unseen)
    assert list(snapshot.state.processes())


def test_the_agent_that_runs_answers_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(tmp_path, *sleeping(1), *sleeping(2)) as agent:
        snapshot = node.look(Config(control=ControlConfig(path=agent.path)), False)  # noqa: FBT003 (a ``Look``)
    assert snapshot.state.counts() == agent.state.counts()
    assert capsys.readouterr().err == "hullwatch: the running agent answers (hullwatch 0.1.0, sensor netlink)\n"


def test_what_cannot_be_asked_is_said_and_looked_past(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "control.sock").write_text("no socket")
    assert agent_link.picture(Config(control=ControlConfig(path=str(tmp_path / "control.sock")))) is None
    assert "is no socket: this is a look of its own" in capsys.readouterr().err
    assert agent_link.picture(Config(control=ControlConfig(enabled=False))) is None
    assert "no agent answers" in capsys.readouterr().err


def test_who_may_ask_and_not_look_has_the_agents_memory_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(tmp_path, *sleeping(1), Seen(build.NOW_NS, escaped())) as agent:
        state = agent_link.picture(Config(control=ControlConfig(path=agent.path)))
        monkeypatch.setattr(agent_link, "picture", lambda _: state)
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
        snapshot = node.look(Config(), True)  # noqa: FBT003 (a ``Look``)
    assert {"HW-101", "HW-103"} <= {each.detector.id for each in snapshot.alerts}
    assert snapshot.unseen[0].startswith("judged by what the agent remembers alone")
