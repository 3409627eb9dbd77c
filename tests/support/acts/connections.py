"""Connections that are over at once: nothing is held when a sweep comes. All stay on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.acts.calls import call_once
from tests.support.processes import require
from tests.support.stage import LOW, MEDIUM, Act, Expected, Outcome, Stage

REFUSED = 111  # ECONNREFUSED
IN_PROGRESS = 115  # EINPROGRESS


@contextmanager
def connect_to_engine(stage: Stage) -> Iterator[Outcome]:
    """The engine's socket, mounted under another name, is connected to and closed."""
    with stage.container("-v", f"{stage.engine.socket}:/plain") as container:
        stage.let_it_be_seen()
        result, error = call_once(stage, container, "connect_unix", "/plain")
        require(result == 0, f"connect failed with {error}")
        yield Outcome(container.id)


@contextmanager
def connect_to_metadata(stage: Stage) -> Iterator[Outcome]:
    """The metadata service's address, which stands on the container's own loopback here, where nobody listens."""
    with stage.capable("--network", "none") as container:
        stage.let_it_be_seen()
        stage.shell(container, "ip addr add 169.254.169.254/32 dev lo; ip link set lo up")
        result, error = call_once(stage, container, "connect_inet", "169.254.169.254", 80)
        require(result == 0 or error in {REFUSED, IN_PROGRESS}, f"connect gave {result}, {error}")
        yield Outcome(container.id)


@contextmanager
def connect_to_kubelet(stage: Stage) -> Iterator[Outcome]:
    """The kubelet's port on loopback, from a container with the host's network; nobody need listen there."""
    with stage.container("--network", "host") as container:
        stage.let_it_be_seen()
        result, error = call_once(stage, container, "connect_inet", "127.0.0.1", 10250)
        require(result == 0 or error in {REFUSED, IN_PROGRESS}, f"connect gave {result}, {error}")
        yield Outcome(container.id)


ACTS = (
    Act("connect_to_engine", connect_to_engine, (Expected("HW-304", MEDIUM), Expected("HW-210", LOW)), weakest="ebpf"),
    Act("connect_to_metadata", connect_to_metadata, (Expected("HW-212", MEDIUM),), weakest="ebpf"),
    Act("connect_to_kubelet", connect_to_kubelet, (Expected("HW-211", LOW),), weakest="ebpf"),
)
