"""The trial: make the container, let it break out, wait for the alert, say what was seen and how fast."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.selftest.alerts import AlertSource, Heard
from agent.selftest.container import SelftestError, ThrowawayContainer

ACT = Path(__file__).with_name("act.py")
WANTED_RULE = "HW-101"
SETTLE_SECONDS = 0.5  # the container is known before it breaks out, as most are
STAY_SECONDS = 20.0
ALERT_SECONDS = 15.0
MORE_SECONDS = 1.5
KTHREADD = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. ``alerts`` are all that named the container; ``milliseconds`` is from the act to the first."""

    container_id: str
    runtime: str
    alerts: tuple[Heard, ...]
    milliseconds: float | None
    sensor: str | None

    @property
    def is_seen(self) -> bool:
        """The break-out itself was told, not only something about the container."""
        return self.milliseconds is not None


def run_trial(source: AlertSource, *, runtime: str | None = None, wanted: str = WANTED_RULE) -> Outcome:
    """One break-out. Raises ``SelftestError`` when the container could not be made or could not break out."""
    arguments = (str(host_victim()), str(SETTLE_SECONDS), str(STAY_SECONDS))
    with ThrowawayContainer(ACT, arguments, runtime=runtime) as container:
        said = container.read_line()
        if not said.startswith("escaped "):
            why = said or container.complaints() or "it ended without a word"
            raise SelftestError(f"the container ({container.runtime}) could not break out: {why}")
        acted_ns = int(said.split()[1])
        alerts = _collect(source, container.id, wanted)
        first = next((each for each in alerts if _rule(each.alert) == wanted), None)
        return Outcome(
            container_id=container.id,
            runtime=container.runtime,
            alerts=alerts,
            milliseconds=None if first is None else (first.at_ns - acted_ns) / 1e6,
            sensor=None if first is None else str(first.alert.get("hullwatch", {}).get("sensor")),
        )


def host_victim() -> int:
    """A process in the host's namespaces: ourselves, unless we are in a container; then the kernel's first thread."""
    try:
        is_host = os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{KTHREADD}/ns/mnt")
    except OSError:
        return os.getpid()
    return os.getpid() if is_host else KTHREADD


def _collect(source: AlertSource, container_id: str, wanted: str) -> tuple[Heard, ...]:
    """Wait for the wanted alert, and a little longer for what else is said of the container."""
    alerts = []
    for heard in source.hear(ALERT_SECONDS):
        if heard.alert.get("container", {}).get("id") == container_id:
            alerts.append(heard)
            if _rule(heard.alert) == wanted:
                break
    else:
        return tuple(alerts)
    alerts.extend(
        heard for heard in source.hear(MORE_SECONDS) if heard.alert.get("container", {}).get("id") == container_id
    )
    return tuple(alerts)


def _rule(alert: dict[str, Any]) -> str:
    return str(alert.get("rule", {}).get("id"))
