"""A detector failed on an event, and may be blind.

A fault in a detector ends neither the agent nor the other detectors. But the event that it failed on was not judged,
and somebody may have found the input that makes it fail.

*Fires on:* a detector raised an error. The engine tells it once for each (detector, error).
"""

from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.base import Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier


def check(event: AgentTrouble, _view: NodeView) -> Found:
    """Tell which detector, and how."""
    if event.kind is not TroubleKind.DETECTOR_FAILED:
        return
    yield Finding(
        f"a detector failed and did not judge an event: {event.part}",
        None,
        evidence=(("part", event.part), ("why", event.why)),
        identity=(event.part, event.why),
    )


DETECTOR = Detector(
    id="HW-906",
    name="detector_failed",
    family=Family.AGENT,
    severity=Severity.MEDIUM,
    techniques=(Technique("T1562.001", "Disable or Modify Tools", "TA0005", "Defense Evasion"),),
    wants=(AgentTrouble,),
    check=check,
    weakest=Tier.POLL,
    summary="A detector raised an error and did not judge an event.",
    benign=("None: it is a fault in hullwatch. Report it, with the error.",),
    misses=(
        "A detector that answers wrongly without failing.",
        "A failure of one of the detectors for the agent itself: it is counted only.",
    ),
    advice=(
        "Report the error and the version of the agent.",
        "See whether other rules tell of the same container at that time: what failed was about it.",
    ),
    references=("https://attack.mitre.org/techniques/T1562/001/",),
)
