"""Honest work of the engine and of those who operate it: exec, build, copy, restart, sidecars, early deaths."""

import os
import pty
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine import wait_until_gone
from tests.support.patience import PATIENCE, patient
from tests.support.processes import require, shares_namespace, unique_seconds, wait_for_process, wait_until
from tests.support.stage import MEDIUM, TOOLS, Stage, Workload

SHORT_LIVED = round(50 / PATIENCE)  # an emulated machine is busy for minutes with fifty
LINES = 20_000


@contextmanager
def run_exec(stage: Stage) -> Iterator[None]:
    """`docker exec`, short and long, with another user and another directory; probes, as a kubelet runs them."""
    with stage.container() as container:
        require("etc" in stage.engine.execute(container, "ls", "/"), "ls printed nothing")
        stage.sleep_inside(container)
        stage.sleep_inside(container, options=("-u", "1000", "-w", "/tmp"))
        for _ in range(10):
            stage.engine.execute(container, "cat", "/etc/hostname")
        yield


@contextmanager
def run_interactive_exec(stage: Stage) -> Iterator[None]:
    """`docker exec -it ... sh` at a terminal."""
    with stage.container() as container:
        outer, inner = pty.openpty()
        seconds = unique_seconds()
        client = (stage.engine.client, "-H", f"unix://{stage.engine.socket}", "exec", "-it", container.id, "sh")
        shell = subprocess.Popen(client, stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
        os.close(inner)
        try:
            os.write(outer, f"id; tty; sleep {seconds}\n".encode())
            pid = wait_for_process(seconds, first="sleep")
            require(os.readlink(f"/proc/{pid}/fd/0").startswith("/dev/pts/"), "there is no terminal inside")
            yield
        finally:
            shell.kill()
            shell.wait(timeout=patient(5))
            os.close(outer)


@contextmanager
def build_image(stage: Stage) -> Iterator[None]:
    """`docker build` from the local image: each RUN is a container of its own that runs what it has just made."""
    name = f"{stage.engine.image}-built"
    text = (
        f"FROM {stage.engine.image}\nCOPY tool /usr/bin/tool\nRUN chmod 755 /usr/bin/tool && tool\n"
        "RUN chroot /jail /bin/sleep 0\n"
        'USER 1000\nRUN id -u > /tmp/who\nCMD ["sleep", "300"]\n'
    )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "Dockerfile").write_text(text)
        Path(directory, "tool").write_text("#!/bin/sh\nexit 0\n")
        os.environ.setdefault("DOCKER_BUILDKIT", "0")
        stage.engine.docker("build", "--network", "none", "-t", name, directory, timeout_seconds=120)
    try:
        container = stage.engine.run(image=name)
        try:
            require(stage.engine.execute(container, "cat", "/tmp/who") == "1000\n", "the build did not run as its user")
            stage.engine.execute(container, "tool")
            yield
        finally:
            stage.engine.remove(container)
    finally:
        stage.engine.docker("rmi", "-f", name, check=False)


@contextmanager
def copy_both_ways(stage: Stage) -> Iterator[None]:
    """`docker cp` in and out: the engine enters the container's files from the host."""
    with stage.container() as container, tempfile.TemporaryDirectory() as directory:
        Path(directory, "in").write_text("from the host\n")
        stage.engine.docker("cp", f"{directory}/in", f"{container.id}:/tmp/in")
        require(stage.engine.execute(container, "cat", "/tmp/in") == "from the host\n", "the copy did not arrive")
        stage.engine.docker("cp", f"{container.id}:/etc/image-release", f"{directory}/out")
        require(Path(directory, "out").read_text() == "a file of the image\n", "the copy did not come back")
        yield


@contextmanager
def restart(stage: Stage) -> Iterator[None]:
    """Two restarts: the same id, new first processes and new namespaces."""
    with stage.container() as container:
        for _ in range(2):
            before = stage.engine.look_up(container.name).pid
            stage.engine.docker("restart", "-t", "0", container.id)
            after = stage.engine.look_up(container.name).pid
            require(after not in (0, before), "the container did not restart")
            stage.sleep_inside(container)
        yield


@contextmanager
def sidecars(stage: Stage) -> Iterator[None]:
    """Containers that share pid, network and ipc namespaces by declaration, as in a pod."""
    with stage.container("--ipc=shareable") as main:
        options = (f"--pid=container:{main.id}", f"--network=container:{main.id}", f"--ipc=container:{main.id}")
        with stage.container(*options) as sidecar:
            for kind in ("pid", "net", "ipc"):
                require(shares_namespace(sidecar.pid, kind, main.pid), f"the {kind} namespace is not shared")
            stage.sleep_inside(sidecar)
            stage.sleep_inside(main)
            stage.shell(sidecar, "cat /proc/1/cmdline > /dev/null; ps > /dev/null")
            yield


@contextmanager
def pause(stage: Stage) -> Iterator[None]:
    """Freezer: pause, unpause, and work after it."""
    with stage.container() as container:
        stage.engine.docker("pause", container.id)
        require(stage.engine.inspect(container.id)["State"]["Paused"], "it is not paused")
        stage.engine.docker("unpause", container.id)
        stage.sleep_inside(container)
        yield


