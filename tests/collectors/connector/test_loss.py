from hypothesis import given
from hypothesis import strategies as st

from collectors.connector.loss import RECEIVE_BUFFER_FULL, SEQUENCE_GAP, Gap, LossTracker


def test_counts_nothing_for_the_first_record_of_a_cpu() -> None:
    assert LossTracker().observe(0, 7) is None


def test_counts_each_cpu_for_itself() -> None:
    tracker = LossTracker()
    tracker.observe(0, 7)
    tracker.observe(1, 100)
    assert tracker.observe(0, 8) is None
    assert tracker.observe(1, 104) == Gap(SEQUENCE_GAP, 3)


def test_counts_across_the_wrap() -> None:
    tracker = LossTracker()
    tracker.observe(0, 2**32 - 2)
    assert tracker.observe(0, 2) == Gap(SEQUENCE_GAP, 3)


def test_starts_anew_when_a_number_lies_behind() -> None:
    tracker = LossTracker()
    tracker.observe(0, 1000)
    assert tracker.observe(0, 10) is None
    assert tracker.observe(0, 12) == Gap(SEQUENCE_GAP, 1)


def test_blames_the_receive_buffer_for_one_gap_of_each_cpu() -> None:
    tracker = LossTracker()
    tracker.observe(0, 1)
    tracker.observe(1, 1)
    tracker.note_overrun()
    assert tracker.observe(0, 2) is None
    assert tracker.observe(0, 5) == Gap(RECEIVE_BUFFER_FULL, 2)
    assert tracker.observe(0, 7) == Gap(SEQUENCE_GAP, 1)
    assert tracker.observe(1, 3) == Gap(RECEIVE_BUFFER_FULL, 1)


@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), max_size=60))
def test_counts_what_is_missing_between_the_first_and_the_last_that_came(first: int, came: list[bool]) -> None:
    tracker = LossTracker()
    tracker.observe(0, first)
    arrivals = [number for number, has_come in enumerate(came, 1) if has_come]
    gaps = [tracker.observe(0, (first + number) % 2**32) for number in arrivals]
    assert sum(gap.missing for gap in gaps if gap) == (arrivals[-1] - len(arrivals) if arrivals else 0)
