"""The configurations of ``docs/cookbook.md`` are ones that the agent takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from agent.config import parse_config
from agent.output_schema import AnySinkConfig

COOKBOOK = (Path(__file__).resolve().parents[2] / "docs" / "cookbook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", COOKBOOK, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_agent_takes_the_configuration(block: str) -> None:
    config = parse_config(block.encode(), "cookbook.md", frozenset())
    assert config.output.sinks


def test_every_kind_of_sink_is_shown() -> None:
    shown = {type(sink) for block in BLOCKS for sink in parse_config(block.encode(), "", frozenset()).output.sinks}
    assert shown == set(get_args(AnySinkConfig))


@pytest.mark.parametrize(
    "receiver",
    [
        "fluent-bit",
        "fluentd",
        "Vector",
        "OpenTelemetry collector",
        "Elastic",
        "Loki",
        "Splunk",
        "rsyslog",
        "falcosidekick",
    ],
)
def test_has_a_chapter_for(receiver: str) -> None:
    assert f"\n## {receiver}\n" in COOKBOOK
