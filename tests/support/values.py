"""Events of ``collectors.values`` with real-looking defaults, for the tests of what judges them."""

from __future__ import annotations

from typing import Any

from collectors.events import KernelValue
from collectors.facts import NOT_READ, Unknown
from tests.support import build

SYSCTLS = b"/proc/sys/kernel/"


def changed(name: str, before: bytes, after: bytes, **overrides: Any) -> KernelValue:
    """A value that was ``before`` since the start, and is ``after`` now."""
    facts: dict[str, Any] = {"where": SYSCTLS + name.encode(), "at_start": before}
    return KernelValue(build.NOW_NS, name, before, after, **{**facts, **overrides})


def met(name: str, value: bytes | Unknown, **overrides: Any) -> KernelValue:
    """A value that is read for the first time."""
    facts: dict[str, Any] = {"where": SYSCTLS + name.encode(), "at_start": value}
    return KernelValue(build.NOW_NS, name, NOT_READ, value, **{**facts, **overrides})
