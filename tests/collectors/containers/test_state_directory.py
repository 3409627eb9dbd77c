from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.containers.state_directory import list_below, read_below, resolve_directory
from collectors.errors import Denied, Gone, Malformed, TooLarge


def test_reads_a_file_of_exactly_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"12345")
    assert read_below(str(tmp_path), "a/f", 5) == b"12345"
    with pytest.raises(TooLarge):
        read_below(str(tmp_path), "a/f", 4)


def test_follows_links_of_the_host_on_the_hosts_side(tmp_path: Path) -> None:
    (tmp_path / "host" / "run" / "x").mkdir(parents=True)
    (tmp_path / "host" / "var").mkdir()
    (tmp_path / "host" / "var" / "run").symlink_to("/run")
    assert resolve_directory(str(tmp_path / "host"), "var/run/x") == f"{tmp_path}/host/run/x"


def test_refuses_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(Malformed):
        resolve_directory(str(tmp_path), "f")
    with pytest.raises(Gone):
        resolve_directory(str(tmp_path), "nothing")


def test_lists_directories_only(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "l").symlink_to("a")
    assert list_below(str(tmp_path)) == ("a", "b")
    assert list_below(str(tmp_path), "a") == ()
    with pytest.raises(Malformed):
        list_below(str(tmp_path), "l")


@pytest.mark.skipif(os.geteuid() == 0, reason="root is refused nothing")
def test_says_when_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0)
    with pytest.raises(Denied):
        list_below(str(tmp_path), "a")


def test_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "f")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/f", "a/nothing", "b/c", "a/../x", "a/b\x00"):
        with pytest.raises((Malformed, Gone)):
            read_below(str(tmp_path), path, 10)
    assert len(os.listdir("/proc/self/fd")) == before
