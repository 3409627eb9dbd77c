"""The reference page of all detectors, in Markdown; made of their declarations and docstrings alone."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from agent.incidents import INCIDENT
from detectors.base import Detector
from detectors.catalog import DETECTORS

_INTRODUCTION = """\
# Detectors

<!-- Generated from detectors/*.py by `make docs`: do not edit. -->

Ids never change and are never reused. *Severity* is the usual one: a detector may find a case worse or milder. *Sensor*
is the weakest sensor tier that sees the act reliably. `hullwatch explain ID` prints a section of this page.
"""


def reference() -> str:
    """The whole page: a table, then a section for each detector."""
    detectors = sorted((*DETECTORS, INCIDENT), key=lambda each: each.id)
    lines = [_INTRODUCTION, *_table(detectors)]
    for detector in detectors:
        lines += ["", *_section(detector)]
    return "\n".join(lines) + "\n"


def description(detector: Detector) -> str:
    """The docstring of the detector's module: what happens, why it lets a container out, what it fires on."""
    return inspect.cleandoc(sys.modules[detector.check.__module__].__doc__ or "")


def _table(detectors: list[Detector]) -> Iterator[str]:
    yield "| id | name | family | severity | sensor | ATT&CK |"
    yield "|---|---|---|---|---|---|"
    for each in detectors:
        techniques = ", ".join(technique.id for technique in each.techniques)
        name = f"[{each.name}](#{_anchor(each)})"
        severity = each.severity.name.lower()
        yield f"| {each.id} | {name} | {each.family.value} | {severity} | {each.weakest.value} | {techniques} |"


def _anchor(detector: Detector) -> str:
    """As GitHub makes it of the heading."""
    return f"{detector.id} {detector.name}".lower().replace(" ", "-")


def _section(detector: Detector) -> Iterator[str]:
    yield f"## {detector.id} {detector.name}"
    yield ""
    yield (
        f"*{detector.family.value}, severity {detector.severity.name.lower()} ({int(detector.severity)}), "
        f"sensor {detector.weakest.value} or better*"
    )
    yield ""
    yield detector.summary
    yield ""
    yield description(detector)
    yield from _list("What to do", detector.advice)
    yield from _list("Who does this honestly, and how it is told apart", detector.benign)
    yield from _list("What it does not see", detector.misses)
    yield from _list(
        "ATT&CK", tuple(f"{each.id} {each.name} ({each.tactic_id} {each.tactic})" for each in detector.techniques)
    )
    yield from _list("References", tuple(_linked(each) for each in detector.references))


def _list(title: str, items: tuple[str, ...]) -> Iterator[str]:
    if items:
        yield ""
        yield f"**{title}**"
        yield ""
        yield from (f"- {each}" for each in items)


def _linked(reference_text: str) -> str:
    """A bare address becomes a link."""
    is_address = reference_text.startswith("https://") and " " not in reference_text
    return f"<{reference_text}>" if is_address else reference_text
