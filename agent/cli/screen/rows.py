"""The rows of each page, whole: what they show, by what they are known, and where they lead. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.cli import told
from agent.cli import verdict as verdicts
from agent.cli.incidents import fate, process_line
from agent.cli.moments import clock, second
from agent.cli.output import BAD
from agent.cli.screen.cells import Line, padded
from agent.cli.screen.pages import Page, Shown, View
from agent.cli.screen.picture import Card, FindingLine, severity_span, standing_span
from agent.cli.screen.ticker import EventLine
from agent.cli.story import Story, drawn, tree
from agent.cli.told import text
from agent.cli.verdict import Verdict

Target = tuple[Page | None, str]
NOWHERE: Target = (None, "")


@dataclass(frozen=True, slots=True)
class Row:
    """``key`` says which thing it is of, also in the next picture; ``more`` is searched, and not shown."""

    key: str
    line: Line
    leads_to: Target = NOWHERE
    more: str = ""

    @property
    def text(self) -> str:
        """What a search or filter looks at."""
        return f"{''.join(text for text, _ in self.line)} {self.more}".lower()


def rows(view: View, shown: Shown) -> list[Row]:
    """The rows of the page that the filter leaves, untrimmed."""
    wanted = view.filter.lower()
    return [row for row in _rows(view, shown) if wanted in row.text]


def _rows(view: View, shown: Shown) -> Iterator[Row]:
    picture = shown.picture
    match view.page:
        case Page.CONTAINERS:
            yield from map(_card, picture.cards)
        case Page.INCIDENTS:
            yield from map(_incident, picture.stories)
        case Page.EVENTS:
            yield from (event_row(each, with_container=True) for each in shown.events)
        case Page.DOINGS:
            of_it = (each for each in shown.events if each.container_id == view.chosen)
            yield from (event_row(each, with_container=False) for each in of_it)
        case Page.STORY:
            story = story_of(view, shown)
            if story is not None:
                yield from _told(story, picture.verdicts.get(story.container_id))
        case Page.HELP:
            yield from (Row(key, ((f"{key:14}", "bold"), (what, ""))) for key, what in _HELP)
        case _:
            card = card_of(view, shown)
            if card is not None:
                yield from _of_container(card, view.page)


def card_of(view: View, shown: Shown) -> Card | None:
    """The container that is open, while it is there."""
    return next((each for each in shown.picture.cards if each.id == view.chosen), None)


def story_of(view: View, shown: Shown) -> Story | None:
    """The incident that is open, while it is known."""
    return next((each for each in shown.picture.stories if each.id == view.chosen), None)


def _card(card: Card) -> Row:
    name = card.name if card.name != "-" else card.id[:12]
    line = (
        *padded((standing_span(card.standing),), 9),
        *padded((severity_span(card.worst),), 10),
        *padded(((name, ""),), 23),
        (f"{len(card.processes):>5} {len(card.ways):>4} {len(card.findings):>5}  ", ""),
        *card.host,
    )
    page = Page.FINDINGS if card.findings else Page.PROCESSES
    return Row(card.id, line, (page, card.id), f"{card.image} {card.id}")


def _incident(story: Story) -> Row:
    name = told.called(story.about) if story.container_id else "the node"
    state = ("open", BAD) if story.is_open else ("over", "")
    line = (
        *padded(((second(story.start)[5:16], ""),), 13),
        *padded((severity_span(story.severity),), 10),
        *padded((state,), 6),
        *padded(((name if name != "-" else story.container_id[:12], ""),), 23),
        (f"{story.findings:>5}  {story.why}", ""),
    )
    return Row(story.id, line, (Page.STORY, story.id), f"{story.id} {story.container_id}")


def event_row(event: EventLine, *, with_container: bool) -> Row:
    """One event."""
    called = event.called if event.called != "-" else event.container_id[:12] or "-"
    line = (
        *padded(((event.at[:8], ""),), 10),
        *padded((event.kind,), 15),
        *(padded(((called, ""),), 16) if with_container else ()),
        *padded(((event.pid, ""),), 8),
        (event.what, ""),
    )
    return Row(str(event.number), line, more=event.container_id)


def _of_container(card: Card, page: Page) -> Iterator[Row]:
    match page:
        case Page.PROCESSES:
            for each in card.processes:
                line = (
                    *padded((standing_span(each.standing),), 6),
                    (f"{each.pid:<8}{each.user:<6}", ""),
                    *padded(each.host, 24),
                    (each.command, ""),
                )
                yield Row(str(each.pid), line)
        case Page.FINDINGS:
            yield from map(finding_row, card.findings)
        case _:
            yield from (Row(each, ((each, ""),)) for each in card.ways)


def finding_row(finding: FindingLine) -> Row:
    """One finding; it leads to its incident."""
    line = (
        *padded(((finding.at, ""),), 10),
        *padded((severity_span(finding.severity),), 10),
        *padded(((finding.rule, ""),), 8),
        *padded(((finding.pid, ""),), 8),
        (finding.text, ""),
    )
    target = (Page.STORY, finding.incident) if finding.incident else NOWHERE
    return Row(f"{finding.rule} {finding.pid} {finding.text}", line, target)


def _told(story: Story, now: Verdict | None) -> Iterator[Row]:
    """A story from its beginning: how it stands, why it is as bad, what was found in order, and the processes."""
    if now is not None:
        yield Row("now", ((now.sentence(), verdicts.STYLES.get(now.word, "")),), (Page.PROCESSES, story.container_id))
    yield Row("why", ((f"{story.severity.name.lower()}: {story.why}" if story.why else "", ""),))
    chapters = [
        (text(each, "timestamp"), "-", text(each, "rule_id"), each.get("severity"), f"given: {text(each, 'reason')}")
        for each in story.exposures
    ]
    chapters += [
        (
            text(each, "@timestamp"),
            text(each, "process.pid") or "-",
            text(each, "rule.id"),
            told.at(each, "event.severity"),
            told.finding(each),
        )
        for each in story.alerts
    ]
    for number, (at, pid, rule, severity, what) in enumerate(sorted(chapters, key=lambda each: each[0])):
        finding = FindingLine(clock(at)[:8], told.severity_of(severity), rule, pid, what, "")
        yield Row(f"{number} {rule} {pid}", finding_row(finding).line)
    for number, (branch, node) in enumerate(drawn(tree(story))):
        style = BAD if "LIVES" in fate(node, now) else ""
        yield Row(f"tree {number}", ((branch, ""), (process_line(node, now), style)))


_HELP = (
    ("1 2 3", "the containers by risk, the incidents, the live events of all containers"),
    ("enter", "open what the cursor is on: a container, an incident, the incident of a finding"),
    ("esc, left", "go back; on a filtered page clear the filter"),
    ("tab", "of a container: processes, findings, ways out, doings (its live events)"),
    ("f", "filter: show only rows with a text (name, image, id, rule, ...)"),
    ("/, n", "find a text; find the next one"),
    ("p, space", "pause: what is shown stays as it is; a capture stands still"),
    ("+, -", "play a capture twice as fast, half as fast"),
    ("r", "look now, not only when the interval is over"),
    ("e", "show or hide the live events below the containers"),
    ("j k, arrows", "move; page up, page down, home, end"),
    ("ctrl-l", "draw the whole screen anew"),
    ("q", "quit"),
)
