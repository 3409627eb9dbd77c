"""RSS of the whole agent on a full node: 10,000 processes, in 500 containers with bundles of their own.

The processes are real sleepers. The containers are made up for their number: real cgroups, and bundles as Docker writes
them below a state directory that the agent is told of.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from agent.selftest.alerts import OwnAgent
from bench.crowd import HIERARCHIES, remove_cgroup

CONTAINERS = 500
PROCESSES_EACH = 20
SETTLE_SECONDS = 10.0
BUNDLE = Path(__file__).parents[1] / "tests/support/captured/docker-20.10-cgroup-v1/config.json"


def main() -> None:
    """Print RSS and unique memory when everything is known, and what the sweeps cost then."""
    hierarchy = next(Path(each) for each in HIERARCHIES if os.access(f"{each}/cgroup.procs", os.W_OK))
    ids = [f"{number:064x}" for number in range(1, CONTAINERS + 1)]
    bundle = json.loads(BUNDLE.read_text())
    leaders: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="hullwatch-bench-") as directory:
        try:
            leaders.extend(_start(Path(directory), hierarchy, container_id, bundle) for container_id in ids)
            config = Path(directory) / "config.yaml"
            config.write_text(
                f"containers: {{state_directories: [{directory}/moby]}}\noutput: {{stdout: {{min_severity: high}}}}\n"
            )
            time.sleep(SETTLE_SECONDS)
            with OwnAgent(config) as agent:
                process = psutil.Process(agent.pid)
                time.sleep(SETTLE_SECONDS)
                memory = process.memory_full_info()
                print(
                    f"full node ({agent.sensor}), {CONTAINERS} containers, {CONTAINERS * PROCESSES_EACH} processes: "
                    f"RSS {memory.rss / 2**20:.1f} MiB, unique {memory.uss / 2**20:.1f} MiB"
                )
        finally:
            for leader in leaders:
                os.killpg(leader.pid, signal.SIGKILL)
            for leader in leaders:
                leader.wait()
            for container_id in ids:
                remove_cgroup(hierarchy / "docker" / container_id)


def _start(directory: Path, hierarchy: Path, container_id: str, bundle: dict[str, object]) -> subprocess.Popen[bytes]:
    """A container's worth of sleepers in a cgroup of its own, and the bundle that declares it."""
    cgroup = hierarchy / "docker" / container_id
    cgroup.mkdir(parents=True, exist_ok=True)
    leader = subprocess.Popen(
        ["/bin/sh", "-c", f"i=1; while [ $i -lt {PROCESSES_EACH} ]; do sleep 600 & i=$((i+1)); done; wait"],
        start_new_session=True,
        preexec_fn=lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid())),  # noqa: PLW1509  no threads here
    )
    state = directory / "moby" / container_id
    state.mkdir(parents=True)
    (state / "config.json").write_text(json.dumps(bundle))
    (state / "init.pid").write_text(str(leader.pid))
    return leader


if __name__ == "__main__":
    main()
