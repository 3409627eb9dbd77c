from __future__ import annotations

import socket
from pathlib import Path

import pytest

from collectors.own_objects import CGROUP, CONFIGURATION, CONTROL_SOCKET, STATE_DIRECTORY, OwnObjects
from tests.support.proctree import Tree, build_tree

TREE: Tree = {"self": {"cgroup": b"4:cpu:/kubepods/pod1/abc\n0::/kubepods/pod1/abc\n"}}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def own(tmp_path: Path, state: Path) -> OwnObjects:
    own = OwnObjects(build_tree(tmp_path / "proc", TREE), str(state))
    assert list(own.changes()) == []
    return own


def test_silent_while_nothing_changes(own: OwnObjects, state: Path) -> None:
    (state / "outbox.sqlite").write_text("an alert")
    assert list(own.changes()) == []


def test_tells_another_cgroup_once(own: OwnObjects, tmp_path: Path) -> None:
    (tmp_path / "proc/self/cgroup").write_bytes(b"4:cpu:/frozen\n0::/kubepods/pod1/abc\n")
    assert list(own.changes()) == [
        (
            CGROUP,
            "4:cpu:/kubepods/pod1/abc\n0::/kubepods/pod1/abc -> 4:cpu:/frozen\n0::/kubepods/pod1/abc",
        )
    ]
    assert list(own.changes()) == []


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [
        pytest.param(b"4:cpu:/", b"4:cpu:/system.slice/hullwatch.service", False, id="systemd-from-the-root"),
        pytest.param(b"4:cpu:/system.slice", b"4:cpu:/system.slice/hullwatch.service", False, id="systemd-from-slice"),
        pytest.param(b"4:cpu:/system.slice", b"4:cpu:/system.slicer/x", True, id="beside-the-slice"),
        pytest.param(b"4:cpu:/kubepods/abc", b"4:cpu:/kubepods/abc/frozen", True, id="below-its-own"),
        pytest.param(b"4:cpu:/a/b", b"4:cpu:/a", True, id="up"),
        pytest.param(b"4:cpu:/a:b\n3:x:/", b"4:cpu:/a:b", True, id="a-hierarchy-is-gone"),
        pytest.param(b"4:name=a:/a", b"4:name=a:/b:c", True, id="path-holds-a-colon"),
    ],
)
def test_a_move_by_systemd_is_none(tmp_path: Path, before: bytes, after: bytes, *, is_told: bool) -> None:
    proc = build_tree(tmp_path, {"self": {"cgroup": before + b"\n"}})
    own = OwnObjects(proc, None)
    assert list(own.changes()) == []
    Path(proc, "self/cgroup").write_bytes(after + b"\n")
    assert bool(list(own.changes())) is is_told


def test_tells_a_directory_that_is_another(own: OwnObjects, state: Path) -> None:
    state.rename(state.with_name("taken"))
    state.mkdir(mode=0o700)
    ((part, why),) = own.changes()
    assert part == STATE_DIRECTORY
    assert str(state.stat().st_ino) in why.split(" -> ")[1]


def test_tells_a_link_in_its_place(own: OwnObjects, state: Path) -> None:
    state.rename(state.with_name("taken"))
    state.symlink_to("taken")
    ((_, why),) = own.changes()
    assert "-> no directory" in why


def test_tells_that_it_was_opened_to_others(own: OwnObjects, state: Path) -> None:
    state.chmod(0o755)
    ((_, why),) = own.changes()
    assert "mode 0700" in why.split(" -> ")[0]
    assert "mode 0755" in why.split(" -> ")[1]


def test_tells_that_it_is_gone(own: OwnObjects, state: Path) -> None:
    state.rmdir()
    assert [why.split(" -> ")[1] for _, why in own.changes()] == ["No such file or directory"]


def test_without_a_directory_there_is_nothing_to_tell(tmp_path: Path) -> None:
    own = OwnObjects(build_tree(tmp_path / "proc", TREE), None)
    assert list(own.changes()) == []
    assert list(own.changes()) == []


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def test_tells_a_socket_that_is_another_and_not_one_that_appears(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    own = OwnObjects(build_tree(tmp_path / "proc", TREE), None, str(path))
    assert list(own.changes()) == []
    listen(path)
    assert list(own.changes()) == []  # the agent's own, made after the first look
    path.rename(tmp_path / "taken")
    listen(path)
    ((part, why),) = own.changes()
    assert part == CONTROL_SOCKET
    assert str(path.stat().st_ino) in why.split(" -> ")[1]
    path.unlink()
    assert [part for part, _ in own.changes()] == [CONTROL_SOCKET]
    listen(path)
    assert list(own.changes()) == []  # the agent has made it anew
    path.chmod(0o666)
    ((_, why),) = own.changes()
    assert "mode 0666" in why


def test_tells_a_configuration_that_was_opened_to_others_and_not_one_that_was_edited(tmp_path: Path) -> None:
    """A ConfigMap's file is a link into a directory, to which a link leads that the kubelet swaps."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.yaml").write_text(f"log: {{level: {version}}}")
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "config.yaml").symlink_to("data/config.yaml")
    own = OwnObjects(build_tree(tmp_path / "proc", TREE), None, None, str(tmp_path / "config.yaml"))
    assert list(own.changes()) == []
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    assert list(own.changes()) == []
    (tmp_path / "two/config.yaml").chmod(0o666)
    ((part, why),) = own.changes()
    assert part == CONFIGURATION
    assert why.endswith(f"mode 0666, uid {tmp_path.stat().st_uid}")
