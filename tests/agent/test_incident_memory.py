from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.incident_memory import EVERY_NS, MAX_CONTAINERS, NAME, IncidentMemory
from agent.incidents import WINDOW_NS, Incidents

NOW_NS = 1_763_700_000 * 10**9


def restarted(directory: Path | None, before: Incidents) -> Incidents:
    """What an agent knows that is started where another one ended."""
    IncidentMemory(directory).keep(before, NOW_NS, is_last=True)
    after = Incidents("boot")
    IncidentMemory(directory).restore(after)
    return after


def second_story() -> Incidents:
    """Of a container whose first story was over before."""
    incidents = Incidents("boot")
    incidents.assign("c1", NOW_NS - WINDOW_NS - 1)
    incidents.assign("c1", NOW_NS)
    return incidents


def test_a_story_that_goes_on_keeps_its_id(tmp_path: Path) -> None:
    before = second_story()
    after = restarted(tmp_path, before)
    assert after.assign("c1", NOW_NS + WINDOW_NS).id == before.assign("c1", NOW_NS).id
    assert after.assign("c2", NOW_NS).id == before.assign("c2", NOW_NS).id


def test_the_next_story_has_an_id_of_its_own(tmp_path: Path) -> None:
    before = second_story()
    ids = {before.assign("c1", NOW_NS).id, Incidents("boot").assign("c1", NOW_NS).id}
    assert restarted(tmp_path, before).assign("c1", NOW_NS + WINDOW_NS + 1).id not in ids


def test_what_was_over_stays_over(tmp_path: Path) -> None:
    before = second_story()
    before.expire(NOW_NS + WINDOW_NS + 1)
    ids = {second_story().assign("c1", NOW_NS).id, Incidents("boot").assign("c1", NOW_NS).id}
    assert restarted(tmp_path, before).assign("c1", NOW_NS).id not in ids


def test_what_was_not_heard_of_since_is_known_to_the_one_after(tmp_path: Path) -> None:
    before = second_story()
    after = restarted(tmp_path, restarted(tmp_path, before))
    assert after.assign("c1", NOW_NS).id == before.assign("c1", NOW_NS).id


def test_an_agent_without_state_begins_anew() -> None:
    assert restarted(None, second_story()).assign("c1", NOW_NS).id == Incidents("boot").assign("c1", NOW_NS).id


def test_writes_when_something_changed_and_not_too_often(tmp_path: Path) -> None:
    memory, incidents = IncidentMemory(tmp_path), second_story()
    memory.keep(incidents, NOW_NS)
    (tmp_path / NAME).unlink()
    incidents.assign("c2", NOW_NS)
    memory.keep(incidents, NOW_NS + EVERY_NS - 1)
    assert not (tmp_path / NAME).exists()
    memory.keep(incidents, NOW_NS + EVERY_NS)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / NAME).unlink()
    memory.keep(incidents, NOW_NS + 2 * EVERY_NS)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b'[["c1","x",1]]', b"[" * 2000])
def test_a_file_that_makes_no_sense_costs_nothing_else(tmp_path: Path, data: bytes) -> None:
    (tmp_path / NAME).write_bytes(data)
    incidents = Incidents("boot")
    IncidentMemory(tmp_path).restore(incidents)
    assert incidents.assign("c1", NOW_NS).id == Incidents("boot").assign("c1", NOW_NS).id


def test_follows_no_link_and_needs_no_directory(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b'[["c1",7,0]]')
    (tmp_path / NAME).symlink_to("other")
    incidents = Incidents("boot")
    IncidentMemory(tmp_path).restore(incidents)
    IncidentMemory(tmp_path / "none").keep(incidents, NOW_NS)
    assert incidents.numbers() == ()


def test_is_bounded_and_keeps_no_name_that_is_no_text(tmp_path: Path) -> None:
    incidents = Incidents("boot")
    for number in range(MAX_CONTAINERS + 1):
        incidents.assign(f"c{number}", NOW_NS)
    incidents.assign("\udcff", NOW_NS)
    assert len(restarted(tmp_path, incidents).numbers()) == MAX_CONTAINERS


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can become larger: what is written across that is written in part (setrlimit(2), RLIMIT_FSIZE)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_in_part_takes_nobodys_place_and_is_written_later(tmp_path: Path) -> None:
    memory, incidents = IncidentMemory(tmp_path), second_story()
    memory.keep(incidents, NOW_NS)
    whole = (tmp_path / NAME).read_bytes()
    for number in range(200):
        incidents.assign(f"{number:064x}", NOW_NS)
    with room_for(4096):
        memory.keep(incidents, NOW_NS + EVERY_NS)
    assert (tmp_path / NAME).read_bytes() == whole
    memory.keep(incidents, NOW_NS + 2 * EVERY_NS)
    assert f"{199:064x}".encode() in (tmp_path / NAME).read_bytes()


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_a_byte_that_is_another_one_costs_no_more_than_the_memory(tmp_path: Path, at: int) -> None:
    IncidentMemory(tmp_path).keep(second_story(), NOW_NS, is_last=True)
    data = bytearray((tmp_path / NAME).read_bytes())
    data[at % len(data)] ^= 0x80
    (tmp_path / NAME).write_bytes(data)
    after = Incidents("boot")
    IncidentMemory(tmp_path).restore(after)
    assert after.assign("c1", NOW_NS).findings == 1
