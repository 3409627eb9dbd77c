"""An answer of the doctor, and what the questions are asked of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.config_schema import Config
from collectors.capabilities import mask
from collectors.facts import Capabilities, HostBaseline, Namespaces, Seccomp, Unknown
from collectors.host import Roots


class Verdict(StrEnum):
    """``failed`` costs sight that the configured agent is meant to have, ``warning`` what it can do without."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    OFF = "off"  # not asked for, or not to be had without harm


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that is needed. ``costs`` and ``mend`` are sentences, empty where nothing is missing."""

    area: str
    name: str
    verdict: Verdict
    found: str
    costs: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that the questions need; each ``try_*`` does the thing and says what came of it, or raises.

    ``try_connector``, ``try_library``, ``try_ebpf`` and ``try_inotify`` raise a ``CollectorError`` kind, ``try_docker``
    an ``OSError``.
    """

    config: Config
    roots: Roots
    host: HostBaseline
    uid: int
    capabilities: Capabilities
    seccomp: Seccomp | Unknown
    label: bytes | Unknown | None
    own: Namespaces
    kernel: str
    try_connector: Callable[[], str]
    try_library: Callable[[], str]
    try_ebpf: Callable[[], str]
    try_inotify: Callable[[], str]
    try_docker: Callable[[], str]
    is_clock_synchronised: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)

    def can(self, name: str) -> bool:
        """Whether the capability of that name is effective."""
        return bool(self.capabilities.effective & mask((name,)))


def kernel_version(release: str) -> tuple[int, int] | None:
    """The first two numbers of a kernel's release."""
    number = re.match(r"(\d+)\.(\d+)", release)
    return (int(number[1]), int(number[2])) if number is not None else None


def ok(area: str, name: str, found: str) -> Answer:
    """Nothing is missing."""
    return Answer(area, name, Verdict.OK, found)


def off(area: str, name: str, found: str) -> Answer:
    """Nothing is missing, since nothing was asked for."""
    return Answer(area, name, Verdict.OFF, found)
