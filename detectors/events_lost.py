"""Events of the node never reached the agent.

A storm of processes fills every buffer; an act may hide in it on purpose. After each loss the whole node is swept, so
that what lives on is seen; what was over by then is not.

*Fires on:* a source says that events were lost. The engine tells it once for each (source, reason); the numbers are in
the log and in health.
"""

from __future__ import annotations

from collectors.events import Lost
from detectors.base import Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier


def check(event: Lost, _view: NodeView) -> Found:
    """Tell which source, and why; how many changes by itself, and is no evidence."""
    yield Finding(
        f"events of the node were lost: {event.source}, {event.reason}",
        None,
        evidence=(("source", event.source), ("reason", event.reason)),
        identity=(event.source, event.reason),
    )


DETECTOR = Detector(
    id="HW-902",
    name="events_lost",
    family=Family.AGENT,
    severity=Severity.MEDIUM,
    techniques=(Technique("T1562.006", "Indicator Blocking", "TA0005", "Defense Evasion"),),
    wants=(Lost,),
    check=check,
    weakest=Tier.POLL,
    summary="Events were lost before the agent could read them.",
    benign=(
        "Builds and tests that start thousands of processes a second, on a node that has no time left.",
        "A buffer that is too small for the node: raise netlink.receive_buffer_bytes or limits.queue_events.",
    ),
    misses=(
        "Losses that a source cannot know of.",
        "The second loss of the same kind: it is counted, and not told again.",
    ),
    advice=(
        "See which workload made the storm (its parent processes), and whether it has reason to.",
        "Raise the buffers, or give the agent more time of the processor.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/netlink.7.html",
        "https://attack.mitre.org/techniques/T1562/006/",
    ),
)
