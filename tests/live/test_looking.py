"""The commands that look at the node by themselves, on real containers of a real engine."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.acts.namespaces import enter_host_mount
from tests.support.engine import Container
from tests.support.patience import patient
from tests.support.processes import wait_until
from tests.support.stage import Stage

pytestmark = pytest.mark.live

CONNECT = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
)


class Scene:
    """Two containers: one with the engine's socket and a read-only /etc, one with nearly everything."""

    def __init__(self, stage: Stage, stack: ExitStack, directory: Path) -> None:
        self.stage = stage
        socket = stage.engine.socket
        self.plain = stack.enter_context(stage.container("-v", "/etc:/host-etc:ro", "-v", f"{socket}:/docker.sock"))
        self.wide = stack.enter_context(stage.capable("-v", "/var/tmp:/data"))
        self.config = directory / "hullwatch.yaml"
        self.config.write_text(f"containers:\n  docker:\n    socket: {socket}\n")

    def ask(self, *arguments: str, statuses: Sequence[int] = (0,)) -> Any:
        """What ``hullwatch`` answers, as values."""
        command = (sys.executable, "-m", "agent", *arguments, "--config", str(self.config), "-o", "json")
        done = subprocess.run(command, capture_output=True, timeout=patient(60), check=False)
        assert done.returncode in statuses, done.stderr.decode(errors="replace")
        return json.loads(done.stdout)

    def sockets_of(self, container: Container) -> set[tuple[str, str, str | None]]:
        return {
            (each["socket"], by["how"], by["path"])
            for each in self.ask("sockets", container.id)
            for by in each["containers"]
        }


@pytest.fixture(scope="module")
def scene(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stage, stack, tmp_path_factory.mktemp("looking"))


def test_tree_has_the_shim_above_and_what_runs_inside_below(scene: Scene) -> None:
    pid = scene.stage.sleep_inside(scene.plain)
    nodes = {each["pid"]: each for each in scene.ask("tree", scene.plain.name)}
    assert {scene.plain.pid, pid} <= set(nodes)
    first = nodes[scene.plain.pid]
    assert nodes[first["parent"]]["container"] is None
    assert {each["aspect"] for each in first["change"]["narrower"]} >= {"mnt_namespace", "pid_namespace", "root"}
    assert first["change"]["wider"] == []


def test_tree_marks_who_got_out(scene: Scene) -> None:
    with enter_host_mount(scene.stage) as outcome:
        nodes = {each["pid"]: each for each in scene.ask("tree", outcome.container_id)}
    (pid,) = outcome.pids
    gained = (*nodes[pid]["change"]["wider"], *nodes[pid]["wider_than_first"])
    assert {"mnt_namespace", "root"} <= {each["aspect"] for each in gained}


def test_mounts_tells_what_came_later_and_where_it_leads(scene: Scene) -> None:
    scene.stage.shell(
        scene.wide, "mkdir -p /later && mount --bind /data /later && mkdir -p /own && mount -t tmpfs x /own"
    )
    rows = {each["point"]: each for each in scene.ask("mounts", scene.wide.name)}
    assert (rows["/data"]["origin"], rows["/data"]["host_path"]) == ("declared", "/var/tmp")
    assert (rows["/later"]["origin"], rows["/later"]["host_path"]) == ("not_declared", "/var/tmp")
    assert (rows["/own"]["origin"], rows["/own"]["is_host_disk"]) == ("not_declared", False)
    assert "declared" not in {each["origin"] for point, each in rows.items() if point in {"/", "/later", "/own"}}


def test_mounts_of_an_honest_container_are_all_explained(scene: Scene) -> None:
    rows = scene.ask("mounts", scene.plain.name)
    assert {each["origin"] for each in rows} == {"declared", "runtime"}
    assert not any(each["is_writable_beyond_declared"] for each in rows)
    assert next(each for each in rows if each["point"] == "/host-etc")["gives"] == ["reads the host's password hashes"]


def test_an_honest_container_is_as_it_was_declared(scene: Scene) -> None:
    assert scene.ask("diff", scene.plain.name) == []


def test_two_containers_differ_in_what_one_was_given(scene: Scene) -> None:
    found = {each["what"]: each for each in scene.ask("diff", scene.plain.name, scene.wide.name, statuses=(1,))}
    assert found["seccomp"]["relation"] == "wider"
    assert "+DAC_READ_SEARCH" in found["effective_capabilities"]["beyond"]
    assert "net_namespace" not in found


def test_sockets_tells_who_reaches_the_engine(scene: Scene) -> None:
    name = str(scene.stage.engine.socket.resolve())
    assert scene.sockets_of(scene.plain) == {(name, "mount", "/docker.sock")}
    assert scene.sockets_of(scene.wide) == set()
    (engine,) = [each for each in scene.ask("sockets") if each["socket"] == name]
    assert any(each["program"].endswith("/dockerd") for each in engine["listeners"])


def test_sockets_tells_who_is_connected_to_the_engine(scene: Scene) -> None:
    name = str(scene.stage.engine.socket.resolve())
    command = ("nsenter", f"--net=/proc/{scene.plain.pid}/ns/net", sys.executable, "-c", CONNECT, name)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as connected:
        assert connected.stdout is not None
        try:
            assert connected.stdout.readline() == b"\n"
            assert (name, "connected", None) in scene.sockets_of(scene.plain)
        finally:
            connected.kill()
    wait_until(lambda: (name, "connected", None) not in scene.sockets_of(scene.plain), "the end of the connection")
