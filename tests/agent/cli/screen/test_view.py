from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.node import Look
from agent.cli.screen.picture import Picture, picture_of
from agent.cli.screen.view import Line, Page, View, cells, fit, press, render
from agent.config_schema import Config
from agent.text import visible
from tests.agent.cli.nodes import broken_out, clean, hostile, look_at
from tests.support import build


def picture(look: Look) -> Picture:
    return picture_of(look(Config(), True), Config(), build.NOW_NS)  # noqa: FBT003


BROKEN = picture(broken_out())


def pressed(*keys: str, view: View | None = None, of: Picture = BROKEN) -> View:
    view = view or View()
    for key in keys:
        view = press(view, key, of)
    return view


def text(view: View, of: Picture = BROKEN, width: int = 80, height: int = 24) -> list[str]:
    return ["".join(part for part, _ in line) for line in render(view, of, width, height)]


def styles(line: Line, wanted: str) -> str:
    return next(style for part, style in line if wanted in part)


def test_who_is_out_comes_first_and_in_red() -> None:
    lines = render(View(), BROKEN, 80, 24)
    assert "".join(part for part, _ in lines[0]) == "hullwatch  04:40:00 UTC  2 containers, 1 out"
    assert text(View())[2].split() == ["OUT", "critical", "web-1", "2", "1", "6", "root,mnt!,user,time"]
    assert text(View())[3].split()[:2] == ["info", "web-2"]
    assert styles(lines[2], "mnt!") == "bold red reverse"
    assert styles(lines[3], "user") == ""


def test_keys_are_shown_at_the_bottom() -> None:
    assert text(View())[-1].startswith("q quit  enter open  f filter")
    assert "esc back" in text(pressed("enter"))[-1]


def test_enter_opens_a_container_tab_turns_its_pages_and_escape_leads_back() -> None:
    view = pressed("enter")
    assert (view.page, view.chosen) == (Page.FINDINGS, build.container_id(1))
    assert text(view)[2].split()[:3] == ["critical", "HW-101", "4242"]
    view = pressed("tab", "tab", view=view)
    assert view.page is Page.PROCESSES
    assert [line.split()[0] for line in text(view)[2:4]] == ["4100", "4242"]
    assert pressed("escape", view=view).page is Page.CONTAINERS
    assert pressed("down", "enter", "left").cursor == 1


def test_a_row_that_is_too_long_is_shown_whole_below() -> None:
    whole = " ".join(" ".join(text(pressed("enter"))[-6:-2]).split())
    assert "It is in the host's mnt namespace, which its container" in whole
    assert BROKEN.cards[0].findings[0].text in whole


def test_the_cursor_stays_on_the_page() -> None:
    assert pressed("up").cursor == 0
    assert pressed("down", "down", "down").cursor == 1
    assert pressed("end").cursor == 1
    assert pressed("end", "home").cursor == 0
    assert pressed("page_down", "page_up").cursor == 0


def test_a_filter_leaves_what_it_names_until_escape() -> None:
    view = pressed("f", *"WEB-2", "enter")
    assert text(view)[2].split()[1] == "web-2"
    assert text(view)[3] == ""
    assert "filter: WEB-2 (esc clears it)" in text(view)[-2]
    assert pressed("escape", view=view).filter == ""
    assert "nothing to show for the filter nobody" in text(pressed("f", *"nobody", "enter"))[-2]


def test_what_is_typed_is_shown_and_may_be_taken_back() -> None:
    view = pressed("/", *"qx", "backspace")
    assert text(view)[-2] == "search: q_"
    assert not view.is_over
    assert pressed("escape", view=view).typing == ""


def test_search_goes_on_and_around() -> None:
    view = pressed("/", *"web", "enter")
    assert view.cursor == 0
    assert [pressed("n", view=view).cursor, pressed("n", "n", view=view).cursor] == [1, 0]
    assert pressed("/", *"nowhere", "enter").cursor == 0


def test_a_pause_is_said() -> None:
    view = pressed("p")
    assert "PAUSED" in text(view)[0]
    assert not pressed("p", view=view).is_paused


def test_q_ends_it() -> None:
    assert pressed("q").is_over
    assert pressed("enter", "q").is_over


def test_a_container_that_is_gone_is_said() -> None:
    view = pressed("enter")
    assert "this container is gone" in text(view, replace(BROKEN, cards=()))[0]


def test_a_node_without_containers_and_one_that_is_clean_are_drawn() -> None:
    assert "nothing to show" in text(View(), picture(look_at()))[-2]
    assert pressed("enter", of=picture(look_at())).page is Page.CONTAINERS
    assert "0 out" in text(View(), picture(clean()))[0]


@pytest.mark.parametrize("page", list(Page))
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 8), (132, 50), (20, 5), (1, 1)])
def test_every_page_fits_and_shows_no_raw_control_character(page: Page, width: int, height: int) -> None:
    of = picture(hostile())
    view = View(page=page, chosen="" if page is Page.CONTAINERS else of.cards[0].id)
    lines = render(view, of, width, height)
    assert len(lines) == height
    for line in lines:
        assert sum(cells(part) for part, _ in line) <= width
        assert all(visible(part) == part for part, _ in line)


@given(st.text(), st.integers(0, 40))
def test_what_is_fitted_takes_no_more_cells(raw: str, width: int) -> None:
    (part, _) = (*fit(((raw, ""),), width), ("", ""))[0]
    assert cells(part) <= width
    assert visible(part) == part


def test_wide_characters_take_two_cells() -> None:
    assert fit((("日本語", ""),), 5) == (("日本", ""),)
