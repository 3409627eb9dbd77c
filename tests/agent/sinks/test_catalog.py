from __future__ import annotations

from typing import get_args

import pytest

from agent.config_schema import Config, FormatName, OutputConfig, StdoutConfig
from agent.formats.catalog import FORMATS
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
