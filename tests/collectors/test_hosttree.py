"""Tests of ``collectors.hosttree``."""

import os
import stat
from pathlib import Path

import pytest

from collectors.errors import Denied, Gone, TooLarge
from collectors.facts import FileId
from collectors.hosttree import LinkRefused, directories_below, entries_below, locate_below, open_below, read_below


@pytest.fixture
def host(tmp_path: Path) -> str:
    root = tmp_path / "host"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/runc").write_bytes(b"program")
    (root / "bin").symlink_to("/usr/bin")  # absolute: means the host's /usr/bin, not ours
    (root / "up").symlink_to("../../../usr")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    return str(root)


def real_path(host: str, path: bytes) -> bytes:
    with open_below(host, path, follow_links=True) as (_, found):
        return found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(b"/usr/bin/runc", b"/usr/bin/runc", id="plain"),
        pytest.param(b"/bin/runc", b"/usr/bin/runc", id="absolute-link"),
        pytest.param(b"/up/bin//./runc", b"/usr/bin/runc", id="link-above-the-root"),
        pytest.param(b"/../../../usr/bin/../bin/runc", b"/usr/bin/runc", id="path-above-the-root"),
        pytest.param(b"/", b"/", id="the-root"),
    ],
)
def test_parses_a_path_as_the_host_means_it(host: str, path: bytes, expected: bytes) -> None:
    assert real_path(host, path) == expected


@pytest.mark.parametrize(
    ("path", "error"),
    [
        pytest.param(b"/nowhere", Gone, id="missing"),
        pytest.param(b"/usr/bin/runc/x", Gone, id="below-a-file"),
        pytest.param(b"/loop", TooLarge, id="links-in-a-circle"),
        pytest.param(b"/a" * 600, TooLarge, id="too-many-components"),
        pytest.param(b"/a\0b", TooLarge, id="nul"),
    ],
)
def test_refuses_paths(host: str, path: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        real_path(host, path)


def test_locates_a_file_and_every_directory_above_it(host: str) -> None:
    found = locate_below(host, b"/bin/runc")
    above = [Path(host), Path(host) / "usr", Path(host) / "usr/bin", Path(host) / "usr/bin/runc"]
    assert found.path == b"/usr/bin/runc"
    assert found.chain == tuple(FileId(each.stat().st_dev, each.stat().st_ino) for each in above)
    assert stat.S_ISREG(found.mode)


def test_refuses_to_locate_what_is_not_there(host: str) -> None:
    with pytest.raises(Gone):
        locate_below(host, b"/nowhere")
    with pytest.raises(TooLarge):
        locate_below(host, b"/loop")


def test_refuses_any_link_when_told_so(host: str) -> None:
    with pytest.raises(LinkRefused), open_below(host, b"/bin/runc", follow_links=False):
        pass


def test_refuses_to_read_what_is_no_regular_file(host: str) -> None:
    assert read_below(host, b"/bin/runc", 4) == b"prog"
    with pytest.raises(Denied):
        read_below(host, b"/fifo", 4)


def test_parses_a_directory_up_to_its_bound(host: str) -> None:
    assert entries_below(host, b"/bin", 10) == [b"runc"]
    assert len(entries_below(host, b"/", 2)) == 2


def test_refuses_paths_without_leaking_a_descriptor(host: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"/bin/runc", b"/loop", b"/nowhere"):
        try:
            real_path(host, path)
        except (Gone, TooLarge):
            continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_lists_the_directories_of_a_directory_and_no_links_to_some(tmp_path: Path) -> None:
    (tmp_path / "etc/a").mkdir(parents=True)
    (tmp_path / "etc/file").write_text("")
    (tmp_path / "etc/link").symlink_to("a")
    assert directories_below(str(tmp_path), b"/etc", 100) == [b"a"]
    with pytest.raises(Gone):
        directories_below(str(tmp_path), b"/none", 100)
