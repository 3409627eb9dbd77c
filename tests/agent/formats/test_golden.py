"""What each format makes of the same alerts, whole. ``HULLWATCH_WRITE_GOLDEN=1`` writes the files anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.formats.catalog import FORMATS, RENDERINGS, record_of
from agent.stored_alert import stored
from tests.agent import alerts

GOLDEN = Path(__file__).with_name("golden")
SAMPLES = {name: stored(alert) for name, alert in alerts.samples().items()}


@pytest.mark.parametrize("format_name", RENDERINGS)
def test_renders_the_same_alerts_as_before(format_name: str) -> None:
    rendered = {name: record_of(alert, format_name) for name, alert in SAMPLES.items()}
    file = GOLDEN / f"{format_name}.json"
    text = json.dumps(rendered, indent=2, ensure_ascii=True) + "\n"
    if "HULLWATCH_WRITE_GOLDEN" in os.environ:
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_line_holds_what_the_record_holds(format_name: str, name: str) -> None:
    line = FORMATS[format_name](SAMPLES[name])
    assert json.loads(line) == record_of(SAMPLES[name], format_name)
    assert line.isascii() or not any(each in line for each in (b"\x1b", b"\n", b"\x7f"))


def test_the_native_line_is_the_stored_one() -> None:
    assert FORMATS["ecs"](SAMPLES["hostile"]) is SAMPLES["hostile"].document
