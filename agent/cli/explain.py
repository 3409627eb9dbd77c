"""``hullwatch explain``: one rule, or one alert, for the person who was woken by it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from agent.cli.agent_link import Agent, agent_options
from agent.cli.output import Output, Refused, output_options, paragraph
from agent.cli.rules import of_detector, of_operator
from agent.detector_reference import description
from agent.incidents import INCIDENT
from agent.text import clipped
from detectors.base import Detector
from detectors.catalog import DETECTORS

if TYPE_CHECKING:
    from agent.rules_schema import RuleConfig

WIDEST = 100


@click.command()
@click.argument("wanted", metavar="RULE|EVENT")
@agent_options
@output_options
def explain(agent: Agent, wanted: str, output: Output) -> None:
    """Say what a rule means, and what to do when it fires; or what one alert means.

    RULE is an id (HW-103, or just 103) or a name (host_root_entered). EVENT is the id of an alert (event.id), or the
    start of one: then what was seen, how it is judged, whether the container is contained now, and what to do next;
    that asks the running agent.
    """
    own = of_operator(agent.config_path)
    detector = known(wanted, own)
    if detector is None:
        from agent.cli import explain_alert

        if explain_alert.may_be_meant(wanted):
            explain_alert.show(agent, wanted, output)
            return
        detector = find(wanted)  # which says what is near
    written = own.get(detector)
    means = description(detector) if written is None else in_words(written)
    if output.is_table:
        output.text(page(detector, means, width=min(output.width or WIDEST, WIDEST)))
    else:
        output.document({**of_detector(detector, written), "description": means})


def in_words(rule: RuleConfig) -> str:
    """What an operator's rule fires on, as a docstring of a detector says it."""
    whose = {"containers": "of containers", "host": "of the host itself", "all": "of containers and of the host"}
    once = f"\n\nTold once for each: {', '.join(rule.once_per)}." if rule.once_per else ""
    return f"Fires on: events {', '.join(rule.events)} {whose[rule.scope]} of which this is true: {rule.when}{once}"


def known(wanted: str, own: Iterable[Detector] = ()) -> Detector | None:
    """The detector of that id or name, ``own`` among them; ``None`` where there is none."""
    letters = _letters(wanted)
    for detector in (*DETECTORS, INCIDENT, *own):
        if letters in {_letters(each) for each in (detector.id, detector.id.removeprefix("HW-"), detector.name)}:
            return detector
    return None


def find(wanted: str) -> Detector:
    """The detector of that id or name; raises ``Refused``, with those that are near."""
    detector = known(wanted)
    if detector is not None:
        return detector
    raise Refused(f"there is no rule {clipped(wanted, 80)}; {near(wanted)}")


def _letters(text: str) -> str:
    return "".join(each for each in text.lower() if each.isalnum())


def near(wanted: str) -> str:
    """The rules that a wrong id or name may have meant."""
    known = {spelling: each for each in DETECTORS for spelling in (each.id, each.id.removeprefix("HW-"), each.name)}
    lowered = {spelling.lower(): each for spelling, each in known.items()}
    found = difflib.get_close_matches(wanted.strip().lower()[:80], lowered, n=6)
    unique = list(dict.fromkeys(f"{lowered[each].id} ({lowered[each].name})" for each in found))[:3]
    return f"near to it: {', '.join(unique)}" if unique else "hullwatch rules lists them"


def page(detector: Detector, means: str, *, width: int) -> str:
    """Everything about one rule, for a terminal; ``means`` is its description."""
    return "\n".join(_lines(detector, means, width))


def _lines(detector: Detector, means: str, width: int) -> Iterator[str]:
    yield f"{detector.id} {detector.name}"
    yield (
        f"{detector.family.value}, severity {detector.severity.name.lower()} ({int(detector.severity)}), "
        f"seen from sensor tier {detector.weakest.value}"
    )
    for each in detector.techniques:
        yield f"ATT&CK {each.id} {each.name} ({each.tactic_id} {each.tactic})"
    yield ""
    yield paragraph(detector.summary, width=width)
    yield from _section("WHAT IT MEANS", _paragraphs(means), width, bullet="")
    yield from _section("WHAT TO DO", detector.advice, width)
    yield from _section("WHO DOES THIS HONESTLY, AND HOW IT IS TOLD APART", detector.benign, width)
    yield from _section("WHAT IT DOES NOT SEE", detector.misses, width)
    if detector.references:
        yield from ("", "REFERENCES", *(f"  {each}" for each in detector.references))


def _section(title: str, items: tuple[str, ...], width: int, *, bullet: str = "- ") -> Iterator[str]:
    if items:
        yield ""
        yield title
    for index, each in enumerate(items):
        if index and not bullet:
            yield ""
        yield paragraph(each, width=width, indent="  ", bullet=bullet)


def _paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of a docstring, without the marks of its markup."""
    return tuple(each.replace("``", "").replace("*", "") for each in text.split("\n\n") if each.strip())
