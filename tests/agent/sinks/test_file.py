from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import SinkError
from agent.formats.catalog import FORMATS
from agent.sinks.file import FileSink
from tests.agent import alerts

ONE, TWO, THREE = (alerts.stored(number) for number in (1, 2, 3))
LINE_BYTES = len(ONE.document) + 1
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.json"


@pytest.fixture
def opened(path: Path) -> Callable[..., FileSink]:
    def make(max_bytes: int = 1 << 20, keep: int = 2, days_ahead: int = 0) -> FileSink:
        return FileSink(
            path,
            FORMATS["ecs"],
            max_bytes=max_bytes,
            rotate_seconds=86_400,
            keep=keep,
            clock_ns=lambda: os.stat(path).st_mtime_ns + days_ahead * DAY_NS,
        )

    return make


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def test_appends_one_line_an_alert_for_its_owner_alone(opened: Callable[..., FileSink], path: Path) -> None:
    sink = opened()
    sink.send((ONE, TWO))
    sink.send((THREE,))
    sink.close()
    opened().send((ONE,))
    assert lines(path) == [each.document for each in (ONE, TWO, THREE, ONE)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_ends_a_line_that_was_torn(opened: Callable[..., FileSink], path: Path) -> None:
    path.write_bytes(ONE.document + b"\n" + TWO.document[:10])
    opened().send((TWO,))
    assert lines(path) == [ONE.document, TWO.document[:10], TWO.document]


def test_moves_a_file_that_would_become_too_large(opened: Callable[..., FileSink], path: Path) -> None:
    sink = opened(max_bytes=2 * LINE_BYTES)
    for each in (ONE, TWO, THREE, ONE, TWO, THREE, ONE):
        sink.send((each,))
    assert lines(path) == [ONE.document]
    assert lines(path.with_name("alerts.json.1")) == [TWO.document, THREE.document]
    assert lines(path.with_name("alerts.json.2")) == [THREE.document, ONE.document]
    assert sorted(each.name for each in path.parent.iterdir()) == ["alerts.json", "alerts.json.1", "alerts.json.2"]


def test_begins_a_new_file_each_day(opened: Callable[..., FileSink], path: Path) -> None:
    opened().send((ONE,))
    opened().send((TWO,))
    opened(days_ahead=1).send((THREE,))
    assert lines(path) == [THREE.document]
    assert lines(path.with_name("alerts.json.1")) == [ONE.document, TWO.document]


@pytest.mark.parametrize("how", ["moved", "removed", "reopened"])
def test_opens_the_file_that_is_at_the_path_now(opened: Callable[..., FileSink], path: Path, how: str) -> None:
    sink = opened()
    sink.send((ONE,))
    match how:
        case "moved":
            path.rename(path.with_name("moved"))
        case "removed":
            path.unlink()
        case _:
            path.write_bytes(b"")
            sink.reopen()
    sink.send((TWO,))
    assert lines(path) == [TWO.document]


@pytest.mark.parametrize("what", ["a symlink", "a directory", "a pipe", "no directory above"])
def test_refuses_what_is_no_file(opened: Callable[..., FileSink], path: Path, what: str) -> None:
    match what:
        case "a symlink":
            path.symlink_to(path.with_name("elsewhere"))
        case "a directory":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case _:
            path.parent.rmdir()
    sink, said = opened(), set()
    for _ in range(2):  # what it is stays what it is
        with pytest.raises(SinkError, match=r"^file: /.*alerts\.json: ") as refused:
            sink.send((ONE,))
        said.add(str(refused.value))
    assert len(said) == 1
    assert not path.with_name("elsewhere").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this node")
def test_writes_again_when_the_disk_has_room(opened: Callable[..., FileSink], path: Path) -> None:
    sink = opened()
    sink.send((ONE,))
    assert sink._descriptor is not None
    full = os.open("/dev/full", os.O_WRONLY)
    good = os.dup(sink._descriptor)
    os.dup2(full, sink._descriptor)
    sink._is_in_place = lambda: True  # type: ignore[method-assign]
    with pytest.raises(SinkError):
        sink.send((TWO,))
    del sink._is_in_place
    os.close(full)
    os.close(good)
    sink.send((TWO,))
    assert lines(path) == [ONE.document, TWO.document]
