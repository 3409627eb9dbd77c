from __future__ import annotations

from agent import tally


def test_counts_by_reason() -> None:
    table: dict[str, int] = {}
    assert [tally.count(table, reason) for reason in ("a", "b", "a")] == [1, 1, 2]
    assert table == {"a": 2, "b": 1}


def test_a_full_table_counts_what_is_new_as_other() -> None:
    table: dict[str, int] = {}
    for number in range(tally.MAX_REASONS + 10):
        tally.count(table, f"reason {number}")
    assert len(table) == tally.MAX_REASONS + 1
    assert table[tally.OTHER] == 10
    assert tally.count(table, "reason 0") == 2
