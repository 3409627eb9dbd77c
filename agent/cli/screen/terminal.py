"""The screen on a real terminal, by the standard library's curses, which writes only what changed.

The only module that knows of curses. Owned by the main thread; the feed has a thread of its own.
"""

from __future__ import annotations

import curses
import locale
import os
import time

from agent.cli.screen.source import Feed
from agent.cli.screen.view import Line, View, press, render

_POLL_MILLISECONDS = 200
_DEAD_READS = 100  # reads that end at once without a key: nobody is at the other end any more
_KEYS = {
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_LEFT: "left",
    curses.KEY_PPAGE: "page_up",
    curses.KEY_NPAGE: "page_down",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
    curses.KEY_ENTER: "enter",
    curses.KEY_BACKSPACE: "backspace",
}
_CHARACTERS = {"\n": "enter", "\r": "enter", "\x1b": "escape", "\t": "tab", "\x7f": "backspace", "\b": "backspace"}


def show(feed: Feed, *, color: bool) -> None:
    """Draw until the person has had enough. Raises ``curses.error`` where the terminal is not known."""
    locale.setlocale(locale.LC_ALL, "")
    os.environ.setdefault("ESCDELAY", "50")
    curses.wrapper(lambda window: _loop(window, feed, color=color))


def _loop(window: curses.window, feed: Feed, *, color: bool) -> None:
    styles = _styles(color=color)
    curses.curs_set(0) if curses.tigetstr("civis") else None
    window.timeout(_POLL_MILLISECONDS)
    view, drawn, dead = View(), None, 0
    while not view.is_over and dead < _DEAD_READS:
        height, width = window.getmaxyx()
        state = (view, feed.picture, feed.message, height, width)
        if state != drawn:
            _draw(window, render(view, feed.picture, width, height, feed.message), styles)
            drawn = state
        started = time.monotonic()
        key = _read(window)
        is_dead = key is None and time.monotonic() - started < _POLL_MILLISECONDS / 4000
        dead = dead + 1 if is_dead else 0
        if key == "r" and not view.typing:
            feed.look_now()
        elif key == "redraw":
            drawn = None
        elif key is not None:
            view = press(view, key, feed.picture)
            feed.is_paused = view.is_paused


def _read(window: curses.window) -> str | None:
    """The name of the next key; ``None`` where none was pressed for a while."""
    try:
        key = window.get_wch()
    except curses.error:
        return None
    if isinstance(key, int):
        return "redraw" if key == curses.KEY_RESIZE else _KEYS.get(key)
    return "redraw" if key == "\x0c" else _CHARACTERS.get(key, key)


def _draw(window: curses.window, lines: list[Line], styles: dict[str, int]) -> None:
    """Put the lines into the window; curses finds out what is new in them."""
    window.erase()
    for row, line in enumerate(lines):
        column = 0
        for text, style in line:
            attribute = 0
            for word in style.split(" "):
                attribute |= styles.get(word, 0)
            try:
                window.addstr(row, column, text, attribute)
            except curses.error:
                break  # the last cell of the screen: it is drawn, and the cursor has nowhere to go
            column = window.getyx()[1]
    window.refresh()


def _styles(*, color: bool) -> dict[str, int]:
    """What the words of a style are on this terminal; without colours red is bold."""
    styles = {"bold": curses.A_BOLD, "reverse": curses.A_REVERSE, "red": curses.A_BOLD, "yellow": 0}
    if color and curses.has_colors():
        curses.use_default_colors()
        for number, (name, value) in enumerate((("red", curses.COLOR_RED), ("yellow", curses.COLOR_YELLOW)), start=1):
            curses.init_pair(number, value, -1)
            styles[name] = curses.color_pair(number)
    return styles
