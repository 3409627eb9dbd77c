"""Which sensor tier is taken, and what is said of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agent import sources
from agent.assembly import assemble
from agent.config_schema import Config, ContainersConfig, DockerConfig, WatchedObjectConfig
from agent.errors import ConfigError
from agent.inbox import Inbox
from agent.sources import SensorChoice, Sources
from collectors.births import Tracked
from collectors.connector.source import ConnectorSource
from collectors.containers.docker import DockerMetadata, SourceState
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import Denied, Unsupported
from collectors.events import AgentTrouble, Event, Seen, TroubleKind, Watched, WatchKind
from collectors.facts import ProcessKey, Unknown
from collectors.held_files import HeldFiles
from collectors.node.kubelet import STATIC_POD_PATHS, parse_kubelet
from collectors.node_facts import NodeFacts
from collectors.observer import Observer
from collectors.sweep import Sweep
from collectors.watched_objects import Pattern
from detectors.base import Tier

Sensor = Literal["auto", "ebpf", "netlink", "poll"]
NO_BTF = Unsupported("ebpf", "the kernel has no BTF")
NO_RIGHT = Denied("netlink", "EPERM")


def refuse(error: Exception) -> Callable[[object], None]:
    def raise_it(_: object) -> None:
        raise error

    return raise_it


def take(_: object) -> None:
    """It loads."""


def new_sources(config: Config, events: list[Event] | None = None) -> Sources:
    emit = ([] if events is None else events).append
    return Sources(config, assemble(config, emit, watch_mounts=False), emit)


def choice(sensor: Sensor) -> SensorChoice:
    return new_sources(Config(sensor=sensor)).choose()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EbpfSource, "open", take)
    monkeypatch.setattr(ConnectorSource, "open", take)


@pytest.fixture
def no_btf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EbpfSource, "open", refuse(NO_BTF))
    monkeypatch.setattr(ConnectorSource, "open", take)


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EbpfSource, "open", refuse(NO_BTF))
    monkeypatch.setattr(ConnectorSource, "open", refuse(NO_RIGHT))


@pytest.mark.usefixtures("loads")
def test_auto_takes_ebpf_where_it_loads() -> None:
    taken = choice("auto")
    assert taken.tier is Tier.EBPF
    assert "the best tier there is" in taken.reason


@pytest.mark.usefixtures("no_btf")
def test_auto_steps_down_to_netlink_and_says_why() -> None:
    assert choice("auto") == SensorChoice(Tier.NETLINK, "ebpf is not to be had here: ebpf: the kernel has no BTF")


@pytest.mark.usefixtures("nothing")
def test_auto_steps_down_to_polling_and_says_why_twice() -> None:
    assert choice("auto") == SensorChoice(
        Tier.POLL,
        "ebpf is not to be had here: ebpf: the kernel has no BTF; netlink is not to be had here: netlink: EPERM",
    )


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(("sensor", "tier"), [("ebpf", Tier.EBPF), ("netlink", Tier.NETLINK), ("poll", Tier.POLL)])
def test_takes_the_tier_that_is_asked_for(sensor: Sensor, tier: Tier) -> None:
    taken = choice(sensor)
    assert taken.tier is tier
    assert taken.reason.startswith("the configuration asks for it")


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("sensor", ["ebpf", "netlink"])
def test_refuses_to_step_down_from_a_tier_that_is_asked_for(sensor: Sensor) -> None:
    with pytest.raises(ConfigError, match=f"{sensor} is not to be had here"):
        choice(sensor)


def test_the_kubelets_static_pods_are_watched_and_follow_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel is asked to watch: read from a kubelet that the node is said to have, then from another."""
    monkeypatch.setattr(EbpfSource, "open", take)
    kubelet = parse_kubelet((b"kubelet", b"--pod-manifest-path=/srv/pods"), None)
    unread = Unknown("not_read: the test is about the kubelet")
    made = NodeFacts((), None, kubelet, (), (), unread, unread, unread)
    monkeypatch.setattr(sources, "read_node", lambda *_: made)
    used: list[tuple[str, ...]] = []

    def use(_: ObjectWatch, patterns: Iterable[Pattern]) -> None:
        used.append(tuple(each.path for each in patterns if each.kind is WatchKind.PERSISTENCE))

    monkeypatch.setattr(ObjectWatch, "use", use)
    found = new_sources(Config(sensor="ebpf"))
    found.choose()
    used.clear()
    found._refresh_node()
    assert used == [("/srv/pods", *STATIC_POD_PATHS)]
    made = replace(made, kubelet=parse_kubelet((b"kubelet", b"--pod-manifest-path=/opt/pods"), None))
    found._refresh_node()
    assert len(used) == 1  # not yet
    found._node_due = 0.0
    found._refresh_node()
    assert used[1:] == [("/opt/pods", *STATIC_POD_PATHS)]


