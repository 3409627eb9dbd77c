from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.screen.cells import Line, cells, fit, used
from agent.cli.screen.layout import render
from agent.cli.screen.pages import OF_CONTAINER, Page, Shown, View
from agent.text import visible
from tests.agent.cli.nodes import HOSTILE, broken_out, clean, hostile, look_at
from tests.agent.cli.screen.shows import event, picture, text
from tests.support import build

BROKEN = Shown(picture(broken_out()), tuple(event(number) for number in range(1, 31)))
WEB_1 = build.container_id(1)


def styles(line: Line, wanted: str) -> str:
    return next(style for part, style in line if wanted in part)


def test_who_is_out_comes_first_and_in_red() -> None:
    lines = render(View(), BROKEN, 80, 24)
    assert text(View(), BROKEN)[0] == "hullwatch 04:40:00  2 containers, 1 out, 1 incident  no agent: own look"
    assert text(View(), BROKEN)[2].split() == ["OUT", "critical", "web-1", "2", "1", "6", "root,mnt!,user,time"]
    assert text(View(), BROKEN)[3].split()[:2] == ["info", "web-2"]
    assert styles(lines[0], "1 out") == "bold red"
    assert styles(lines[2], "mnt!") == "bold red reverse"
    assert styles(lines[3], "user") == ""


def test_the_newest_events_are_below_the_containers() -> None:
    assert [line.split()[3] for line in text(View(), BROKEN)[-7:-2]] == ["4026", "4027", "4028", "4029", "4030"]
    assert "LIVE EVENTS" not in text(View(), BROKEN, height=12)
    assert "LIVE EVENTS: none yet" in text(View(), replace(BROKEN, events=()))


def test_a_story_is_told_from_its_verdict_to_its_processes() -> None:
    view = View(page=Page.STORY, chosen=BROKEN.picture.stories[0].id)
    lines = text(view, BROKEN)
    assert ", open, 6 findings, of web-1" in lines[0]
    assert lines[2] == "OUT: 1 process of this container is outside it".ljust(80)
    assert lines[3].startswith("critical: ")
    assert lines[4].split()[1:3] == ["info", "HW-308"]
    assert any("4242 sh -c id" in line and "(LIVES, outside)" in line for line in text(view, BROKEN, 200))


@pytest.mark.parametrize("page", [page for page in Page if page is not Page.HELP])
def test_the_keys_of_each_page_are_at_its_bottom_and_fit(page: Page) -> None:
    for shown in (BROKEN, replace(BROKEN, picture=replace(BROKEN.picture, can_play=True))):
        for width in (40, 80):
            bottom = text(View(page=page, chosen=WEB_1), shown, width)[-1]
            assert bottom.startswith("q quit  ")
            assert bottom.endswith("? keys")
    assert "enter open  f filter  / find  p pause" in text(View(), BROKEN)[-1]


def test_all_keys_are_listed_on_a_page_of_their_own() -> None:
    lines = text(View(page=Page.HELP), BROKEN)
    assert {"1 2 3", "enter", "tab", "p, space", "+, -", "q"} <= {line[:14].strip() for line in lines[2:-2]}


def test_a_row_that_is_too_long_is_shown_whole_below() -> None:
    whole = " ".join(" ".join(text(View(page=Page.FINDINGS, chosen=WEB_1), BROKEN)[-5:-2]).split())
    assert "It is in the host's mnt namespace, which its container" in whole
    assert BROKEN.picture.cards[0].findings[0].text in whole


def test_a_container_that_is_gone_and_an_incident_that_is_forgotten_are_said() -> None:
    gone = replace(BROKEN, picture=replace(BROKEN.picture, cards=(), stories=()))
    for page in OF_CONTAINER:
        assert "this container is gone" in text(View(page=page, chosen=WEB_1), gone)[0]
    assert "this incident is no longer known" in text(View(page=Page.STORY, chosen="4711"), gone)[0]


def test_trouble_is_more_urgent_than_what_could_not_be_seen() -> None:
    assert text(View(), BROKEN)[-2] == "root of 3 is not known"
    assert text(View(), replace(BROKEN, message="the agent went away"))[-2] == "the agent went away"


def test_a_node_without_containers_and_one_that_is_clean_are_drawn() -> None:
    assert "nothing to show" in text(View(), Shown(picture(look_at())))[-2]
    assert "0 out, 0 incidents" in text(View(), Shown(picture(clean())))[0]


@pytest.mark.parametrize(("width", "height"), [(39, 24), (80, 7), (20, 5), (1, 1)])
def test_a_terminal_that_is_too_small_says_so_and_what_is_wanted(width: int, height: int) -> None:
    words = f"terminal too small: {width}x{height}, wanted 40x8"
    lines = [line.strip() for line in text(View(), BROKEN, width, height)]
    assert len(lines) == height
    assert words.startswith(" ".join(lines).strip()) or words.replace(" ", "").startswith("".join(lines))


@pytest.mark.parametrize("page", list(Page))
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 8), (132, 50), (20, 5), (1, 1)])
def test_every_page_fits_and_shows_no_raw_control_character(page: Page, width: int, height: int) -> None:
    of = picture(hostile())
    shown = Shown(of, (event(1, HOSTILE),), HOSTILE)
    view = View(page=page, chosen=of.stories[0].id if page is Page.STORY else of.cards[0].id)
    lines = render(view, shown, width, height)
    assert len(lines) == height
    for line in lines:
        assert used(line) <= width
        assert all(visible(part) == part for part, _ in line)


@given(st.text(), st.integers(0, 40))
def test_what_is_fitted_takes_no_more_cells(raw: str, width: int) -> None:
    (part, _) = (*fit(((raw, ""),), width), ("", ""))[0]
    assert cells(part) <= width
    assert visible(part) == part


def test_wide_characters_take_two_cells() -> None:
    assert fit((("日本語", ""),), 5) == (("日本", ""),)
