from __future__ import annotations

import array
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import SinkError
from agent.formats.catalog import FORMATS
from agent.sinks.journald import JournaldSink, entry
from detectors.base import Severity
from tests.agent import alerts
from tests.support import journald

needs_journald = pytest.mark.skipif((why := journald.missing()) is not None, reason=str(why))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.settimeout(10)
        yield listener


def parse(data: bytes) -> dict[str, bytes]:
    """The fields, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ has them."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            (size,) = struct.unpack_from("<Q", rest)
            name, value, rest = line, rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value
        data = rest
    return fields


def received(journal: socket.socket) -> dict[str, bytes]:
    data, ancillary, _, _ = journal.recvmsg(1 << 20, 1024)
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            (descriptor,) = array.array("i", rights)
            data = os.pread(descriptor, 1 << 24, 0)
            with pytest.raises(PermissionError):
                os.pwrite(descriptor, b"x", 0)
            os.close(descriptor)
    return parse(data)


def test_one_entry_an_alert_with_fields_to_select_by(journal: socket.socket, tmp_path: Path) -> None:
    sink = JournaldSink(str(tmp_path / "socket"), FORMATS["ecs"])
    alert = alerts.stored_whole()
    sink.send((alert, alerts.stored(2, Severity.INFO)))
    first, second = received(journal), received(journal)
    assert first["MESSAGE"].startswith(b"Container web-1 (debian:12), process nsenter")
    assert first["HULLWATCH_ALERT"] == alert.document
    assert (first["PRIORITY"], second["PRIORITY"]) == (b"2", b"6")
    assert first["SYSLOG_IDENTIFIER"] == b"hullwatch"
    assert first["HULLWATCH_EVENT_ID"] == alert.id.encode()
    assert first["CONTAINER_ID_FULL"] == (alert.container_id or "").encode()
    assert "CONTAINER_ID_FULL" not in second
    sink.close()


def test_a_value_that_holds_a_line_feed_makes_no_field() -> None:
    fields = parse(entry(alerts.stored(container_id="x\nPRIORITY=0"), b"a\nb"))
    assert fields["PRIORITY"] == b"3"
    assert fields["CONTAINER_ID_FULL"] == b"x\nPRIORITY=0"
    assert fields["HULLWATCH_ALERT"] == b"a\nb"


def test_hands_over_a_large_entry_as_a_sealed_file(journal: socket.socket, tmp_path: Path) -> None:
    sink = JournaldSink(str(tmp_path / "socket"), FORMATS["ecs"])
    large = alerts.stored(document=b'"' + b"x" * 1_000_000 + b'"')
    sink.send((large,))
    assert received(journal)["HULLWATCH_ALERT"] == large.document
    sink.close()


def test_says_that_the_journal_is_away_and_finds_it_again(tmp_path: Path) -> None:
    sink = JournaldSink(str(tmp_path / "socket"), FORMATS["ecs"])
    with pytest.raises(SinkError, match=r"^journald: /.*socket: No such file"):
        sink.send((alerts.stored(),))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "socket"))
        sink.send((alerts.stored(),))
        assert parse(journal.recv(1 << 20))["HULLWATCH_RULE_ID"] == b"HW-101"
    sink.close()


# Debian's journald ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="hw-") as directory:
        yield Path(directory)


@needs_journald
def test_journald_keeps_every_alert_with_its_fields(place: Path) -> None:
    alert = alerts.stored_whole()
    large = alerts.stored(3, document=b'"' + b"x" * 700_000 + b'"')
    hostile = alerts.stored(4, container_id="x\nPRIORITY=0")
    with journald.Journald(place) as journal:
        sink = JournaldSink(str(journal.socket), FORMATS["ecs"])
        sink.send((alert, alerts.stored(2, Severity.INFO), large, hostile))
        first, second, third, fourth = journal.entries(4)
        sink.close()
    assert first["MESSAGE"].startswith("Container web-1 (debian:12), process nsenter")
    assert first["HULLWATCH_ALERT"].encode() == alert.document
    assert first["CONTAINER_ID_FULL"] == alert.container_id
    assert (first["PRIORITY"], second["PRIORITY"]) == ("2", "6")
    assert first["_TRANSPORT"] == "journal"
    assert first["_PID"] == str(os.getpid())
    assert third["HULLWATCH_ALERT"].encode() == large.document
    assert (fourth["PRIORITY"], fourth["CONTAINER_ID_FULL"]) == ("3", "x\nPRIORITY=0")


@needs_journald
def test_goes_on_with_a_journald_that_was_restarted(place: Path) -> None:
    with journald.Journald(place) as journal:
        sink = JournaldSink(str(journal.socket), FORMATS["ecs"])
        sink.send((alerts.stored(1),))
        journal.entries(1)
    with pytest.raises(SinkError, match=r"^journald: "):
        sink.send((alerts.stored(2),))
    with journald.Journald(place) as journal:
        sink.send((alerts.stored(2),))
        ids = [each["HULLWATCH_EVENT_ID"] for each in journal.entries(2)]
    sink.close()
    assert ids == [alerts.stored(1).id, alerts.stored(2).id]
