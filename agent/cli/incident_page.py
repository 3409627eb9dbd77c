"""The story of an incident as one page of HTML: it needs nothing but itself, and obeys nobody whose names it shows.

No script, no image, no font, nothing that is fetched: its policy (CSP) forbids all of that, so that a name that got
through would still do nothing. Everything that was told is made visible and escaped in one place (``_h``). Pure.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from agent.cli import told
from agent.cli import verdict as verdicts
from agent.cli.incidents import fate
from agent.cli.moments import instant, second
from agent.cli.story import Node, Story, tree
from agent.cli.told import at, text
from agent.cli.verdict import Verdict
from agent.text import clipped, valid, visible

MAX_VALUE = 2000
MAX_DEPTH = 64

_STYLE = """
:root { --ink: #1c2330; --paper: #ffffff; --soft: #f3f5f8; --line: #d5dbe4; --dim: #5a6678; --bad: #b3261e;
  --warn: #8a5a00; --good: #1b6e3c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14181f; --soft: #1d232d; --line: #333c4a;
  --dim: #9aa6b8; --bad: #ff8a80; --warn: #ffc266; --good: #7fd8a0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
code, .mono { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
.dim { color: var(--dim); } .critical, .high, .out { color: var(--bad); } .medium, .widened { color: var(--warn); }
.contained { color: var(--good); }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: .25rem; padding: 0 .4rem;
  font-size: .8rem; font-weight: 600; }
.verdict { border-left: .3rem solid; background: var(--soft); padding: .75rem 1rem; margin: 1rem 0; }
.verdict > * { color: var(--ink); } .verdict strong { font-size: 1.1em; } .verdict strong.out { color: var(--bad); }
.verdict strong.widened { color: var(--warn); } .verdict strong.contained { color: var(--good); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
  padding: .3rem .6rem; border-bottom: 1px solid var(--line); } th { color: var(--dim); font-weight: 600; }
.changed td { background: var(--soft); } .changed td:last-child { color: var(--bad); font-weight: 600; }
ol.time { list-style: none; margin: 0; padding: 0 0 0 1rem; border-left: 2px solid var(--line); }
ol.time > li { margin: 0 0 .9rem; } ul.tree, ul.tree ul { list-style: none; margin: 0; padding-left: 1.2rem;
  border-left: 1px dotted var(--line); } ul.tree { border: 0; padding: 0; }
details { margin-top: .2rem; } summary { cursor: pointer; color: var(--dim); }
a { color: inherit; }
"""


def render(story: Story, now: Verdict | None) -> str:
    """The page."""
    return "\n".join(_page(story, now)) + "\n"


def _h(value: object) -> str:
    """Text that shows whatever it holds and does nothing: the only way in for what was told."""
    return html.escape(visible(clipped(valid(str(value)), MAX_VALUE)), quote=True)


def _page(story: Story, now: Verdict | None) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">'
    yield f"<title>Incident {_h(story.id[: told.SHORT])}: {_h(told.called(story.about))}</title>"
    yield f"<style>{_STYLE}</style></head><body>"
    yield from _heading(story)
    if now is not None:
        yield from _verdict(now)
    yield from _timeline(story)
    yield from _processes(story, now)
    yield from _confinement(story)
    yield from _exposure(story)
    yield from _techniques(story)
    yield '<p class="dim">Written by hullwatch from what its agent has told. Times are UTC.</p></body></html>'


def _heading(story: Story) -> Iterator[str]:
    severity = story.severity.name.lower()
    yield f'<h1>{_h(told.called(story.about))} <span class="badge {severity}">{severity}</span></h1>'
    state = "still open" if story.is_open else "over"
    yield f'<div class="dim">Incident <code>{_h(story.id)}</code>, {state}, {story.findings} findings, '
    yield f"{_h(second(story.start))} to {_h(second(story.end))} UTC</div>"
    if story.why:
        yield f"<p>{_h(story.why)}.</p>"
    about = story.about
    facts = {
        "Container": story.container_id,
        "Image": text(about, "container.image.name"),
        "Runtime": text(about, "container.runtime"),
        "Pod": "/".join(
            filter(None, (text(about, "orchestrator.namespace"), text(about, "orchestrator.resource.name")))
        ),
        "Node": text(about, "host.name"),
        "Kernel": text(about, "host.os.kernel"),
        "Sensor": text(about, "hullwatch.sensor"),
    }
    yield "<table>"
    yield from (f"<tr><th>{name}</th><td><code>{_h(value)}</code></td></tr>" for name, value in facts.items() if value)
    yield "</table>"


def _verdict(now: Verdict) -> Iterator[str]:
    word, _, rest = now.sentence().partition(":")
    yield f'<div class="verdict {now.word}"><p><strong class="{now.word}">{_h(word)}</strong>{_h(":" + rest)}</p>'
    if now.wide:
        yield "<ul>"
        yield from (f"<li><code>{_h(each.strip())}</code></li>" for each in verdicts.lines(now)[1:])
        yield "</ul>"
    yield '<p class="dim">When this page was written.</p></div>'


def _timeline(story: Story) -> Iterator[str]:
    yield '<h2>What happened</h2><ol class="time">'
    entries = [(str(each.get("timestamp") or ""), _given(each)) for each in story.exposures]
    entries += [(text(each, "@timestamp"), "\n".join(_finding(each))) for each in story.alerts]
    for at_time, body in sorted(entries, key=lambda each: each[0]):
        yield f'<li><span class="mono dim">{_h(instant(at_time))}</span> {body}</li>'
    yield "</ol>"


def _given(chapter: dict[str, Any]) -> str:
    severity = told.severity_of(chapter.get("severity")).name.lower()
    return (
        f'<span class="badge {severity}">{severity}</span> <strong>{_h(chapter.get("rule_id"))} '
        f"{_h(chapter.get('rule_name'))}</strong> given before<br>{_h(chapter.get('reason'))}"
    )


def _finding(alert: told.Document) -> Iterator[str]:
    severity = told.severity(alert).name.lower()
    name = f"{_h(text(alert, 'rule.id'))} {_h(text(alert, 'rule.name'))}"
    yield f'<span class="badge {severity}">{severity}</span> <strong>{name}</strong>'
    if pid := text(alert, "process.pid"):
        command = text(alert, "process.command_line") or text(alert, "process.name")
        yield f'<span class="dim">pid {_h(pid)}</span> <code>{_h(command)}</code>'
    yield f"<br>{_h(told.finding(alert))}"
    evidence = at(alert, "hullwatch.evidence", {})
    yield "<details><summary>evidence</summary><table>"
    yield f"<tr><th>event.id</th><td><code>{_h(text(alert, 'event.id'))}</code></td></tr>"
    if isinstance(evidence, dict):
        for key, value in evidence.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"<tr><th>{_h(key)}</th><td><code>{_h(shown)}</code></td></tr>"
    yield "</table></details>"


def _processes(story: Story, now: Verdict | None) -> Iterator[str]:
    roots = tree(story)
    if not roots:
        return
    yield '<h2>Processes</h2><ul class="tree mono">'
    for root in roots:
        yield from _branch(root, now, 0)
    yield "</ul>"


def _branch(node: Node, now: Verdict | None, depth: int) -> Iterator[str]:
    rules = " ".join(f'<span class="badge high">{_h(each)}</span>' for each in node.rules)
    yield f"<li>{node.pid} {_h(node.command_line or node.name)} {rules}{_h(fate(node, now))}"
    if node.children and depth < MAX_DEPTH:
        yield "<ul>"
        for child in node.children:
            yield from _branch(child, now, depth + 1)
        yield "</ul>"
    yield "</li>"


def _confinement(story: Story) -> Iterator[str]:
    """The widest change: the last finding that has both vectors."""
    told_both = [each for each in story.alerts if at(each, "hullwatch.confinement.observed") and _before(each)]
    if not told_both:
        return
    alert = told_both[-1]
    before, after = _flat(_before(alert)), _flat(at(alert, "hullwatch.confinement.observed"))
    yield f"<h2>Confinement before and after: pid {_h(text(alert, 'process.pid'))}</h2>"
    yield "<table><tr><th></th><th>its container</th><th>this process</th></tr>"
    for name in dict.fromkeys((*before, *after)):
        was, is_now = before.get(name, ""), after.get(name, "")
        mark = ' class="changed"' if was != is_now else ""
        yield f"<tr{mark}><th>{_h(name)}</th><td><code>{_h(was)}</code></td><td><code>{_h(is_now)}</code></td></tr>"
    yield "</table>"


def _before(alert: told.Document) -> Any:
    return at(alert, "hullwatch.confinement.container")


def _flat(vector: Any, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in vector.items() if isinstance(vector, dict) else ():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name} "))
        else:
            found[f"{prefix}{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found


def _exposure(story: Story) -> Iterator[str]:
    given = [(each.get("rule_id"), each.get("rule_name"), each.get("reason")) for each in story.exposures]
    given += [
        (text(each, "rule.id"), text(each, "rule.name"), told.finding(each))
        for each in story.alerts
        if text(each, "rule.category") == "exposure"
    ]
    if not given:
        return
    yield "<h2>What the container was given</h2><table>"
    for rule_id, name, reason in given:
        yield f"<tr><th>{_h(rule_id)} {_h(name)}</th><td>{_h(reason)}</td></tr>"
    yield "</table>"


def _techniques(story: Story) -> Iterator[str]:
    """Links, not resources: nothing is fetched before somebody clicks."""
    found: dict[str, str] = {}
    for alert in story.alerts:
        ids, names = at(alert, "threat.technique.id", []), at(alert, "threat.technique.name", [])
        found.update(zip(map(str, ids), map(str, names), strict=False))
    if not found:
        return
    yield "<h2>MITRE ATT&amp;CK</h2><ul>"
    for technique, name in found.items():
        place = "/".join(each for each in technique.split(".") if each.isascii() and each.isalnum())
        link = f"https://attack.mitre.org/techniques/{place}/"
        yield f'<li><a rel="noreferrer" href="{_h(link)}">{_h(technique)} {_h(name)}</a></li>'
    yield "</ul>"
