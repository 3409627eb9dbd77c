"""The core fed from a capture: the same state, detectors, repetition and incidents, so the same alerts to the byte.

Nothing here reads the node. The clock serves ``speed`` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from agent import __version__
from agent.assembly import new_state, operators_rules
from agent.capture.file import CaptureReader
from agent.config_schema import Config
from agent.incidents import INCIDENT
from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.redaction import Redactor
from agent.report import Alert, AlertBuilder
from agent.state import NodeState
from detectors.catalog import DETECTORS


def replay(capture: CaptureReader, config: Config, wait: Callable[[int], None]) -> Iterator[Alert]:
    """Every alert that the events raise under this configuration, masked as the agent masks them.

    Raises ``CaptureError`` where the capture is damaged, when what stands before that was replayed.
    """
    pipeline = pipeline_for(capture, config)
    redactor = Redactor(config.output.redaction) if config.output.redaction.enabled else None
    for event in capture.events():
        wait(event.at_ns)
        for alert in pipeline.feed(event):
            yield alert if redactor is None else redactor.alert(alert)


def pipeline_for(capture: CaptureReader, config: Config) -> Pipeline:
    """The core as it was when the capture began: empty, on that node."""
    header = capture.header
    builder = AlertBuilder(header.facts, __version__, header.first_sequence)
    return new_core(config, new_state(config, header.host, header.tier), builder, header.host.boot_id)


def new_core(config: Config, state: NodeState, builder: AlertBuilder, boot_id: str) -> Pipeline:
    """A pipeline with all that the configuration enables."""
    disabled = config.detectors.disabled
    every = (*DETECTORS, *operators_rules(config, time.thread_time_ns))
    return Pipeline(
        state,
        [each for each in every if each.id not in disabled],
        Policy(config.exceptions),
        builder,
        boot_id,
        tells_incidents=INCIDENT.id not in disabled,
        max_findings=config.limits.findings,
    )


def pace(
    speed: float | None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[int], None]:
    """Waits until an event of that time is due: ``speed`` 1 is as it happened, ``None`` never waits."""
    if speed is None:
        return lambda _: None
    began: list[tuple[int, float]] = []

    def wait(at_ns: int) -> None:
        now = monotonic()
        if not began:
            began.append((at_ns, now))
        first_ns, first = began[0]
        due = first + (at_ns - first_ns) / 1e9 / speed
        if due > now:
            sleep(due - now)

    return wait
