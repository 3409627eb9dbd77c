from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from agent.config_schema import LogConfig
from agent.log import configure_log


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.isatty = lambda: True  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def written(stream: io.StringIO, form: Literal["auto", "json", "console"] = "auto", **values: Any) -> str:
    configure_log(LogConfig(format=form), environment={"NO_COLOR": "1"}, stream=stream)
    structlog.get_logger("sweep").warning("it happened", **values)
    return stream.getvalue()


def test_writes_json_when_no_terminal_looks() -> None:
    line = written(io.StringIO(), pid=7, name=b"\xff\x1b")
    record = json.loads(line)
    assert list(record)[:3] == ["timestamp", "level", "event"]
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "level": "warning",
        "event": "it happened",
        "logger": "sweep",
        "pid": 7,
        "name": "\ufffd\x1b",
    }


def test_writes_for_people_on_a_terminal() -> None:
    line = written(Terminal(), name="a\nb\x1b")
    assert line.endswith("[warning  ] it happened [sweep] name=a\\x0ab\\x1b\n")


def test_colours_a_terminal_unless_asked_not_to() -> None:
    stream = Terminal()
    configure_log(LogConfig(), environment={}, stream=stream)
    structlog.get_logger("x").info("it")
    assert "\x1b[" in stream.getvalue()
    assert "\x1b" not in written(Terminal())


def test_the_configuration_comes_before_the_terminal() -> None:
    assert json.loads(written(Terminal(), form="json"))["event"] == "it happened"
    assert "[warning  ] it happened" in written(io.StringIO(), form="console")


def test_heeds_the_level() -> None:
    stream = io.StringIO()
    configure_log(LogConfig(level="error"), environment={}, stream=stream)
    structlog.get_logger("x").warning("no")
    structlog.get_logger("x").error("yes")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["yes"]


def test_a_traceback_is_on_one_line() -> None:
    for stream in (io.StringIO(), Terminal()):
        configure_log(LogConfig(), environment={"NO_COLOR": "1"}, stream=stream)
        try:
            int("forged\n2026 [info] line")
        except ValueError:
            structlog.get_logger("x").exception("failed")
        assert stream.getvalue().count("\n") == 1
        assert "ValueError" in stream.getvalue()


def test_takes_over_what_libraries_log() -> None:
    stream = io.StringIO()
    configure_log(LogConfig(), environment={}, stream=stream)
    logging.getLogger("docker.api").warning("lost %s", "it")
    logging.getLogger("docker.api").warning("lost %s %s", *["it"])
    logging.getLogger("docker.api").info("boring")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["logger"], each["event"]) for each in records] == [
        ("docker.api", "lost it"),
        ("docker.api", "lost %s %s"),
    ]


def test_a_closed_stream_costs_the_record_only() -> None:
    stream = io.StringIO()
    log = configure_log(LogConfig(), environment={}, stream=stream)
    stream.close()
    structlog.get_logger("x").error("gone")
    assert log.lost == 1
    configure_log(LogConfig(), environment={}, stream=stream)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(categories=None)) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(categories=None)), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "path", "error"]), VALUES), st.booleans())
def test_any_record_is_one_safe_line(values: dict[str, Any], on_terminal: bool) -> None:
    stream = Terminal() if on_terminal else io.StringIO()
    line = written(stream, **values)
    line.encode("utf-8")
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable() or not any(
        ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in line[:-1]
    )
    if not on_terminal:
        json.loads(line)
