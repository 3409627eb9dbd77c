from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.outbox import Query
from agent.text import visible
from collectors.events import Event, Seen
from tests.agent.cli.nodes import escaped, hostile_events, invoke, sleeping
from tests.support import build
from tests.support.answering import Answering, answering

BROWSER_SECONDS = 60
HARMLESS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "div",
    "span",
    "strong",
    "br",
    "code",
    "a",
}
HARMLESS |= {"table", "tr", "th", "td", "ul", "ol", "li", "details", "summary"}
LINK = re.compile(r"https://attack\.mitre\.org/techniques/T\d{4}(/\d{3})?/")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Shown(HTMLParser):
    """What a browser would make of the page: its elements, its links and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def written(agent: Answering, path: Path) -> str:
    alert = json.loads(agent.outbox.query(Query(container=build.container_id()), 1)[0].document)
    result = invoke(
        None, "incidents", alert["hullwatch"]["incident"]["id"], "--html", str(path), "--socket", agent.path
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"hullwatch: written: {path}\n")
    return path.read_text(encoding="utf-8")


@pytest.fixture(params=["named", "hostile"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    events: tuple[Event, ...] = hostile_events()
    if request.param == "named":
        events = (*sleeping(1), Seen(build.NOW_NS, escaped()))
    path = tmp_path / "incident.html"
    with answering(tmp_path, *events) as agent:
        yield written(agent, path), path


def test_nothing_in_it_acts_or_is_fetched(page: tuple[str, Path]) -> None:
    seen = Shown(page[0])
    assert seen.tags <= HARMLESS
    assert not seen.attributes & {"src", "srcset", "style", "onload", "onclick", "background", "data", "action"}
    assert "https://attack.mitre.org/techniques/T1611/" in seen.links
    assert all(LINK.fullmatch(each) for each in seen.links)
    assert "default-src 'none'" in page[0]
    assert "url(" not in page[0]
    assert "@import" not in page[0]


def test_no_invisible_character_is_in_it(page: tuple[str, Path]) -> None:
    assert all(visible(line) == line for line in page[0].split("\n"))


def test_it_tells_the_story(tmp_path: Path) -> None:
    with answering(tmp_path, *sleeping(1), Seen(build.NOW_NS, escaped())) as agent:
        text = Shown(written(agent, tmp_path / "page.html")).text
    for part in (
        build.container_id(1),
        "web-1",
        "OUT: 1 process of this container is outside it",
        "HW-103 host_root_entered",
        "4242 sh -c id",
        "(LIVES, outside)",
        "Confinement before and after: pid 4242",
        "HW-308 root_in_host_user_namespace",
        "T1611 Escape to Host",
    ):
        assert part in text


def test_refuses_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with answering(tmp_path, *sleeping(1), Seen(build.NOW_NS, escaped())) as agent:
        incident = json.loads(agent.outbox.query(Query(), 1)[0].document)["hullwatch"]["incident"]["id"]
        place = str(tmp_path / "no/such/page.html")
        result = invoke(None, "incidents", incident, "--html", place, "--socket", agent.path)
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


@pytest.mark.slow
def test_a_real_browser_shows_it(page: tuple[str, Path], tmp_path: Path) -> None:
    """Debian's chromium lays it out and takes a picture; a name that got through would have changed the title."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    picture = tmp_path / "page.png"
    program = (browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile")
    quiet = ("--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1000,1600", "--hide-scrollbars")
    run = [*program, *quiet]
    address = page[1].as_uri()
    taken = subprocess.run(  # noqa: S603
        [*run, f"--screenshot={picture}", address], capture_output=True, timeout=BROWSER_SECONDS, check=False
    )
    assert taken.returncode == 0, taken.stderr
    done = subprocess.run([*run, "--dump-dom", address], capture_output=True, timeout=BROWSER_SECONDS, check=True)  # noqa: S603
    dom = Shown(done.stdout.decode("utf-8"))
    assert dom.tags <= HARMLESS | {"tbody"}
    assert "HW-103 host_root_entered" in dom.text
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
    assert picture.stat().st_size > 30_000  # an empty page of that size takes a few thousand
