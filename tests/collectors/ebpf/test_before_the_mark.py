"""Children that are born before user space has said what their parent is: nobody drains the ring until all is over."""

import os
import shutil
from pathlib import Path

import pytest

from agent.assembly import assemble, tell_containers
from agent.config_schema import Config
from agent.ebpf_assembly import new_ebpf_source
from agent.selftest.container import ThrowawayContainer
from agent.selftest.trial import host_victim
from collectors.events import ContainerSeen, Event, NamespaceChange
from tests.support.ebpf_kernel import BTF

SCRIPT = Path(__file__).parents[2] / "support" / "flash.py"
COUNT = 5

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and BTF"),
    pytest.mark.skipif(shutil.which("runc") is None, reason="needs runc"),
]


@pytest.mark.parametrize("act", ["setns", "orphan"])
def test_a_child_that_left_before_its_parent_was_judged_is_told_as_the_containers(act: str) -> None:
    events: list[Event] = []
    collectors = assemble(Config(), events.append, watch_mounts=False)
    tell_containers(collectors, lambda _: None)
    source = new_ebpf_source(collectors, events.append, ring_bytes=1 << 22, request_sweep=lambda: None)
    source.open()
    try:
        with ThrowawayContainer(SCRIPT, (act, str(COUNT), str(host_victim()))) as container:
            done = 0
            while (line := container.read_line()) != "done":
                assert line, container.complaints()
                assert not line.startswith("failed"), line
                done += 1
            source.drain()
    finally:
        source.close()
    assert done == COUNT
    assert container.id in {event.container.id for event in events if isinstance(event, ContainerSeen)}
    host_mnt = collectors.host.namespaces.mnt
    left = {
        event.process.key
        for event in events
        if isinstance(event, NamespaceChange)
        and str(SCRIPT).encode() in event.process.arguments  # others may come and go on this machine
        and event.process.confinement.namespaces.mnt == host_mnt
    }
    assert len(left) == COUNT
