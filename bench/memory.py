"""RSS of the whole agent on a full node: 10,000 processes, in 500 containers.

The containers are real ones, made by runc from a bundle of Docker's: namespaces, mount table and cgroups of their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from agent.selftest.alerts import OwnAgent
from bench.tiers import EVENT_TIERS

CONTAINERS = 500
PROCESSES_EACH = 20
SETTLE_SECONDS = 10.0
BUNDLE = Path(__file__).parents[1] / "tests/support/captured/docker-20.10-cgroup-v1/config.json"
SCRIPT = f"i=1; while [ $i -lt {PROCESSES_EACH} ]; do sleep 6000 & i=$((i+1)); done; wait"
FILES = ("hostname", "hosts", "resolv.conf")


def main() -> None:
    """Print RSS and unique memory when everything is known."""
    busybox, runc = shutil.which("busybox"), shutil.which("runc")
    if busybox is None or runc is None:
        print("full node: needs runc and busybox-static")
        return
    ids = [f"{number:064x}" for number in range(1, CONTAINERS + 1)]
    with tempfile.TemporaryDirectory(prefix="hullwatch-bench-") as directory:
        node = Path(directory)
        try:
            _make_root(node / "root", Path(busybox))
            for container_id in ids:
                _start(node, runc, container_id)
            for tier in EVENT_TIERS:
                _measure(tier, node)
        finally:
            for container_id in ids:
                _runc(runc, node, "delete", "--force", container_id, check=False)


def _measure(tier: str, node: Path) -> None:
    """The agent of a tier, when it knows everything."""
    config = node / f"{tier}.yaml"
    config.write_text(
        f"sensor: {tier}\n"
        f"containers: {{state_directories: [{node}/moby]}}\n"
        f"state: {{directory: {node}/state-{tier}}}\n"
        "output: {stdout: {min_severity: critical}}\n"
    )
    with OwnAgent(config) as agent:
        time.sleep(SETTLE_SECONDS)
        memory = psutil.Process(agent.pid).memory_full_info()
        print(
            f"full node ({agent.sensor}), {CONTAINERS} containers, {CONTAINERS * PROCESSES_EACH} processes: "
            f"RSS {memory.rss / 2**20:.1f} MiB, unique {memory.uss / 2**20:.1f} MiB"
        )


def _runc(runc: str, node: Path, *arguments: str, check: bool = True) -> None:
    """Silent, and with a state directory of its own."""
    nothing = subprocess.DEVNULL
    subprocess.run(
        [runc, "--root", str(node / "runc"), *arguments], check=check, stdin=nothing, stdout=nothing, stderr=nothing
    )


def _make_root(root: Path, busybox: Path) -> None:
    """A root file system that all of them share, read-only."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "sleep"):
        (root / "bin" / name).symlink_to("busybox")
    for name in FILES:
        (root / "etc" / name).touch()


def _start(node: Path, runc: str, container_id: str) -> None:
    """One container of sleepers, with the files beside it that Docker's containers have."""
    state = node / "moby" / container_id
    state.mkdir(parents=True)
    bundle: dict[str, Any] = json.loads(BUNDLE.read_text())
    bundle["root"] = {"path": str(node / "root"), "readonly": True}
    bundle["process"] |= {"args": ["sh", "-c", SCRIPT], "terminal": False, "apparmorProfile": ""}
    bundle["mounts"] = [each for each in bundle["mounts"] if each["type"] != "bind"]
    for name in FILES:
        (state / name).touch()
        bundle["mounts"].append(
            {
                "destination": f"/etc/{name}",
                "type": "bind",
                "source": str(state / name),
                "options": ["rbind", "rprivate"],
            }
        )
    bundle.pop("hooks", None)
    bundle["linux"] |= {"cgroupsPath": f"/docker/{container_id}"}
    (state / "config.json").write_text(json.dumps(bundle))
    pid_file = str(state / "init.pid")
    _runc(runc, node, "run", "--detach", "--bundle", str(state), "--pid-file", pid_file, container_id)


if __name__ == "__main__":
    main()
