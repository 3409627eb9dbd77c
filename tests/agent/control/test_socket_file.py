from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from agent.control.socket_file import Peer, SocketRefused, group_id, listen, may_ask, peer_of


def test_only_its_owner_can_connect_and_its_end_takes_it_away(tmp_path: Path) -> None:
    path = tmp_path / "run/control.sock"
    bound = listen(str(path), None)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    bound.close()
    assert not path.exists()


def test_a_group_may_connect_where_one_is_given(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    bound = listen(str(path), os.getgid())
    assert (stat.S_IMODE(path.lstat().st_mode), path.lstat().st_gid) == (0o660, os.getgid())
    bound.close()


def test_what_a_killed_agent_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.listen()
    left.close()
    bound = listen(str(path), None)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    bound.close()


def test_refuses_a_socket_on_which_somebody_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    first = listen(path, None)
    with pytest.raises(SocketRefused, match="in use"):
        listen(path, None)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)  # the first one still answers
    first.close()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_refuses_what_is_no_socket_and_leaves_it_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "control.sock"
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "elsewhere").write_text("mine")
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SocketRefused, match="is there already"):
        listen(str(path), None)
    assert path.lstat()


def test_its_end_leaves_a_successors_socket_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    first = listen(str(path), None)
    path.unlink()
    second = listen(str(path), None)
    first.close()
    assert path.exists()
    second.close()


def test_refuses_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(SocketRefused, match="too long"):
        listen(str(tmp_path / ("x" * 120)), None)


def test_the_kernel_says_who_is_there() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        peer = peer_of(here)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert peer.groups == frozenset(os.getgroups())


@pytest.mark.parametrize(
    ("peer", "gid", "answer"),
    [
        (Peer(1, 0, 0, frozenset()), None, True),
        (Peer(1, 4_000_000, 0, frozenset()), None, False),
        (Peer(1, 4_000_000, 0, frozenset({0, 5})), None, False),
        (Peer(1, 4_000_000, 77, frozenset()), 77, True),
        (Peer(1, 4_000_000, 5, frozenset({77})), 77, True),
        (Peer(1, 4_000_000, 5, frozenset({78})), 77, False),
    ],
)
def test_who_may_ask(peer: Peer, gid: int | None, answer: bool) -> None:
    assert may_ask(peer, gid) is answer


def test_a_group_is_a_name_or_a_number() -> None:
    assert group_id("0") == group_id("root") == 0
    with pytest.raises(SocketRefused, match="no such group"):
        group_id("no-such-group-here")
