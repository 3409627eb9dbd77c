"""Which alerts and containers are wanted: ``-n``, ``--pod``, ``--container``, ``--rule``, ``--since`` and so on."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from agent.cli.filters import Filter, filter_options
from agent.cli.moments import moment_ns
from agent.cli.output import Refused
from agent.text import clipped, valid
from detectors.base import Severity

Wanted = dict[str, Any]
"""As ``agent.control.wanted.Wanted`` has it; what is not narrowed is left out."""


def container_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the filters of containers, and pass it ``wanted``."""

    @filter_options
    @wraps(command)
    def with_filters(*args: Any, only: Filter, **options: Any) -> Any:
        wanted = _given(namespace=only.namespace, pod=only.pod, container=only.container)
        return command(*args, wanted=wanted, **options)

    return with_filters


def alert_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the filters of alerts, those of containers included, and pass it ``wanted``."""

    @click.option("--rule", metavar="RULE", help="Only this rule: an id (HW-103, or just 103) or a name.")
    @click.option(
        "--min-severity",
        type=click.Choice([each.name.lower() for each in Severity]),
        help="Leave out what is less severe.",
    )
    @click.option("--since", metavar="TIME", help="Not before: 90s, 10m, 2h, 1d ago, or a date or time (UTC).")
    @click.option("--until", metavar="TIME", help="Before: as --since.")
    @wraps(command)
    def with_filters(
        *args: Any,
        wanted: Wanted,
        rule: str | None,
        min_severity: str | None,
        since: str | None,
        until: str | None,
        **options: Any,
    ) -> Any:
        of_alerts = _given(
            rule=_rule_id(rule) if rule is not None else None,
            min_severity=int(Severity[min_severity.upper()]) if min_severity is not None else None,
            since_ns=moment("--since", since),
            until_ns=moment("--until", until),
        )
        return command(*args, wanted={**wanted, **of_alerts}, **options)

    return container_filters(with_filters)


def _given(**filters: Any) -> Wanted:
    return {
        name: valid(value) if isinstance(value, str) else value for name, value in filters.items() if value is not None
    }


def _rule_id(wanted: str) -> str:
    from agent.cli.explain import find  # knows every detector, which costs its time

    return find(wanted).id


def moment(option: str, text: str | None) -> int | None:
    """The time that an option names. Raises ``Refused``."""
    if text is None:
        return None
    try:
        return moment_ns(text, time.time_ns())
    except ValueError as error:
        raise Refused(f"{option} is {clipped(text, 80)!r}: {error}") from error
