"""From the act to the alert: 200 times ``nsenter`` (setns, exec, stay) in a real container, seen by a running agent."""

from __future__ import annotations

import statistics
import threading
from pathlib import Path

from agent.selftest.alerts import OwnAgent
from agent.selftest.container import ThrowawayContainer
from agent.selftest.trial import host_victim
from bench.tiers import EVENT_TIERS, configuration

ACTS = 200
PAUSE_SECONDS = 0.05
SCRIPT = Path(__file__).with_name("acts.py")


def main() -> None:
    """Print median, p99 and how many were seen, in each tier."""
    for tier in EVENT_TIERS:
        _measure(tier)


def _measure(tier: str) -> None:
    acts: dict[int, int] = {}
    with configuration(tier) as config, OwnAgent(config) as agent:
        with ThrowawayContainer(SCRIPT, (str(host_victim()), str(ACTS), str(PAUSE_SECONDS))) as container:
            reader = threading.Thread(target=_read_acts, args=(container, acts), daemon=True)
            reader.start()
            heard: dict[int, int] = {}
            for each in agent.hear(ACTS * PAUSE_SECONDS + 10):
                alert = each.alert
                if alert["rule"]["id"] == "HW-101" and alert.get("container", {}).get("id") == container.id:
                    heard.setdefault(alert["process"]["pid"], each.at_ns)
                if len(heard) == ACTS:
                    break
        milliseconds = sorted((heard[pid] - at_ns) / 1e6 for pid, at_ns in acts.items() if pid in heard)
    if not milliseconds:
        print("act to alert: nothing was seen")
        return
    print(
        f"act to alert ({agent.sensor}): {len(milliseconds)} of {len(acts)} seen, "
        f"median {statistics.median(milliseconds):.1f} ms, "
        f"p99 {milliseconds[int(len(milliseconds) * 0.99) - 1]:.1f} ms, worst {milliseconds[-1]:.1f} ms"
    )


def _read_acts(container: ThrowawayContainer, acts: dict[int, int]) -> None:
    while (line := container.read_line()) not in ("", "done"):
        pid, at_ns = line.split()
        acts[int(pid)] = int(at_ns)


if __name__ == "__main__":
    main()
