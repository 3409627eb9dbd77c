"""What is wanted of the alerts that are stored. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.stored_alert import StoredAlert


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted of the history: ``None`` is anything; times are of the act, ``until_ns`` is not in."""

    since_ns: int | None = None
    until_ns: int | None = None
    min_severity: int | None = None
    rule: str | None = None
    container: str | None = None  # the beginning of its id
    before: int | None = None  # sequences below this one

    def covers(self, alert: StoredAlert) -> bool:
        """The alert is one of those that are wanted."""
        return (
            (self.since_ns is None or alert.at_ns >= self.since_ns)
            and (self.until_ns is None or alert.at_ns < self.until_ns)
            and (self.min_severity is None or alert.severity >= self.min_severity)
            and (self.rule is None or alert.rule_id == self.rule)
            and (self.container is None or (alert.container_id or "").startswith(self.container))
            and (self.before is None or alert.sequence < self.before)
        )
