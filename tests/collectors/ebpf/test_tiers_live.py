"""The same break-out in each tier: the same finding, told by that tier."""

import os
import shutil
from pathlib import Path

import pytest

from agent.selftest.alerts import OwnAgent
from agent.selftest.trial import run_trial

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="breaks out of a container: needs root"),
    pytest.mark.skipif(not Path("/sys/kernel/btf/vmlinux").exists(), reason="the kernel has no BTF"),
    pytest.mark.skipif(shutil.which("runc") is None, reason="needs runc"),
]


@pytest.mark.parametrize("tier", ["poll", "netlink", "ebpf"])
def test_every_tier_finds_a_break_out_that_stays(tmp_path: Path, tier: str) -> None:
    config = tmp_path / "hullwatch.yaml"
    config.write_text(f"sensor: {tier}\n")
    with OwnAgent(config) as agent:
        outcome = run_trial(agent)
    assert outcome.sensor == tier
    rules = {each.alert["rule"]["id"] for each in outcome.alerts}
    assert {"HW-101", "HW-103", "HW-104", "HW-302", "HW-303"} <= rules
