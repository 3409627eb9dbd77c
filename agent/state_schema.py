"""The configuration of an alert's way on the node: what is masked in it, what is kept, and the sinks on the node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from agent.config_section import FORMAT, AbsolutePath, FormatName, Section, SeverityName

Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{2,64}$", title="2 to 64 letters, digits, _ and -")]
Pattern = Annotated[str, Meta(min_length=1, max_length=512)]


class StateConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The outbox: alerts wait here for the sinks, and stay as the node's history."""

    directory: Annotated[
        AbsolutePath | None,
        Meta(
            description="Where what outlives the agent is kept, for one agent alone: made with mode 0700, refused when "
            "it is a symlink or everybody may write to it. Where it cannot be made, alerts wait in memory, and a "
            "warning says so; `null` asks for that."
        ),
    ] = "/var/lib/hullwatch"
    max_bytes: Annotated[
        int,
        Meta(
            ge=1_048_576,
            le=1 << 40,
            description="Alerts that are kept, in bytes; the file is somewhat larger. When it is full, what every sink "
            "has goes first, then the lowest severity, its oldest first; those are counted as dropped.",
        ),
    ] = 268_435_456
    max_age_seconds: Annotated[
        float,
        Meta(
            ge=0, le=315_576_000, description="How long an alert is kept that every sink has. One that waits is kept."
        ),
    ] = 604_800.0


class RedactionConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Secrets in arguments and environment values are masked before an alert is kept or sent anywhere.

    What looks like a secret is listed on the page about redaction.
    """

    enabled: Annotated[bool, Meta(description="Whether anything is masked.")] = True
    names: Annotated[
        tuple[Word, ...],
        Meta(
            max_length=256,
            description="Words; an option or variable with one of them in its name has a secret value, like `token`.",
        ),
    ] = ()
    keep: Annotated[
        tuple[Word, ...],
        Meta(max_length=256, description="Whole names of options or variables whose values are no secrets."),
    ] = ()
    patterns: Annotated[
        tuple[Pattern, ...],
        Meta(
            max_length=64,
            description="Regular expressions (Python's) of secrets; the group `secret` is masked, or the whole match.",
        ),
    ] = ()


def refused_patterns(config: RedactionConfig) -> Iterator[tuple[int, str]]:
    """Each pattern that is none: its place in ``patterns``, and what is wrong with it."""
    for index, pattern in enumerate(config.patterns):
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            yield index, f"is {pattern!r}, which is no regular expression: {error}"
            continue
        if compiled.match("") is not None:
            yield index, f"is {pattern!r}, which matches the empty text"


class RateLimitConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Alerts of one rule about one container, so that none can bury the others. Critical ones always pass.

    What is beyond is counted, and told in one alert a minute.
    """

    enabled: Annotated[bool, Meta(description="Whether alerts are limited.")] = True
    burst: Annotated[int, Meta(ge=1, le=100_000, description="How many pass at once.")] = 100
    per_minute: Annotated[float, Meta(ge=0.1, le=1_000_000, description="How many pass in the long run.")] = 60.0


class FileConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Alerts in a file, one line each (mode 0600). Opened anew on SIGHUP, and when the file was moved."""

    path: Annotated[AbsolutePath | None, Meta(description="The file; without it there is none.")] = None
    format: Annotated[FormatName, Meta(description=FORMAT)] = "ecs"
    min_severity: Annotated[SeverityName, Meta(description="Alerts below this severity are not written.")] = "info"
    max_bytes: Annotated[
        int,
        Meta(
            ge=65_536, le=1 << 40, description="A file that would become larger is moved to `PATH.1`, that to `PATH.2`."
        ),
    ] = 104_857_600
    rotate_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=31_557_600,
            description="A new file begins each time that so many seconds are over, from 1970 UTC on; 86400: daily.",
        ),
    ] = 86_400
    keep: Annotated[int, Meta(ge=1, le=1000, description="How many files that were moved are kept.")] = 7


class JournaldConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Alerts in systemd's journal, with fields to select by: `journalctl -t hullwatch`."""

    enabled: Annotated[bool, Meta(description="Whether alerts are written there.")] = False
    socket: Annotated[AbsolutePath, Meta(description="The journal's socket, as the agent sees it.")] = (
        "/run/systemd/journal/socket"
    )
    format: Annotated[FormatName, Meta(description="The shape of the alert in the field HULLWATCH_ALERT.")] = "ecs"
    min_severity: Annotated[SeverityName, Meta(description="Alerts below this severity are not written.")] = "info"
