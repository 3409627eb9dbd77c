"""What clients can do to a real agent's control socket: nothing that others notice, and nothing that stays."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from agent.control.protocol import (
    MAX_REQUEST_BYTES,
    PROTOCOL,
    Code,
    Error,
    Frames,
    FromAgent,
    Hello,
    Request,
    encode,
)
from tests.support.running_agent import RunningAgent, find_command

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not find_command(), reason="needs root and an installed hullwatch")

COMMAND_SECONDS = 30
PATIENCE_SECONDS = 15.0
CLIENTS = 200


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent that sweeps often, and keeps to itself."""
    directory = tmp_path_factory.mktemp("hostile")
    lines = (
        "sensor: poll",
        "sweep: {interval_seconds: 0.2}",
        f"state: {{directory: {json.dumps(str(directory / 'state'))}}}",
        "metrics: {address: null}",
        "containers: {docker: {enabled: false}}",
        "log: {format: json}",
    )
    path = directory / "agent.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def running(config: Path) -> Iterator[RunningAgent]:
    agent = RunningAgent((find_command(), "run", "--config", str(config)), "poll")
    agent.wait_until_ready()
    yield agent
    assert agent.stop() == []


@pytest.fixture
def agent(running: RunningAgent, config: Path) -> Iterator[RunningAgent]:
    """The same after each test as before: it answers, sweeps, and holds no socket more."""
    before = sockets(running.pid)
    yield running
    wait_until(lambda: sockets(running.pid) <= before)
    assert answers(config)


def sockets(pid: int) -> int:
    """How many it has open; other descriptors come and go with the node's containers."""
    found = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return found


def socket_of(config: Path) -> str:
    return str(config.parent / "state/control.sock")


def connected(config: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(socket_of(config))  # waits where as many wait as the kernel lets
    client.settimeout(PATIENCE_SECONDS)
    return client


def heard(client: socket.socket) -> list[FromAgent]:
    """Everything until the agent hangs up."""
    frames, found = Frames(is_agent=False), []
    with suppress(ConnectionResetError):
        while data := client.recv(65_536):
            found += [each for each in frames.feed(data) if isinstance(each, FromAgent)]
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(config: Path) -> bool:
    command = (find_command(), "status", "-o", "json", "--config", str(config))
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603
    return done.returncode == 0 and json.loads(done.stdout)["sensor"]["tier"] == "poll"


def test_a_command_of_another_protocol_says_what_to_do(agent: RunningAgent, config: Path) -> None:
    program = (
        "from agent.control import client; client.PROTOCOL += 1\n"
        "from agent.cli import main; main()"
    )  # fmt: skip
    command = (sys.executable, "-c", program, "status", "--config", str(config))
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603
    said = f"speaks version {PROTOCOL} of the control protocol; this command speaks {PROTOCOL + 1}"
    assert (done.returncode, said in done.stderr) == (5, True), done.stderr
    assert agent.is_running


def test_an_agent_of_another_protocol_is_asked_nothing(agent: RunningAgent, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        command = (find_command(), "status", "--socket", str(path))
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as asking:  # noqa: S603
            other, _ = listener.accept()
            with other:
                other.sendall(encode(Hello(PROTOCOL + 1, "9.9.9\x1b[2J")))
                _, said = asking.communicate(timeout=COMMAND_SECONDS)
                assert other.recv(65_536) == b""
    assert (asking.returncode, "hullwatch 9.9.9" in said, "\x1b" in said) == (5, True, False)
    assert agent.is_running


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xff\xff\xff",
        (MAX_REQUEST_BYTES + 1).to_bytes(4, "big") + bytes(MAX_REQUEST_BYTES + 1),
        MAX_REQUEST_BYTES.to_bytes(4, "big") + b"\x91" * MAX_REQUEST_BYTES,
        encode(Hello(99, "a client does not greet")),
        encode(Request(0, "status", {})),
    ],
    ids=["four-gigabytes", "one-byte-too-many", "nested", "greeting", "number-0"],
)
def test_what_is_no_request_is_cut_off_with_a_word(agent: RunningAgent, config: Path, message: bytes) -> None:
    with connected(config) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(message)
        said = heard(client)
    assert isinstance(said[0], Hello)
    assert isinstance(said[-1], Error)
    assert said[-1].code == Code.BAD_REQUEST
    assert agent.is_running


def test_half_messages_and_silence_keep_nobody_from_asking(agent: RunningAgent, config: Path) -> None:
    with ExitStack() as held:
        for _ in range(CLIENTS):
            client = held.enter_context(connected(config))
            client.sendall(MAX_REQUEST_BYTES.to_bytes(4, "big") + bytes(1000))
        assert answers(config)
    assert agent.is_running


def test_two_hundred_who_watch_are_answered_or_refused_and_leave_nothing(agent: RunningAgent, config: Path) -> None:
    process = psutil.Process(agent.pid)
    with ExitStack() as held:
        clients = [held.enter_context(connected(config)) for _ in range(CLIENTS)]
        for client in clients:
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(encode(Request(1, "events", {"greet": True, "host": True})))
        said = []
        for client in clients:
            frames = Frames(is_agent=False)
            found: list[object] = []
            while len(found) < 2:
                with suppress(ConnectionResetError):
                    data = client.recv(4096)
                if not data:
                    break
                found += frames.feed(data)
            said.append(found)
        watching = sum(not isinstance(found[-1], Error | Hello) for found in said)
        assert 1 <= watching <= 32
        refused = {each.code for found in said for each in found if isinstance(each, Error)}
        assert refused <= {Code.BUSY}
        before = process.cpu_times()
        time.sleep(1.0)
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 0.8  # sweeps, and no spinning
    assert agent.is_running


def test_one_that_never_reads_a_full_stream_is_cut_off(agent: RunningAgent, config: Path) -> None:
    process = psutil.Process(agent.pid)
    size = process.memory_info().rss
    with connected(config) as client:
        client.sendall(encode(Request(1, "events", {"host": True})) + encode(Request(2, "capture", {})))
        for number in range(3, 9):
            client.sendall(encode(Request(number, "picture", {})))
        for _ in range(300):
            subprocess.run(("/bin/true",), check=True)
        started = time.monotonic()
        assert answers(config)
        assert time.monotonic() - started < 5.0
        wait_until(lambda: is_hung_up(client))
    assert process.memory_info().rss - size < 48 << 20


def is_hung_up(client: socket.socket) -> bool:
    """The agent has closed it: writing says so, reading nothing of what is queued."""
    try:
        client.send(b"\0", socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False