def watching(config: Config) -> tuple[Sources, HeldFiles]:
    """Sources of an agent that stays, and what its sweep knows of watched files."""
    collectors = assemble(config, lambda _: None, watch_mounts=True)
    held_files = collectors.observer._held_files
    assert held_files is not None
    return Sources(config, collectors, lambda _: None), held_files


def test_below_ebpf_watched_files_are_known_before_the_first_sweep(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("")
    extra = WatchedObjectConfig(path=str(key), kind="secret")
    found, held_files = watching(Config(sensor="poll", watched_objects=(extra,)))
    assert held_files.files == {}
    found.choose()
    status = key.stat()
    ((watched,), *_) = (each for file, each in held_files.files.items() if file == (status.st_dev, status.st_ino))
    assert watched.watched == (Watched(str(key), WatchKind.SECRET),)


@pytest.mark.usefixtures("loads")
def test_in_ebpf_the_kernel_is_told_and_nobody_listens() -> None:
    found, held_files = watching(Config(sensor="ebpf"))
    found.choose()
    assert held_files.files == {}
    assert found._others == []


def test_a_crash_in_the_docker_source_is_counted_told_and_runs_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "FIRST_PAUSE_SECONDS", 0.01)
    ran: list[int] = []
    state = threading.Event()

    def crash_once(source: DockerMetadata) -> bool:
        ran.append(1)
        if len(ran) == 1:
            raise ZeroDivisionError("an error that nobody foresaw")
        state.set()
        source.stop()
        return False

    monkeypatch.setattr(DockerMetadata, "_has_socket", crash_once)
    monkeypatch.setattr(Sources, "_sweep", lambda _: None)
    docker = DockerConfig(enabled=True, socket=str(tmp_path / "none"))
    events: list[Event] = []
    found = new_sources(Config(sensor="poll", containers=ContainersConfig(docker=docker)), events)
    found.start()
    assert state.wait(10), "it was not run again"
    found.stop()
    assert found.health["docker"].failures == {"ZeroDivisionError: an error that nobody foresaw": 1}
    told = [each for each in events if isinstance(each, AgentTrouble)]
    assert [(each.kind, each.part) for each in told] == [(TroubleKind.SENSOR_LOST, "docker")]
    assert found.docker_status is not None
    assert found.docker_status.state is SourceState.STOPPED


@pytest.mark.parametrize(
    ("whose", "is_told"),
    [
        pytest.param({7: "a" * 64}, True, id="a-container"),
        pytest.param({7: None}, False, id="the-host"),
        pytest.param({}, False, id="gone"),
        pytest.param({7: "a" * 64, os.getpid(): "a" * 64}, False, id="the-agents-own-pod"),
        pytest.param({7: "b" * 64, os.getpid(): "a" * 64}, True, id="another-pod"),
    ],
)
def test_tells_of_a_container_that_asks_the_agent(
    whose: dict[int, str | None], *, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_: Observer, pid: int) -> Tracked | None:
        return Tracked(ProcessKey(pid, 1), None, whose[pid], None) if pid in whose else None

    monkeypatch.setattr(Observer, "observe", look)
    monkeypatch.setattr(Observer, "tracked", look)
    events: list[Event] = []
    new_sources(Config(sensor="poll"), events).asked_by(7)
    told = [(each.part, each.pid) for each in events if isinstance(each, AgentTrouble)]
    assert told == ([("control socket", 7)] if is_told else [])


def test_a_full_queue_holds_up_nobody_who_tells() -> None:
    """The observer tells under its lock: who asks for a sweep then must not want that lock."""

    def lost() -> None:
        running.request_sweep()

    inbox = Inbox(0, time.time_ns, lost)
    collectors = assemble(Config(), inbox.put, watch_mounts=False)
    running = Sources(Config(), collectors, inbox.put)
    looking = threading.Thread(target=lambda: collectors.observer.observe(os.getpid()), daemon=True)
    looking.start()
    looking.join(10)
    assert not looking.is_alive()
    assert inbox.dropped


def test_what_was_lost_is_told_in_the_next_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    running = new_sources(Config(), events)
    told: list[int] = []

    def sweep(swept: Sweep) -> None:
        swept.number += 1
        ourselves = running._collectors.observer.observe(os.getpid())
        told.append(sum(isinstance(each, Seen) and each.process.key.pid == os.getpid() for each in events))
        assert ourselves is not None
        if swept.number == 2:
            running.request_sweep()
        elif swept.number == 4:
            running.stop()
        running._sweep_wanted.set()

    monkeypatch.setattr(Sweep, "run", sweep)
    running._sweep()
    assert told == [1, 1, 2, 2]


def test_a_sweep_that_is_to_end_begins_no_other_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """``stop`` between the question and what follows it: its bell must not be taken for one that was heard."""
    running = new_sources(Config())

    class StoppedMeanwhile(threading.Event):
        def clear(self) -> None:
            running._stopping.set()
            self.set()
            super().clear()

    running._sweep_wanted = StoppedMeanwhile()
    monkeypatch.setattr(Sweep, "run", lambda _: pytest.fail("a pass"))
    running._sweep()
