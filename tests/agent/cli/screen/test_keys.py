from __future__ import annotations

from dataclasses import replace

from agent.cli.screen.keys import press, settle
from agent.cli.screen.pages import Page, Shown, View
from tests.agent.cli.nodes import broken_out, clean, look_at
from tests.agent.cli.screen.shows import event, picture, text
from tests.support import build

BROKEN = Shown(picture(broken_out()), tuple(event(number) for number in range(1, 31)))


def pressed(*keys: str, view: View | None = None, of: Shown = BROKEN) -> View:
    view = view or View()
    for key in keys:
        view = press(view, key, of)
    return view


def test_enter_opens_a_container_tab_turns_its_pages_and_escape_leads_back() -> None:
    view = pressed("enter")
    assert (view.page, view.chosen) == (Page.FINDINGS, build.container_id(1))
    assert text(view, BROKEN)[2].split()[1:4] == ["critical", "HW-101", "4242"]
    assert [pressed(*["tab"] * turns, view=view).page for turns in range(5)] == [
        *(Page.FINDINGS, Page.WAYS, Page.DOINGS, Page.PROCESSES, Page.FINDINGS)
    ]
    processes = pressed("tab", "tab", "tab", view=view)
    assert [line.split()[:2] for line in text(processes, BROKEN)[2:4]] == [["4100", "0"], ["OUT", "4242"]]
    assert pressed("escape", view=processes).page is Page.CONTAINERS
    assert pressed("down", "enter", "left").cursor == 1


def test_enter_leads_from_a_finding_to_its_story_and_back() -> None:
    story = pressed("enter", "enter")
    assert story.page is Page.STORY
    assert story.chosen == BROKEN.picture.stories[0].id
    back = pressed("escape", view=story)
    assert (back.page, back.chosen) == (Page.FINDINGS, build.container_id(1))
    assert pressed("escape", view=back).page is Page.CONTAINERS


def test_the_verdict_of_a_story_leads_to_the_processes() -> None:
    view = pressed("2", "enter", "enter")
    assert (view.page, view.chosen) == (Page.PROCESSES, build.container_id(1))


def test_numbers_turn_to_the_pages_of_the_node_from_anywhere() -> None:
    for before in ((), ("enter",), ("enter", "enter"), ("?",)):
        assert pressed(*before, "2").page is Page.INCIDENTS
        assert pressed(*before, "3").page is Page.EVENTS
        view = pressed(*before, "3", "1")
        assert (view.page, view.back) == (Page.CONTAINERS, ())


def test_the_cursor_stays_on_the_page() -> None:
    assert pressed("up").cursor == 0
    assert pressed("down", "down", "down").cursor == 1
    assert pressed("end").cursor == 1
    assert pressed("end", "home").cursor == 0
    assert pressed("page_down", "page_up").cursor == 0


def test_the_cursor_stays_on_its_container_when_another_comes_before_it() -> None:
    before = Shown(picture(clean()))
    view = pressed("down", of=before)
    first, second = before.picture.cards
    now = Shown(replace(before.picture, cards=(second, first)))
    assert settle(view, before, now).cursor == 0
    gone = Shown(replace(before.picture, cards=(first,)))
    assert settle(view, before, gone).cursor == 0


def test_who_has_not_moved_sees_what_comes_to_the_top() -> None:
    before = Shown(picture(clean()))
    worse = Shown(replace(before.picture, cards=(BROKEN.picture.cards[0], *before.picture.cards[1:])))
    assert settle(View(), Shown(replace(before.picture, cards=before.picture.cards[1:])), worse).cursor == 0


def test_live_events_go_along_for_who_stands_at_their_end() -> None:
    more = replace(BROKEN, events=(*BROKEN.events[1:], event(31)))
    at_end = pressed("3")
    assert at_end.cursor == 29
    assert settle(at_end, BROKEN, more).cursor == 29
    above = pressed("up", view=at_end)
    assert settle(above, BROKEN, more).cursor == 27  # on the same event
    assert "4029" in text(settle(above, BROKEN, more), more)[-5]


def test_events_of_one_container_are_its_own() -> None:
    shown = replace(BROKEN, events=(event(1), event(2, "of another", container=2)))
    view = pressed("enter", "tab", "tab", of=shown)
    assert view.page is Page.DOINGS
    assert "of another" not in "\n".join(text(view, shown))
    assert "4001" in text(view, shown)[2]


def test_a_filter_leaves_what_it_names_until_escape() -> None:
    view = pressed("f", *"WEB-2", "enter")
    assert text(view, BROKEN)[2].split()[1] == "web-2"
    assert text(view, BROKEN)[3] == ""
    assert "filter: WEB-2 (esc clears it)" in text(view, BROKEN)[-2]
    assert pressed("escape", view=view).filter == ""
    assert "nothing to show for the filter nobody" in text(pressed("f", *"nobody", "enter"), BROKEN)[-2]


def test_every_list_is_filtered_by_what_it_shows() -> None:
    assert len([each for each in text(pressed("3", "f", *"4007", "enter"), BROKEN)[2:18] if each]) == 1
    assert "HW-103" in text(pressed("enter", "f", *"hw-103", "enter"), BROKEN)[2]
    assert "nothing to show" in text(pressed("2", "f", *"web-2", "enter"), BROKEN)[-2]


def test_a_container_is_found_by_its_image_and_id() -> None:
    assert "web-1" in text(pressed("f", *build.container_id(1)[:12], "enter"), BROKEN)[2]


def test_what_is_typed_is_shown_and_may_be_taken_back() -> None:
    view = pressed("/", *"qx", "backspace")
    assert text(view, BROKEN)[-2] == "find: q_"
    assert not view.is_over
    assert pressed("escape", view=view).typing == ""


def test_search_goes_on_and_around() -> None:
    view = pressed("/", *"web", "enter")
    assert view.cursor == 0
    assert [pressed("n", view=view).cursor, pressed("n", "n", view=view).cursor] == [1, 0]
    assert pressed("/", *"nowhere", "enter").cursor == 0


def test_a_pause_is_said_and_survives_the_way_back() -> None:
    view = pressed("p")
    assert "PAUSED" in text(view, BROKEN)[0]
    assert not pressed("p", view=view).is_paused
    assert pressed("enter", "p", "escape").is_paused


def test_the_pane_of_events_may_be_hidden() -> None:
    assert "LIVE EVENTS" in text(View(), BROKEN)
    assert "LIVE EVENTS" not in text(pressed("e"), BROKEN)


def test_q_ends_it() -> None:
    assert pressed("q").is_over
    assert pressed("enter", "q").is_over


def test_nothing_opens_where_there_is_nothing() -> None:
    assert pressed("enter", of=Shown(picture(look_at()))).page is Page.CONTAINERS
    assert pressed("escape").page is Page.CONTAINERS
    assert pressed("3", "enter").page is Page.EVENTS
