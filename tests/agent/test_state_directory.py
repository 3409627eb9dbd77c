from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.state_directory import LOCK_NAME, StateDirectory, StateUnavailable


def test_makes_it_for_its_owner_alone(tmp_path: Path) -> None:
    made = StateDirectory(tmp_path / "a" / "state")
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((made.path / LOCK_NAME).stat().st_mode) == 0o600
    made.release()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    held = StateDirectory(tmp_path / "state")
    with pytest.raises(ConfigError, match=r"^state\.directory: is '.*state', which another agent uses"):
        StateDirectory(tmp_path / "state")
    held.release()
    StateDirectory(tmp_path / "state").release()


def test_refuses_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to("real")
    with pytest.raises(ConfigError, match="a symlink; wanted the directory itself"):
        StateDirectory(tmp_path / "state")


def test_refuses_a_directory_that_everybody_may_write_to(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o1777)
    with pytest.raises(ConfigError, match="which everybody may write to; wanted mode 0700"):
        StateDirectory(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_refuses_a_directory_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12_345, 12_345)
    with pytest.raises(ConfigError, match="which belongs to uid 12345"):
        StateDirectory(tmp_path / "state")


def test_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match="which is no directory"):
        StateDirectory(tmp_path / "state")


def test_a_lock_that_is_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailable, match="Too many levels"):
        StateDirectory(tmp_path / "state")
    assert not (tmp_path / "elsewhere").exists()


def test_says_why_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnavailable, match=r"file/state: Not a directory"):
        StateDirectory(tmp_path / "file" / "state")
