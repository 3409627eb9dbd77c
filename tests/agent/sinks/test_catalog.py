from __future__ import annotations

from agent.config_schema import Config, OutputConfig, StdoutConfig
from agent.sinks.catalog import FORMATS, open_sinks
from detectors.base import Severity
from tests.agent import alerts


def test_opens_what_the_configuration_asks_for() -> None:
    (sink,) = open_sinks(Config(output=OutputConfig(stdout=StdoutConfig(min_severity="critical"))))
    assert sink.name == "stdout"
    process = alerts.escaped()
    assert not sink.write(alerts.alert(process, finding=alerts.drift(process, severity=Severity.HIGH)))


def test_every_format_gives_one_line() -> None:
    for encode in FORMATS.values():
        assert b"\n" not in encode(alerts.alert())
