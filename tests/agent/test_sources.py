"""Which sensor tier is taken, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from agent.assembly import assemble
from agent.config_schema import Config
from agent.errors import ConfigError
from agent.sources import SensorChoice, Sources
from collectors.connector.source import ConnectorSource
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import Denied, Unsupported
from collectors.events import Event
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


def choice(sensor: Sensor) -> SensorChoice:
    events: list[Event] = []
    config = Config(sensor=sensor)
    return Sources(config, assemble(config, events.append, watch_mounts=False), events.append).choose()


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
