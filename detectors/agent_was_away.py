"""The agent was not there for a while.

Between its last sign of life and its start nobody watched. An attacker who is root on the node ends the agent first;
so does every upgrade of it.

*Fires on:* the agent finds at its start that its last heartbeat on this node is longer ago than it should be.
"""

from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.base import Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier


def check(event: AgentTrouble, _view: NodeView) -> Found:
    """Tell since when."""
    if event.kind is not TroubleKind.AWAY:
        return
    yield Finding(
        f"the agent was away: {event.why}",
        None,
        evidence=(("part", event.part), ("why", event.why)),
        identity=(event.part, event.why),
    )


DETECTOR = Detector(
    id="HW-904",
    name="agent_was_away",
    family=Family.AGENT,
    severity=Severity.LOW,
    techniques=(Technique("T1562.001", "Disable or Modify Tools", "TA0005", "Defense Evasion"),),
    wants=(AgentTrouble,),
    check=check,
    weakest=Tier.POLL,
    summary="Nobody watched the node between the last heartbeat and the start of the agent.",
    benign=(
        "An upgrade, a restart of the pod, a reboot of the node: told each time, as low.",
        "The first start on a node has no heartbeat before it: silent.",
    ),
    misses=(
        "Everything that came and went meanwhile; what is still there is found by the first sweep.",
        "An agent that lives and is kept from running (frozen, starved).",
    ),
    advice=(
        "Match the time with the roll-out of the agent and the reboots of the node.",
        "Neither fits: look for who ended it, and treat the first findings after its start as one story.",
    ),
    references=("https://attack.mitre.org/techniques/T1562/001/",),
)