@contextmanager
def with_init(stage: Stage) -> Iterator[None]:
    """`--init`: the first process is a file of the host that the engine mounts in."""
    with stage.container("--init") as container:
        require(b"init" in Path(f"/proc/{container.pid}/cmdline").read_bytes(), "there is no init")
        stage.sleep_inside(container)
        yield


@contextmanager
def many_that_die_at_once(stage: Stage) -> Iterator[None]:
    """Fifty containers (fewer on a slow machine) that end at once, four at a time: read while they go."""

    def live_and_die(_: int) -> None:
        stage.engine.remove(stage.engine.run("true"))

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(live_and_die, range(SHORT_LIVED)))
    yield


@contextmanager
def hostile_names(stage: Stage) -> Iterator[None]:
    """Arguments, environment, labels, file names and a comm full of control characters and bytes that are no UTF-8."""
    awkward = b'\x1b[2J\xff\xfe"\\\' \xe2\x80\xa8\x07\x7f\n{"rule":{"id":"HW-999"}}'
    seconds = unique_seconds()
    name = b"'\xff\n\x1b]0;x\x07'"
    script = b'cd /tmp; ln -s /opt/tools/churn %b; ./%b 3; mkdir "$2"; cd "$2"; sleep "$1"' % (name, name)
    options = (b"-e", b"X=" + awkward, b"--label", b"awkward=" + awkward, b"--workdir", b"/srv/\xe2\x80\xa8 x")
    container = stage.engine.run("sh", "-c", script, awkward, seconds, "\N{LINE SEPARATOR}\x1b[31m", options=options)
    try:
        wait_for_process(seconds, first="sleep")
        stage.sleep_inside(container)
        yield
    finally:
        stage.engine.remove(container)


@contextmanager
def write_logs(stage: Stage) -> Iterator[None]:
    """A program that writes twenty thousand lines to its log."""
    with stage.container(command=("sh", "-c", f"seq {LINES}; exec sleep 300")) as container:
        last = f"{LINES}\n".encode()
        wait_until(lambda: stage.engine.docker("logs", container.id).stdout.endswith(last), "the log's last line")
        stage.engine.docker("top", container.id)
        stage.engine.docker("stats", "--no-stream", container.id)
        yield


@contextmanager
def run_out_of_memory(stage: Stage) -> Iterator[None]:
    """The kernel kills a container that eats more than its 16 MiB."""
    container = stage.engine.run("tail", "/dev/zero", options=("--memory", "16m", "--memory-swap", "16m"))
    try:
        if container.pid:
            wait_until_gone(container)
        found = wait_until(
            lambda: [state for state in [stage.engine.inspect(container.id)["State"]] if not state["Running"]],
            "its end",
        )
        require(found[0]["ExitCode"] == 137, f"it was not killed: {found[0]}")
        yield
    finally:
        stage.engine.remove(container)


@contextmanager
def commit_and_export(stage: Stage) -> Iterator[None]:
    """`docker commit`, `docker diff` and `docker export` of a running container."""
    name = f"{stage.engine.image}-committed"
    with stage.container() as container:
        stage.shell(container, "echo changed > /etc/changed")
        require(b"/etc/changed" in stage.engine.docker("diff", container.id).stdout, "the change does not show")
        try:
            stage.engine.docker("commit", container.id, name)
            require(stage.engine.docker("export", container.id).stdout, "nothing was exported")
            yield
        finally:
            stage.engine.docker("rmi", "-f", name, check=False)


@contextmanager
def restricted(stage: Stage) -> Iterator[None]:
    """The container that a careful operator runs: no capability, read-only, its own user, nothing new allowed."""
    options = (
        "--cap-drop=ALL",
        "--read-only",
        "--user",
        "1000",
        "--security-opt",
        "no-new-privileges",
        "--tmpfs",
        "/tmp",
    )
    with stage.container(*options) as container:
        stage.sleep_inside(container)
        stage.engine.execute(container, f"{TOOLS}/setuid_run", "true", check=False)
        yield


@contextmanager
def talk_to_given_engine(stage: Stage) -> Iterator[None]:
    """A client of the engine that was given its socket on purpose, as Portainer, Traefik and build runners are."""
    with stage.container("-v", f"{stage.engine.socket}:/engine.sock") as container:
        stage.sleep_inside(container, f"{TOOLS}/hold", "unix", "/engine.sock")
        yield


WORKLOADS = (
    Workload("run_exec", run_exec),
    Workload("run_interactive_exec", run_interactive_exec),
    Workload("build_image", build_image),
    Workload("copy_both_ways", copy_both_ways),
    Workload("restart", restart),
    Workload("sidecars", sidecars),
    Workload("pause", pause),
    Workload("with_init", with_init),
    Workload("many_that_die_at_once", many_that_die_at_once),
    Workload("hostile_names", hostile_names),
    Workload("write_logs", write_logs),
    Workload("run_out_of_memory", run_out_of_memory),
    Workload("commit_and_export", commit_and_export),
    Workload("restricted", restricted),
    Workload("talk_to_given_engine", talk_to_given_engine, worst=MEDIUM, declared=("HW-304",)),
)
