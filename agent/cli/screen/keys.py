"""What keys do: where the person is on the screen after each. Pure.

What the rows of a page are is ``rows``' business, how they are laid out ``layout``'s, the terminal another module's.
"""

from __future__ import annotations

from dataclasses import replace

from agent.cli.screen.pages import GROWING, NEWS_ON_TOP, OF_CONTAINER, OF_NODE, Page, Shown, View
from agent.cli.screen.rows import rows

_MAX_TYPED = 64


def press(view: View, key: str, shown: Shown) -> View:
    """The view after a key: a character, or ``up``, ``down``, ``page_up``, ``enter``, ``escape``, ..."""
    if view.typing:
        return _type(view, key, shown)
    match key:
        case "q":
            return replace(view, is_over=True)
        case "p" | " ":
            return replace(view, is_paused=not view.is_paused)
        case "e":
            return replace(view, has_pane=not view.has_pane)
        case "f" | "/":
            return replace(view, typing=key, typed=view.filter if key == "f" else "")
        case _:
            return _gone(view, key, shown)


def _gone(view: View, key: str, shown: Shown) -> View:  # noqa: PLR0911 (one return a key)
    """The view after a key that leads elsewhere, on this page or to another."""
    last = max(len(rows(view, shown)) - 1, 0)
    match key:
        case "n":
            return _found(view, shown, view.cursor + 1)
        case "?" | "h" if view.page is not Page.HELP:
            return _go(view, Page.HELP, view.chosen, shown)
        case "1" | "2" | "3":
            return _at_start(replace(view, page=OF_NODE[key], chosen="", back=(), filter=""), shown)
        case "tab" if view.page in OF_CONTAINER:
            following = OF_CONTAINER[(OF_CONTAINER.index(view.page) + 1) % len(OF_CONTAINER)]
            return _at_start(replace(view, page=following), shown)
        case "enter":
            return _open(view, shown)
        case "escape" | "left":
            return _back(view, shown)
        case _:
            moved = _moved(key, min(view.cursor, last), last)
            return view if moved is None else replace(view, cursor=moved)


def settle(view: View, before: Shown, now: Shown) -> View:
    """The view when what is shown has changed: the cursor stays on its row, or where what is new comes.

    That is the end of what grows, and the top of what has the worst or the latest there: who has not moved sees it.
    """
    old = rows(view, before)
    if not old:
        return _at_start(view, now)
    index = min(view.cursor, len(old) - 1)
    new = rows(view, now)
    if view.page in GROWING and index == len(old) - 1:
        return replace(view, cursor=max(len(new) - 1, 0))
    if view.page in NEWS_ON_TOP and index == 0:
        return replace(view, cursor=0)
    found = next((place for place, row in enumerate(new) if row.key == old[index].key), None)
    return replace(view, cursor=min(index, max(len(new) - 1, 0)) if found is None else found)


def _moved(key: str, cursor: int, last: int) -> int | None:
    """Where the cursor goes; ``None`` for a key that does not move it."""
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page_up": -10, "page_down": 10, "home": -last, "end": last}
    return max(0, min(last, cursor + steps[key])) if key in steps else None


def _open(view: View, shown: Shown) -> View:
    """Go where the row under the cursor leads."""
    found = rows(view, shown)
    if not found:
        return view
    page, chosen = found[min(view.cursor, len(found) - 1)].leads_to
    return view if page is None else _go(view, page, chosen, shown)


def _go(view: View, page: Page, chosen: str, shown: Shown) -> View:
    there = replace(view, page=page, chosen=chosen, back=(*view.back, replace(view, back=())), filter="", search="")
    return _at_start(there, shown)


def _at_start(view: View, shown: Shown) -> View:
    """Where a page is entered: at its top, or at the newest line."""
    return replace(view, cursor=max(len(rows(view, shown)) - 1, 0) if view.page in GROWING else 0)


def _back(view: View, shown: Shown) -> View:
    if view.filter:
        return _at_start(replace(view, filter=""), shown)
    if not view.back:
        return view if view.page is Page.CONTAINERS else _at_start(replace(view, page=Page.CONTAINERS), shown)
    *rest, last = view.back
    cursor = next(
        (place for place, row in enumerate(rows(last, shown)) if row.leads_to[1] == view.chosen and view.chosen),
        last.cursor,
    )
    return replace(last, back=tuple(rest), cursor=cursor, has_pane=view.has_pane, is_paused=view.is_paused)


def _type(view: View, key: str, shown: Shown) -> View:
    match key:
        case "enter" if view.typing == "f":
            return _at_start(replace(view, filter=view.typed, typing=""), shown)
        case "enter":
            return _found(replace(view, search=view.typed, typing=""), shown, view.cursor)
        case "escape":
            return replace(view, typing="", typed="")
        case "backspace":
            return replace(view, typed=view.typed[:-1])
        case _ if len(key) == 1 and key.isprintable():
            return replace(view, typed=(view.typed + key)[:_MAX_TYPED])
        case _:
            return view


def _found(view: View, shown: Shown, start: int) -> View:
    """The next row, from ``start`` on and around, in which the search is found."""
    texts = [row.text for row in rows(view, shown)]
    wanted = view.search.lower()
    for index in (*range(start, len(texts)), *range(min(start, len(texts)))):
        if wanted and wanted in texts[index]:
            return replace(view, cursor=index)
    return view
