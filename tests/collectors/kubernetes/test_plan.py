from __future__ import annotations

import random
from collections import Counter

from collectors.kubernetes.plan import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    List,
    Uniform,
    Wait,
    Watch,
    WatchPlan,
)


def highest(_low: float, high: float) -> float:
    return high


def chance(seed: int) -> Uniform:
    return random.Random(seed).uniform  # noqa: S311 (no secret)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def started(uniform: Uniform = highest) -> WatchPlan:
    plan = WatchPlan(uniform, spread_seconds=30.0)
    assert isinstance(plan.next(), Wait)
    return plan


def pause(plan: WatchPlan) -> float:
    step = plan.next()
    assert isinstance(step, Wait)
    return step.seconds


def test_waits_for_its_part_of_the_spread_then_lists_then_watches() -> None:
    plan = WatchPlan(middle, spread_seconds=30.0)
    assert plan.next() == Wait(15.0)
    assert plan.next() == List("0")
    plan.listed("1001")
    assert plan.next() == Watch("1001", 450)


def test_a_window_that_ended_in_time_is_followed_by_the_next_at_once() -> None:
    plan = started()
    plan.listed("1001")
    plan.progressed("1005")
    assert plan.watched(600.0, 600)
    assert plan.next() == Watch("1005", 600)


def test_a_watch_that_was_cut_is_taken_up_where_it_was_after_a_pause() -> None:
    plan = started()
    plan.listed("1001")
    plan.progressed("1005")
    assert not plan.watched(12.0, 600)
    assert pause(plan) == FIRST_PAUSE_SECONDS
    assert plan.next() == Watch("1005", 600)


def test_pauses_double_up_to_a_bound() -> None:
    plan = started()
    pauses = []
    for _ in range(8):
        plan.failed(None)
        pauses.append(pause(plan))
    assert pauses == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, LONGEST_PAUSE_SECONDS]


def test_a_failure_after_a_steady_watch_is_a_first_one() -> None:
    plan = started()
    plan.listed("1001")
    for _ in range(5):
        plan.failed(None)
    plan.failed(None, lasted_seconds=60.0)
    assert pause(plan) == FIRST_PAUSE_SECONDS


def test_what_the_server_asks_for_is_the_least_pause_and_not_the_same_for_all() -> None:
    pauses = []
    for seed in range(200):
        plan = started(chance(seed))
        plan.failed(7.0)
        pauses.append(pause(plan))
    assert 7.0 <= min(pauses) < 7.5
    assert 16.5 < max(pauses) <= 17.0


def test_an_absurd_retry_after_is_bounded() -> None:
    plan = started()
    plan.failed(1e9)
    assert pause(plan) == LONGEST_RETRY_AFTER_SECONDS + FIRST_PAUSE_SECONDS
    plan.failed(-5.0)
    assert pause(plan) == 20.0


def test_lists_again_when_its_version_is_forgotten_and_from_the_store_when_that_did_not_help() -> None:
    plan = started()
    plan.listed("1001")
    plan.failed(None)
    pause(plan)
    plan.expired()
    assert pause(plan) == 30.0
    assert plan.next() == List("0")
    plan.listed("900")
    plan.expired()
    assert pause(plan) == 10.0
    assert plan.next() == List("")
    plan.listed("2000")
    plan.progressed("2001")
    plan.expired()
    pause(plan)
    assert plan.next() == List("0")


def test_the_windows_of_many_agents_end_at_different_times() -> None:
    windows = set()
    for seed in range(200):
        plan = started(chance(seed))
        plan.listed("1")
        step = plan.next()
        assert isinstance(step, Watch)
        windows.add(step.window_seconds)
    assert len(windows) > 100
    assert min(windows) >= 300
    assert max(windows) <= 600


def worst_second(times: list[float]) -> int:
    return max(Counter(int(at) for at in times).values())


def test_five_thousand_agents_that_start_at_once_do_not_ask_at_once() -> None:
    plans = [WatchPlan(chance(seed), spread_seconds=30.0) for seed in range(5000)]
    started_at = [pause(plan) for plan in plans]
    assert worst_second(started_at) < 1.4 * 5000 / 30
    for plan in plans:
        plan.listed("1")
        plan.watched(30.0, 600)
    assert worst_second([pause(plan) for plan in plans]) < 1.2 * 5000 / 10
    for plan in plans:
        plan.expired()
    assert worst_second([pause(plan) for plan in plans]) < 1.4 * 5000 / 30
