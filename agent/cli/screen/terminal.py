"""The screen on a real terminal, by the standard library's curses, which writes only what changed.

The only module that knows of curses. Owned by the main thread; the feed has a thread of its own.
"""

from __future__ import annotations

import curses
import locale
import os
import sys
import time
from collections.abc import Callable

from agent.cli.screen.cells import Line
from agent.cli.screen.keys import press, settle
from agent.cli.screen.layout import render
from agent.cli.screen.pages import Shown, View
from agent.cli.screen.source import Feed

_POLL_MILLISECONDS = 200
_QUICK_SECONDS, _SLOW_SECONDS, _SLOW_BAUDS = 0.5, 2.0, 9600  # between two draws that no key asked for
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
    _forget_old_size()
    curses.wrapper(lambda window: _loop(window, feed, color=color))


def _forget_old_size() -> None:
    """LINES and COLUMNS of whoever started us hold only where the kernel knows no size, as on a serial line."""
    if 0 not in os.get_terminal_size(sys.stdout.fileno()):
        os.environ.pop("LINES", None)
        os.environ.pop("COLUMNS", None)


def _loop(window: curses.window, feed: Feed, *, color: bool) -> None:
    styles = _styles(color=color)
    curses.curs_set(0) if curses.tigetstr("civis") else None
    window.timeout(_POLL_MILLISECONDS)
    window.leaveok(True)  # noqa: FBT003 (curses' own): nobody looks where the cursor is
    window.idlok(True)  # noqa: FBT003 (curses' own): lines that move are moved by the terminal, not written again
    view, shown, drawn, drawn_at, dead = View(), _shown(feed), None, 0.0, 0
    is_asked = True  # a key was pressed since the last draw
    rest = _SLOW_SECONDS if curses.baudrate() <= _SLOW_BAUDS else _QUICK_SECONDS
    while not view.is_over and dead < _DEAD_READS:
        now = _shown(feed)
        if now != shown:
            view, shown = settle(view, shown, now), now
        state = (view, shown, window.getmaxyx())
        if state != drawn and (is_asked or time.monotonic() >= drawn_at + rest):
            height, width = window.getmaxyx()
            _draw(window, render(view, shown, width, height), styles)
            drawn, drawn_at, is_asked = state, time.monotonic(), False
        started = time.monotonic()
        key = _read(window)
        is_dead = key is None and time.monotonic() - started < _POLL_MILLISECONDS / 4000
        dead = dead + 1 if is_dead else 0
        is_asked = is_asked or key is not None
        if key == "redraw":
            window.clearok(True)  # noqa: FBT003 (curses' own)
            drawn = None
        elif key in _OF_FEED and not view.typing:
            _OF_FEED[key](feed)
        elif key is not None:
            view = press(view, key, shown)
            feed.pause(is_paused=view.is_paused)


def _shown(feed: Feed) -> Shown:
    return Shown(feed.picture, feed.events, feed.message)


_OF_FEED: dict[str, Callable[[Feed], None]] = {
    "r": Feed.look_now,
    "+": lambda feed: feed.source.play_faster(2.0),
    "-": lambda feed: feed.source.play_faster(0.5),
}


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
