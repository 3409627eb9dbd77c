from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.control import client as client_module
from agent.control.client import Connection, ControlError, NoAgent, NoPermission, NotOurs, OtherVersion
from agent.control.protocol import PROTOCOL, Code, Error, Hello, Item, encode

PATIENCE_SECONDS = 10.0
STRANGER = 4_000_001
GREETING = encode(Hello(PROTOCOL, "0.1.0"))


@contextmanager
def saying(path: Path, *words: bytes) -> Iterator[str]:
    """Somebody who listens there, says that to whoever comes, and hangs up after a question."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.sendall(words[0])
            for each in words[1:]:
                connection.recv(65_536)
                connection.sendall(each)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield str(path)
    finally:
        thread.join(PATIENCE_SECONDS)
        listener.close()


def test_no_agent_where_there_is_no_socket(tmp_path: Path) -> None:
    with pytest.raises(NoAgent, match="no socket"):
        Connection(str(tmp_path / "control.sock"))
    with pytest.raises(NoAgent, match="no socket"):
        Connection(str(tmp_path / "nowhere/control.sock"))


def test_no_agent_where_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with pytest.raises(NoAgent, match="nobody listens"):
        Connection(str(path))


@pytest.mark.parametrize("kind", ["file", "link"])
def test_refuses_what_is_no_socket(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "control.sock"
    if kind == "file":
        path.write_bytes(b"")
    else:
        path.symlink_to("/run/somewhere")
    with pytest.raises(NotOurs, match="no socket"):
        Connection(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a file away")
def test_refuses_a_socket_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with saying(path, GREETING) as where:
        os.chown(path, STRANGER, -1)
        with pytest.raises(NotOurs, match="may be a trap"):
            Connection(where)
        os.chown(path, 0, -1)
        Connection(where).close()


def test_an_agent_of_another_version_is_named(tmp_path: Path) -> None:
    with (
        saying(tmp_path / "s", encode(Hello(PROTOCOL + 1, "9.0.0"))) as where,
        pytest.raises(OtherVersion, match=r"hullwatch 9\.0\.0 and speaks version 2 .* this command speaks 1"),
    ):
        Connection(where)


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH\r\n", b"\x00\x00\x00\x01\xc0", encode(Item(1, "x"))])
def test_refuses_who_does_not_speak_as_an_agent(tmp_path: Path, words: bytes) -> None:
    with saying(tmp_path / "s", words) as where, pytest.raises(NotOurs):
        Connection(where)


def test_no_permission_is_what_the_agent_says_it_is(tmp_path: Path) -> None:
    with (
        saying(tmp_path / "s", encode(Error(0, Code.DENIED, "only root"))) as where,
        pytest.raises(NoPermission, match="only root"),
    ):
        Connection(where)


def test_an_agent_that_goes_away_in_the_middle_is_no_agent(tmp_path: Path) -> None:
    with saying(tmp_path / "s", GREETING, encode(Item(1, "first"))) as where, Connection(where) as connection:
        answer = connection.ask("alerts")
        assert next(answer) == "first"
        with pytest.raises(NoAgent, match="went away"):
            next(answer)


def test_why_the_agent_cut_us_off_is_told(tmp_path: Path) -> None:
    words = encode(Error(0, Code.TOO_SLOW, "you are too slow"))
    with (
        saying(tmp_path / "s", GREETING, words) as where,
        Connection(where) as connection,
        pytest.raises(ControlError, match="too slow"),
    ):
        next(connection.ask("alerts"))


def test_an_agent_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "GREETING_SECONDS", 0.1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    with listener, pytest.raises(NoAgent, match="does not answer"):
        Connection(str(tmp_path / "s"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes somebody else")
def test_another_user_may_not_ask_and_is_told_why(tmp_path: Path) -> None:
    """For real: the mode of the file stops a stranger, whatever the agent would say."""
    place = tmp_path / "control.sock"
    listener = socket.socket(socket.AF_UNIX)
    os.fchmod(listener.fileno(), 0o600)
    listener.bind(str(place))
    listener.listen()
    for each in (tmp_path, *tmp_path.parents):
        if each.owner() == "root" and each not in {Path("/"), Path("/tmp")}:
            each.chmod(each.stat().st_mode | 0o011)
    program = (
        "import sys; from agent.cli import main; from agent.text import visible\n"
        f"main(['status', '--socket', {str(place)!r}])"
    )
    with listener:
        done = subprocess.run(  # noqa: S603
            [  # noqa: S607
                "setpriv",
                f"--reuid={STRANGER}",
                f"--regid={STRANGER}",
                "--clear-groups",
                sys.executable,
                "-c",
                program,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[3],
        )
    if "No module named" in done.stderr or "Permission denied: '/" in done.stderr:
        pytest.skip("another user can't read this checkout")
    assert done.returncode == 2, done.stderr
    assert "you may not ask the agent" in done.stderr
