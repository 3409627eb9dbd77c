"""The one list of reference pages that are generated from the code; ``scripts/reference.py`` writes and checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent import config_reference, detector_reference, metrics_reference, redaction_reference, rules_reference
from agent.cli import reference as cli_reference

# Path below docs/, and the pure function that renders the page.
PAGES: Mapping[str, Callable[[], str]] = {
    "reference/cli.md": cli_reference.reference,
    "reference/config.md": config_reference.reference,
    "reference/detectors.md": detector_reference.reference,
    "reference/metrics.md": metrics_reference.reference,
    "reference/redaction.md": redaction_reference.reference,
    "reference/rules.md": rules_reference.reference,
}
