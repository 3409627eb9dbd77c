"""A node for the pictures and for trying things by hand: a few containers of a shop, one of which breaks out, really.

The containers are those of a real engine, made of the test image under names that a shop could have. What escapes does
so as it would: by nsenter, from a runner of builds that was given too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.engine import Container, Engine
from tests.support.stage import Stage

LIVES_SECONDS = 280
ESCAPES_AFTER_SECONDS = 8
RUNNER, RUNNER_IMAGE = "ci-runner", "shop/ci-runner:7.1"


@dataclass(frozen=True, slots=True)
class Workload:
    """One container: its name and image, what it was given, what it runs."""

    name: str
    image: str
    options: tuple[str, ...]
    script: str


HONEST = (
    Workload("payments", "shop/payments:2.4.1", ("--cap-drop=ALL", "--user=1000"), "exec httpd -f -p 8080 -h /home"),
    Workload("web", "shop/web:5.12", (), "httpd -p 8080 -h /srv; exec httpd -f -p 8081 -h /srv"),
    Workload("db-backup", "shop/backup:1.3", ("-v", "{socket}:/var/run/docker.sock"), "exec tail -f /dev/null"),
    Workload("log-shipper", "shop/logs:0.9", ("-v", "/var/log:/host/log:ro", "--pid=host"), "exec tail -f /dev/null"),
    Workload("metrics", "shop/metrics:3.0", ("--network=host", "--cap-add=NET_ADMIN"), "exec tail -f /dev/null"),
)
GIVEN = ("--pid=host", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE", "--security-opt", "seccomp=unconfined")
ESCAPE = (
    "echo build 4711; sleep {after}; nsenter -t {pid} -m -n -- sh -c 'id; cat /etc/shadow > /dev/null; sleep {lives}'"
)


@contextmanager
def demo_node(stage: Stage) -> Iterator[Container]:
    """The containers, of which one breaks out some seconds later; that one."""
    engine = stage.engine
    made: list[Container] = []
    try:
        with stage.victim() as victim:
            for each in HONEST:
                options = tuple(option.format(socket=engine.socket) for option in each.options)
                made.append(_run(engine, each, options, each.script))
            script = ESCAPE.format(pid=victim.pid, after=ESCAPES_AFTER_SECONDS, lives=LIVES_SECONDS)
            runner = Workload(RUNNER, RUNNER_IMAGE, GIVEN, script)
            made.append(_run(engine, runner, GIVEN, script))
            yield made[-1]
    finally:
        for container in made:
            engine.remove(container)
        images = (*(each.image for each in HONEST), RUNNER_IMAGE)
        engine.docker("rmi", *images, check=False)  # only the names: the image has another one


def _run(engine: Engine, workload: Workload, options: tuple[str, ...], script: str) -> Container:
    engine.docker("tag", engine.image, workload.image)
    network = () if any(each.startswith("--network") for each in options) else ("--network", "none")
    label = ("--label", f"hullwatch.live={engine.session}")
    engine.docker("run", "-d", "--name", workload.name, *label, *network, *options, workload.image, "sh", "-c", script)
    return engine.look_up(workload.name)
