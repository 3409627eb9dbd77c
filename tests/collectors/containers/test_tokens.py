from __future__ import annotations

from collectors.containers.tokens import Tokens

SECOND_NS = 1_000_000_000


def test_begins_with_as_many_as_may_be_taken_at_once() -> None:
    tokens = Tokens(10, 3, 0)
    assert [tokens.take(0) for _ in range(4)] == [True, True, True, False]


def test_earns_with_time_and_no_more_than_may_be_taken_at_once() -> None:
    tokens = Tokens(10, 3, 0)
    assert all(tokens.take(0) for _ in range(3))
    assert [tokens.take(SECOND_NS // 10), tokens.take(SECOND_NS // 10)] == [True, False]
    assert [tokens.take(60 * SECOND_NS) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_was_set_back_earns_nothing() -> None:
    tokens = Tokens(10, 1, SECOND_NS)
    assert tokens.take(SECOND_NS)
    assert not tokens.take(0)
    assert tokens.take(SECOND_NS // 10)
