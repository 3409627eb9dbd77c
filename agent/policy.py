"""The operator's exceptions: findings that are expected are counted instead of told.

Names and images serve here and nowhere else: detectors never trust them. A condition whose fact is not known (yet) does
not hold, so missing metadata never hides a finding. Time is passed in; owned by the pipeline's thread.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.config_schema import ExceptionConfig
from agent.text import to_text, visible
from collectors.facts import Container, Executable, Process
from detectors.base import Detector, Family, Severity


@dataclass(frozen=True, slots=True)
class ExceptionState:
    """An exception with what became of it, as health shows it. ``number`` is its place in the file, from 1."""

    number: int
    reason: str
    matched: int
    expired: bool


class Policy:
    """The exceptions of the configuration, in its order, with the number of findings that each has matched."""

    def __init__(self, exceptions: Sequence[ExceptionConfig]) -> None:
        self._exceptions = tuple(exceptions)
        self._matched = [0] * len(self._exceptions)

    def excepts(
        self,
        rule_id: str,
        container: Container | None,
        process: Process | None,
        at_ns: int,
    ) -> ExceptionConfig | None:
        """The first exception that covers a finding, counted; ``None`` when the finding is to be told."""
        for index, exception in enumerate(self._exceptions):
            if not is_expired(exception, at_ns) and covers(exception, rule_id, container, process):
                self._matched[index] += 1
                return exception
        return None

    def states(self, now_ns: int) -> tuple[ExceptionState, ...]:
        """Every exception with its count, and whether it no longer applies."""
        return tuple(
            ExceptionState(index + 1, visible(exception.reason), self._matched[index], is_expired(exception, now_ns))
            for index, exception in enumerate(self._exceptions)
        )


def is_expired(exception: ExceptionConfig, at_ns: int) -> bool:
    """The exception's last day (UTC) is over."""
    if exception.expires is None:
        return False
    day = dt.datetime.fromtimestamp(at_ns // 1_000_000_000, dt.UTC).date()
    return day > exception.expires


def covers(
    exception: ExceptionConfig,
    rule_id: str,
    container: Container | None,
    process: Process | None,
) -> bool:
    """All conditions that are given hold; expiry aside."""
    return (
        (not exception.rules or any(fnmatchcase(rule_id, pattern) for pattern in exception.rules))
        and (exception.container is None or _any_matches(_names(container), exception.container))
        and (
            exception.image is None
            or _any_matches((container.image if container is not None else None,), exception.image)
        )
        and (exception.namespace is None or _any_matches((_namespace(container),), exception.namespace))
        and _has_labels(container, exception.labels)
        and (exception.executable is None or _any_matches((_executable(process),), exception.executable))
    )


def load_warnings(exceptions: Iterable[ExceptionConfig], detectors: Iterable[Detector]) -> tuple[str, ...]:
    """What the operator should hear at load: escapes that will not be told, conditions that are weak."""
    drifts = [each for each in detectors if each.family is Family.DRIFT and each.severity is Severity.CRITICAL]
    warnings = []
    for number, exception in enumerate(exceptions, 1):
        hidden = [
            drift.id
            for drift in drifts
            if not exception.rules or any(fnmatchcase(drift.id, pattern) for pattern in exception.rules)
        ]
        why = visible(exception.reason)
        if hidden:
            warnings.append(f"exception {number} ({why}) hides escapes: {', '.join(hidden)}")
        others = (exception.container, exception.image, exception.namespace, exception.labels)
        if exception.executable is not None and not any(others):
            warnings.append(f"exception {number} ({why}) trusts a path alone, and any container can name a file so")
    return tuple(warnings)


def _any_matches(values: Iterable[str | None], pattern: str) -> bool:
    return any(value is not None and fnmatchcase(value, pattern) for value in values)


def _names(container: Container | None) -> tuple[str | None, ...]:
    """The runtime's name and the one in the pod; Docker writes a slash before its names."""
    if container is None:
        return ()
    return (
        container.name and container.name.removeprefix("/"),
        container.pod.container_name if container.pod is not None else None,
    )


def _namespace(container: Container | None) -> str | None:
    return container.pod.namespace if container is not None and container.pod is not None else None


def _has_labels(container: Container | None, wanted: dict[str, str]) -> bool:
    if not wanted:
        return True
    labels = {} if container is None else _labels(container)
    return all(name in labels and fnmatchcase(labels[name], pattern) for name, pattern in wanted.items())


def _labels(container: Container) -> dict[str, str]:
    """The container's own labels, and its pod's where the API server is asked."""
    details = container.pod_details
    return {**dict(container.labels), **(dict(details.labels) if details is not None else {})}


def _executable(process: Process | None) -> str | None:
    if process is None or not isinstance(process.executable, Executable):
        return None
    return to_text(process.executable.path)
