from __future__ import annotations

from collectors.containers.problems import Problems


def test_tells_each_problem_once_and_counts_all() -> None:
    problems = Problems()
    for _ in range(3):
        problems.note(("a", "bad"))
    problems.note(("b", "bad"))
    assert problems.take() == (("a", "bad"), ("b", "bad"))
    assert problems.take() == ()
    assert problems.known() == (("a", "bad"), ("b", "bad"))
    assert problems.count == 4


def test_forgets_the_oldest() -> None:
    problems = Problems(limit=2)
    for name in "abc":
        problems.note((name, "bad"))
    assert problems.known() == (("b", "bad"), ("c", "bad"))
    assert problems.take() == (("b", "bad"), ("c", "bad"))
    assert (problems.count, problems.forgotten) == (3, 1)
