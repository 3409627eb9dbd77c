from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exposition import Histogram, HistogramReading, Kind, Metric, Sample, escaped_label, number, render

LOSSES = Metric("hullwatch_losses_total", Kind.COUNTER, "What was lost.", ("source", "reason"), "a list")
QUEUE = Metric("hullwatch_queue", Kind.GAUGE, "What waits.")
TIME = Metric("hullwatch_time_seconds", Kind.HISTOGRAM, "How long.", ("rule",), "rules")


def unescaped(value: str) -> str:
    """As a reader of the format takes it: expfmt/text_parse.go, readTokenAsLabelValue."""
    result, rest = [], iter(value)
    for each in rest:
        assert each not in '"\n'
        result.append({"\\": "\\", "n": "\n", '"': '"'}[next(rest)] if each == "\\" else each)
    return "".join(result)


def test_writes_help_type_and_samples() -> None:
    samples = [
        Sample(LOSSES, 3, ("netlink", "overrun")),
        Sample(LOSSES, 0, ("inbox", "queue_full")),
        Sample(QUEUE, 2.5),
    ]
    assert render(samples).decode() == (
        "# HELP hullwatch_losses_total What was lost.\n"
        "# TYPE hullwatch_losses_total counter\n"
        'hullwatch_losses_total{source="netlink",reason="overrun"} 3\n'
        'hullwatch_losses_total{source="inbox",reason="queue_full"} 0\n'
        "# HELP hullwatch_queue What waits.\n"
        "# TYPE hullwatch_queue gauge\n"
        "hullwatch_queue 2.5\n"
    )


def test_writes_a_histogram_with_sums_of_its_buckets() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert render([Sample(TIME, histogram.read(), ("HW-101",))]).decode() == (
        "# HELP hullwatch_time_seconds How long.\n"
        "# TYPE hullwatch_time_seconds histogram\n"
        'hullwatch_time_seconds_bucket{rule="HW-101",le="0.1"} 2\n'
        'hullwatch_time_seconds_bucket{rule="HW-101",le="1"} 3\n'
        'hullwatch_time_seconds_bucket{rule="HW-101",le="+Inf"} 4\n'
        'hullwatch_time_seconds_sum{rule="HW-101"} 7.65\n'
        'hullwatch_time_seconds_count{rule="HW-101"} 4\n'
    )


def test_writes_nothing_for_no_samples() -> None:
    assert render([]) == b""


def test_escapes_a_help_text() -> None:
    odd = Metric("hullwatch_odd", Kind.GAUGE, 'a "quote", a \\ and\na line')
    assert render([Sample(odd, 1)]).split(b"\n")[0] == rb'# HELP hullwatch_odd a "quote", a \\ and\na line'


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_an_escaped_label_is_valid_and_is_read_as_it_was(value: str) -> None:
    escaped = escaped_label(value)
    assert unescaped(escaped.encode().decode()) == "".join(
        "\ufffd" if "\ud800" <= each <= "\udfff" else each for each in value
    )


@given(st.floats())
def test_a_number_is_read_as_it_was(value: float) -> None:
    read = float(number(value))
    assert read == value or (math.isnan(read) and math.isnan(value))


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (1.0, "1"), (10**20, "100000000000000000000"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (0.1, "0.1")],
)
def test_numbers_are_short(value: float, written: str) -> None:
    assert number(value) == written


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_every_observation_is_in_one_bucket(values: list[float]) -> None:
    histogram = Histogram((1.0, 10.0))
    for value in values:
        histogram.observe(value)
    reading = histogram.read()
    assert reading.counts == (
        sum(value <= 1 for value in values),
        sum(1 < value <= 10 for value in values),
        sum(value > 10 for value in values),
    )
    assert reading.total == sum(values)


def test_refuses_samples_of_a_metric_that_do_not_follow_one_another() -> None:
    with pytest.raises(ValueError, match="hullwatch_queue do not follow"):
        render([Sample(QUEUE, 1), Sample(LOSSES, 1, ("a", "b")), Sample(QUEUE, 2)])


def test_refuses_the_wrong_number_of_labels() -> None:
    with pytest.raises(ValueError, match="shorter"):
        render([Sample(LOSSES, 1, ("netlink",))])


def test_refuses_a_histogram_that_lacks_a_count() -> None:
    with pytest.raises(ValueError, match="shorter"):
        render([Sample(TIME, HistogramReading((1.0,), (1,), 1.0), ("HW-101",))])


@pytest.mark.parametrize(
    ("name", "kind", "labels", "bound", "problem"),
    [
        pytest.param("hullwatch-queue", Kind.GAUGE, (), "", "is no name", id="name-holds-a-dash"),
        pytest.param("hullwatchQueue", Kind.GAUGE, (), "", "is no name", id="name-is-in-camel-case"),
        pytest.param("hullwatch_queue", Kind.COUNTER, (), "", "only they, end with", id="counter-without-total"),
        pytest.param("hullwatch_queue_total", Kind.GAUGE, (), "", "only they, end with", id="gauge-with-total"),
        pytest.param("hullwatch_queue", Kind.GAUGE, ("le",), "x", "'le' is no name", id="label-is-reserved"),
        pytest.param("hullwatch_queue", Kind.GAUGE, ("a b",), "x", "'a b' is no name", id="label-holds-a-blank"),
        pytest.param("hullwatch_queue", Kind.GAUGE, ("a",), "", "need a bound", id="label-without-a-bound"),
    ],
)
def test_refuses_a_declaration(name: str, kind: Kind, labels: tuple[str, ...], bound: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Metric(name, kind, "Help.", labels, bound)
