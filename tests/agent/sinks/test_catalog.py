from __future__ import annotations

from typing import get_args

import pytest

from agent.config_schema import Config, OutputConfig, StdoutConfig
from agent.config_section import FormatName
from agent.errors import ConfigError
from agent.formats.catalog import FORMATS
from agent.output_schema import ForwardConfig, HttpConfig, OtlpConfig, SyslogConfig
from agent.sinks.catalog import open_sinks
from detectors.base import Severity
from tests.agent import alerts


def test_opens_what_the_configuration_asks_for() -> None:
    (sink,) = open_sinks(Config(output=OutputConfig(stdout=StdoutConfig(min_severity="critical"))))
    assert sink.name == "stdout"
    assert sink.min_severity is Severity.CRITICAL


def test_opens_nothing_that_is_off() -> None:
    assert open_sinks(Config(output=OutputConfig(stdout=StdoutConfig(enabled=False)))) == ()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_one_line(name: str) -> None:
    assert b"\n" not in FORMATS[name](alerts.stored_whole())


def test_the_configuration_takes_every_format() -> None:
    assert set(get_args(FormatName)) == set(FORMATS)


def test_opens_every_kind_of_receiver() -> None:
    entries = (
        ForwardConfig(name="a", address="tcp://127.0.0.1:1"),
        HttpConfig(name="b", url="http://127.0.0.1:1"),
        OtlpConfig(name="c", url="http://127.0.0.1:1"),
        SyslogConfig(name="d", address="unix:///dev/log", min_severity="critical"),
        SyslogConfig(name="e", address="tcp://127.0.0.1:1"),
    )
    opened = open_sinks(Config(output=OutputConfig(stdout=StdoutConfig(enabled=False), sinks=entries)))
    assert [sink.name for sink in opened] == ["a", "b", "c", "d", "e"]
    assert opened[3].min_severity is Severity.CRITICAL
    assert all(sink.max_batch >= 1 for sink in opened)


def test_refuses_a_receiver_whose_key_cannot_be_read() -> None:
    entries = (
        HttpConfig(name="a", url="http://127.0.0.1:1"),
        ForwardConfig(name="siem", address="tcp://127.0.0.1:1", shared_key_file="/nowhere"),
    )
    with pytest.raises(ConfigError) as caught:
        open_sinks(Config(output=OutputConfig(sinks=entries)))
    assert str(caught.value) == ("output.sinks[1]: siem: /nowhere cannot be read: No such file or directory")
