"""Alerts cannot be delivered.

An alert that nobody reads is none. What cannot be delivered is kept and sent when the sink is back, but until then
only those who look at the node know.

*Fires on:* a sink refuses alerts, or cannot be reached. The engine tells it once for each (sink, reason), to the other
sinks.
"""

from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.base import Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier


def check(event: AgentTrouble, _view: NodeView) -> Found:
    """Tell which sink, and why."""
    if event.kind is not TroubleKind.SINK_UNREACHABLE:
        return
    yield Finding(
        f"alerts cannot be delivered to {event.part}",
        None,
        evidence=(("part", event.part), ("why", event.why)),
        identity=(event.part, event.why),
    )


DETECTOR = Detector(
    id="HW-905",
    name="sink_unreachable",
    family=Family.AGENT,
    severity=Severity.MEDIUM,
    techniques=(Technique("T1562.006", "Indicator Blocking", "TA0005", "Defense Evasion"),),
    wants=(AgentTrouble,),
    check=check,
    weakest=Tier.POLL,
    summary="A sink refuses alerts or cannot be reached.",
    benign=("A collector that is restarted or upgraded, a network that is down for a while.",),
    misses=(
        "A sink that takes alerts and loses them.",
        "With a single sink this alert waits with all the others.",
    ),
    advice=(
        "Look at the agent on the node: its log and its health say what the sink answered.",
        "On the node hullwatch scan shows what is there now, without any sink.",
    ),
    references=("https://attack.mitre.org/techniques/T1562/006/",),
)
