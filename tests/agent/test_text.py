from __future__ import annotations

import base64
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.text import (
    MAX_ARGUMENTS,
    arguments,
    clipped,
    raw_base64,
    to_text,
    valid,
    visible,
    visible_bytes,
    visible_json,
)

HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ANY_TEXT = st.text(st.characters(categories=None))


@given(st.binary())
def test_text_of_any_bytes_is_valid_and_visible(raw: bytes) -> None:
    to_text(raw).encode("utf-8")
    assert not any(unicodedata.category(each) in HIDDEN_CATEGORIES for each in visible_bytes(raw))


@given(ANY_TEXT)
def test_visible_twice_is_visible_once(text: str) -> None:
    once = visible(text)
    once.encode("utf-8")
    assert visible(once) == once


def test_no_control_or_format_character_is_left_out() -> None:
    left_out = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in HIDDEN_CATEGORIES and visible(chr(code)) == chr(code)
    ]
    assert left_out == []


@pytest.mark.parametrize("text", ["nginx -g 'daemon off;'", "größe", "日本", "🐳", "é", "C:\\x", "\ufffd"])
def test_keeps_what_can_be_seen(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\nb", "a\\x0ab", id="line-feed"),
        pytest.param("\x1b[2J", "\\x1b[2J", id="escape"),
        pytest.param("\x9b2J", "\\x9b2J", id="c1-csi"),
        pytest.param("\x7f", "\\x7f", id="delete"),
        pytest.param("\u202egpj", "\\u202egpj", id="bidi-override"),
        pytest.param("a\u200bb", "a\\u200bb", id="zero-width"),
        pytest.param("\u2028", "\\u2028", id="line-separator"),
        pytest.param("\U000e0041", "\\U000e0041", id="tag"),
        pytest.param("\udcff", "\\udcff", id="surrogate"),
    ],
)
def test_writes_out_what_cannot_be_seen(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_a_line_of_json_means_the_same_when_made_visible(text: str) -> None:
    text = valid(text)
    line = visible_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(line) == text
    assert not any(unicodedata.category(each) in HIDDEN_CATEGORIES for each in line)


def test_valid_replaces_lone_surrogates_only() -> None:
    assert valid("a\udcffb\ud83d") == "a\ufffdb\ufffd"
    assert valid("a🐳") == "a🐳"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"", (), id="kernel-thread"),
        pytest.param(b"sh\0-c\0id\0", ("sh", "-c", "id"), id="plain"),
        pytest.param(b"sh\0-c\0\0", ("sh", "-c", ""), id="empty-last-argument"),
        pytest.param(b"\0", ("",), id="one-empty-argument"),
        pytest.param(b"nginx: worker process", ("nginx: worker process",), id="title-without-nul"),
        pytest.param(b"\xff\0\xc3", ("\ufffd", "\ufffd"), id="not-utf-8"),
    ],
)
def test_parses_arguments(raw: bytes, expected: tuple[str, ...]) -> None:
    assert arguments(raw) == expected


def test_bounds_arguments() -> None:
    assert len(arguments(b"a\0" * 10_000)) == MAX_ARGUMENTS
    assert sum(map(len, arguments(b"a" * 10_000))) == 4096


def test_keeps_the_bytes_that_were_not_text() -> None:
    assert raw_base64(b"caf\xc3\xa9") is None
    encoded = raw_base64(b"caf\xe9")
    assert encoded is not None
    assert base64.b64decode(encoded) == b"caf\xe9"


def test_clips_with_an_ellipsis() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "ab\u2026"
