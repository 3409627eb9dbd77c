from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import inotify
from collectors.errors import Denied, Malformed, TooLarge
from collectors.inotify import Happening, Inotify, parse_events

CREATED = b"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00job\0\0\0\0\0\0\0\0\0\0\0\0\0"  # of 6.18
OVERFLOW = b"\xff\xff\xff\xff\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


@pytest.fixture
def watching() -> Iterator[Inotify]:
    made = Inotify()
    yield made
    made.close()


def add(watching: Inotify, path: Path, mask: int) -> int:
    fd = os.open(path, os.O_PATH)
    try:
        return watching.add(fd, mask)
    finally:
        os.close(fd)


def test_parses_names_and_what_has_none() -> None:
    assert parse_events(CREATED + OVERFLOW) == (
        Happening(1, inotify.CREATE, b"job"),
        Happening(-1, inotify.Q_OVERFLOW, b""),
    )


def test_parses_a_name_that_is_not_utf_8() -> None:
    data = struct.pack("=iIII", 3, inotify.MODIFY, 0, 16) + b"\xff\n\x85".ljust(16, b"\0")
    assert parse_events(data) == (Happening(3, inotify.MODIFY, b"\xff\n\x85"),)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(CREATED[:7], id="half-an-event"),
        pytest.param(CREATED[:20], id="half-a-name"),
        pytest.param(struct.pack("=iIII", 1, 2, 0, 5000) + bytes(5000), id="name-too-long"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_events(data)


@given(st.binary(max_size=200))
def test_raises_nothing_but_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        parse_events(data)


def test_tells_what_happens_to_a_file_and_nothing_else(watching: Inotify, tmp_path: Path) -> None:
    path = tmp_path / "shadow"
    path.write_text("x")
    watch = add(watching, path, inotify.OPEN)
    path.chmod(0o600)
    assert watching.read() == ()
    path.read_text()
    assert watching.read() == (Happening(watch, inotify.OPEN, b""),)


def test_a_watch_may_be_given_another_mask_and_be_ended(watching: Inotify, tmp_path: Path) -> None:
    watch = add(watching, tmp_path, inotify.CREATE)
    assert add(watching, tmp_path, inotify.MOVED_TO) == watch
    (tmp_path / "a").write_text("")
    assert watching.read() == ()
    watching.remove(watch)
    assert watching.read() == (Happening(watch, inotify.IGNORED, b""),)
    watching.remove(watch)  # it is none any more
    assert watching.read() == ()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, TooLarge), (errno.EMFILE, TooLarge), (errno.EACCES, Denied)]
)
def test_says_why_it_is_refused(monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]) -> None:
    monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    with pytest.raises(kind):
        inotify._check(-1)
