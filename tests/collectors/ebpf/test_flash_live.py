"""Acts that are over within milliseconds, in a real container, seen by an agent in the ebpf tier: every one."""

import os
import shutil
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from agent.selftest.alerts import OwnAgent
from agent.selftest.container import ThrowawayContainer
from agent.selftest.trial import host_victim

SCRIPT = Path(__file__).parents[2] / "support" / "flash.py"

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="loads eBPF programs: needs root"),
    pytest.mark.skipif(not Path("/sys/kernel/btf/vmlinux").exists(), reason="the kernel has no BTF"),
    pytest.mark.skipif(shutil.which("runc") is None, reason="needs runc"),
]


def seen_and_done(act: str, count: int, rule: str, config: Path) -> tuple[set[int], set[int], str]:
    """The pids that acted, those that an alert named (any of the container's where parents end first), and the tier."""
    done: set[int] = set()
    heard: dict[str, set[int]] = defaultdict(set)
    is_over = threading.Event()
    with OwnAgent(config) as agent, ThrowawayContainer(SCRIPT, (act, str(count), str(host_victim()))) as container:

        def read() -> None:
            while (line := container.read_line()) not in ("", "done"):
                assert not line.startswith("failed"), line
                done.add(int(line.split()[0]))
            is_over.set()

        reader = threading.Thread(target=read)
        reader.start()
        quiet = 0
        while quiet < 3:  # a second each without a word, once the container is done
            before = len(heard[rule])
            for each in agent.hear(1):
                if each.alert.get("container", {}).get("id") == container.id:
                    heard[each.alert["rule"]["id"]].add(each.alert.get("process", {}).get("pid"))
            if is_over.is_set():
                quiet = 3 if len(heard[rule]) >= count else quiet + (len(heard[rule]) == before)
        reader.join()
        return heard[rule], done, agent.sensor


@pytest.mark.parametrize(
    ("act", "rule"),
    [("setns", "HW-101"), ("setns_exec", "HW-101"), ("chroot", "HW-103")],
)
def test_sees_a_thousand_of_a_thousand(tmp_path: Path, act: str, rule: str) -> None:
    config = tmp_path / "hullwatch.yaml"
    config.write_text("sensor: ebpf\n")
    seen, done, tier = seen_and_done(act, 1000, rule, config)
    assert tier == "ebpf"
    assert len(done) == 1000
    assert done - seen == set()


def test_sees_those_whose_parents_have_ended(tmp_path: Path) -> None:
    config = tmp_path / "hullwatch.yaml"
    config.write_text("sensor: ebpf\n")
    seen, done, _ = seen_and_done("orphan", 300, "HW-101", config)
    assert len(done) == 300
    assert len(seen) == 300
