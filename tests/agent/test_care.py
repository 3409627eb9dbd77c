from __future__ import annotations

from agent.care import Pauses


def test_rests_twice_as_long_each_time_and_as_at_first_after_a_long_run() -> None:
    now = [1000.0]
    pauses = Pauses(0.5, 60.0, monotonic=lambda: now[0])
    taken = []
    for ran_seconds in (1, 1, 1, 59, 59, 59, 59, 59, 59, 60, 1):
        now[0] += ran_seconds
        taken.append(pauses.take())
        now[0] += taken[-1]
    assert taken == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 0.5, 1.0]
