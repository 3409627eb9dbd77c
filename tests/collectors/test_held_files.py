"""Descriptors of this very process, as /proc shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.errors import Malformed
from collectors.events import Touch, Watched, WatchKind
from collectors.facts import NOT_READ, Descriptor, DescriptorKind, FileId, Place, Process, ProcessKey
from collectors.held_files import HeldFiles, WatchedFile, parse_open_flags, touch_of
from collectors.watched_objects import Watch
from tests.support import build
from tests.support.processes import start_ticks

SHADOW = Watched("/shadow", WatchKind.SECRET)
ACCOUNTS = Watched("/shadow", WatchKind.PERSISTENCE)
OURSELVES = os.getpid()


class Host:
    """A host with one file, and who looks for it."""

    def __init__(self, root: Path, watch: Watch) -> None:
        self.path = root / "shadow"
        self.path.write_text("root:x")
        self.held = HeldFiles("/proc")
        self.held.files = {self.file: (WatchedFile(watch, (SHADOW, ACCOUNTS), str(root), b"/shadow"),)}

    @property
    def file(self) -> FileId:
        status = self.path.stat()
        return FileId(status.st_dev, status.st_ino)

    def touches(self, limit: int = 100_000) -> list[Touch]:
        found = self.held.scan(OURSELVES, self.held.files, limit)
        return [each.touch for each in found.held] if found is not None else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, Watch.READ | Watch.WRITE)


@pytest.fixture
def opened(host: Host, request: pytest.FixtureRequest) -> Iterator[int]:
    fd = os.open(host.path, request.param)
    yield fd
    os.close(fd)


def test_parses_the_flags_of_a_line() -> None:
    assert (
        parse_open_flags(b"pos:\t0\nflags:\t0100002\nmnt_id:\t29\nino:\t7\n") == os.O_RDWR | os.O_LARGEFILE | 0o100000
    )


@pytest.mark.parametrize("data", [b"", b"flags:\t9\n", b"flags:\n", b"xflags:\t01\n"])
def test_refuses_a_file_without_flags(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_open_flags(data)


READ = WatchedFile(Watch.READ, (SHADOW,), "/", b"/shadow")
WRITE = WatchedFile(Watch.WRITE, (ACCOUNTS,), "/", b"/shadow")
ENTRY = WatchedFile(Watch.WRITE, (ACCOUNTS,), "/", b"/etc/x", is_entry=True)


@pytest.mark.parametrize(
    ("flags", "files", "expected"),
    [
        (os.O_RDONLY, (READ,), (Touch.READ, READ)),
        (os.O_RDONLY, (WRITE,), None),
        (os.O_WRONLY | os.O_APPEND, (WRITE,), (Touch.WRITTEN, WRITE)),
        (os.O_RDWR, (READ,), None),
        (os.O_RDWR, (READ, ENTRY), (Touch.ENTRY, ENTRY)),
        (os.O_WRONLY, (WRITE, ENTRY), (Touch.WRITTEN, WRITE)),
        (os.O_RDONLY, (ENTRY,), None),
        (os.O_PATH, (READ, WRITE), None),
        (os.O_ACCMODE, (READ, WRITE), (Touch.READ, READ)),
    ],
)
def test_tells_as_the_kernel_programs_do(
    flags: int, files: tuple[WatchedFile, ...], expected: tuple[Touch, WatchedFile] | None
) -> None:
    assert touch_of(flags, files) == expected


@pytest.mark.parametrize(
    ("opened", "touches"),
    [(os.O_RDONLY, [Touch.READ]), (os.O_RDWR, [Touch.WRITTEN]), (os.O_WRONLY, [Touch.WRITTEN]), (os.O_PATH, [])],
    indirect=["opened"],
)
@pytest.mark.usefixtures("opened")
def test_finds_who_holds_a_file_and_how(host: Host, touches: list[Touch]) -> None:
    assert host.touches() == touches


@pytest.mark.parametrize("opened", [os.O_RDONLY], indirect=True)
@pytest.mark.usefixtures("opened")
def test_says_whose_it_is_and_what_the_link_says(host: Host) -> None:
    found = host.held.scan(OURSELVES, host.held.files, 100_000)
    assert found is not None
    assert found.key == (OURSELVES, start_ticks(OURSELVES))
    (held,) = found.held
    assert (held.path, held.file, held.watched) == (os.fsencode(host.path), host.file, (SHADOW, ACCOUNTS))


@pytest.mark.parametrize("opened", [os.O_RDWR], indirect=True)
@pytest.mark.usefixtures("opened")
def test_a_file_that_the_host_has_replaced_is_nobodys_business(host: Host) -> None:
    """Its inode may be given to any other file, while our list still has it."""
    fresh = host.path.with_name("fresh")
    fresh.write_text("")
    fresh.rename(host.path)
    assert host.touches() == []


@pytest.mark.parametrize("opened", [os.O_RDONLY], indirect=True)
@pytest.mark.usefixtures("opened")
def test_looks_at_no_more_descriptors_than_it_was_told_to(host: Host) -> None:
    assert host.touches(limit=1) == []


def test_who_has_ended_holds_nothing(host: Host) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert host.held.scan(ended.pid, host.held.files, 100) is None


def holding(start: int, number: int, file: FileId) -> Process:
    other = Descriptor(0, DescriptorKind.FILE, Place(FileId(1, 2), 1), b"/y")
    held = (Descriptor(number, DescriptorKind.FILE, Place(file, 1), b"/x"), other)
    return replace(build.process(descriptors=held), key=ProcessKey(OURSELVES, start))


@pytest.mark.parametrize("opened", [os.O_RDONLY], indirect=True)
def test_of_descriptors_that_were_read_before_what_is_still_so_is_told(host: Host, opened: int) -> None:
    start = start_ticks(OURSELVES)
    assert [each.touch for each in host.held.among(holding(start, opened, host.file))] == [Touch.READ]
    assert host.held.among(holding(start + 1, opened, host.file)) == ()
    assert host.held.among(holding(start, 9_999, host.file)) == ()
    assert host.held.among(build.process(descriptors=NOT_READ)) == ()
