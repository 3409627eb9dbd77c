from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.node.arguments import is_true, parse_flags

SHORT = {"H": "host", "D": "debug"}
SWITCHES = frozenset({"debug", "icc"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dockerd", {}),
        ("dockerd -H fd:// --host=tcp://x", {"host": ["fd://", "tcp://x"]}),
        ("dockerd -Hfd:// -H=unix://y", {"host": ["fd://", "unix://y"]}),
        ("dockerd --icc=false --debug extra --data-root /d", {"icc": ["false"], "debug": [""], "data-root": ["/d"]}),
        ("dockerd -D --host", {"debug": [""], "host": [""]}),
        ("dockerd --host --debug", {"host": [""], "debug": [""]}),
        ("dockerd -- --host=x", {}),
        ("dockerd - --host x", {"host": ["x"]}),
    ],
)
def test_parses_flags_as_go_does(line: str, expected: dict[str, list[str]]) -> None:
    assert parse_flags(line.encode().split(b" "), short=SHORT, switches=SWITCHES) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("", True), ("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_a_bare_switch_is_on(value: str, *, expected: bool) -> None:
    assert is_true(value) is expected


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_refuses_nothing(arguments: list[bytes]) -> None:
    parse_flags(arguments, short=SHORT, switches=SWITCHES)
