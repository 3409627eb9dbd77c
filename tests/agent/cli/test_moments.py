from __future__ import annotations

import pytest

from agent.cli.moments import clock, instant, moment_ns, second, span

NOW_NS = 1_763_700_000_000_000_000  # 2025-11-21T04:40:00Z
STAMP = "2025-11-21T04:40:00.123456789Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", -90),
        ("10m", -600),
        ("2h", -7200),
        ("1d", -86_400),
        ("1w", -604_800),
        ("2025-11-21T04:40:00", 0),
        ("2025-11-21T04:40:00Z", 0),
        ("2025-11-21T05:40:00+01:00", 0),
        ("2025-11-21 04:41", 60),
        ("2025-11-21", -16_800),
    ],
)
def test_parses(text: str, seconds: int) -> None:
    assert moment_ns(text, NOW_NS) == NOW_NS + seconds * 1_000_000_000


@pytest.mark.parametrize(
    "text", ["", "10", "m", "-10m", "10 m", "1y", "1.5h", "now", "2025-02-30", "9" * 30 + "s", "٣m"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a time ago"):
        moment_ns(text, NOW_NS)


def test_shows_timestamps() -> None:
    assert (clock(STAMP), second(STAMP), instant(STAMP)) == (
        "04:40:00.123",
        "2025-11-21 04:40:00",
        "11-21 04:40:00.123",
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (-5, "0s"), (59.9, "59s"), (61, "1m 1s"), (3600, "1h"), (90_061, "1d 1h")]
)
def test_shows_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
