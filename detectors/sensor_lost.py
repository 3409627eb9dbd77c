"""A part of the agent that watches the node has stopped.

Whoever wants to act unseen makes the watch fail first: closes its socket, fills its tables, makes it trip over a
crafted file. A part that ends is started again and a sweep follows, but what happened meanwhile may be missed.

*Fires on:* a source of events (the process connector, the mount watch, the sweep, the Docker API) ended with an error,
or its socket failed and was opened anew; or a program of the eBPF sensor is attached no more (asked of the kernel at
each sweep; it is attached again). The engine tells it once for each (part, reason).
"""

from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.base import Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier


def check(event: AgentTrouble, _view: NodeView) -> Found:
    """Tell what stopped, and why."""
    if event.kind is not TroubleKind.SENSOR_LOST:
        return
    yield Finding(
        f"a part of the agent stopped and is started again: {event.part}",
        None,
        evidence=(("part", event.part), ("why", event.why)),
        identity=(event.part, event.why),
    )


DETECTOR = Detector(
    id="HW-901",
    name="sensor_lost",
    family=Family.AGENT,
    severity=Severity.HIGH,
    techniques=(Technique("T1562.006", "Indicator Blocking", "TA0005", "Defense Evasion"),),
    wants=(AgentTrouble,),
    check=check,
    weakest=Tier.POLL,
    summary="A source of events ended with an error and was started again.",
    benign=(
        "An engine that is restarted ends its event stream: that is no error, and silent.",
        "A node that is out of memory or descriptors: the agent suffers with all others.",
    ),
    misses=(
        "The agent itself being killed: nobody is left to tell (HW-904 tells when it is back).",
        "A source that hangs without an error.",
        "A root of the host who rewrites the eBPF sensor's tables: its programs are attached, and see nothing.",
    ),
    advice=(
        "Look at the log of the agent (source_failed) for the whole error.",
        "See what happened on the node in the minute before, and take drift since then seriously.",
        "An error that comes again and again: report it, with the line of the log.",
    ),
    references=(
        "https://docs.kernel.org/driver-api/connector.html",
        "https://attack.mitre.org/techniques/T1562/006/",
    ),
)
