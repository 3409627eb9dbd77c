"""``-n``, ``--pod`` and ``--container``: what a command looks at, narrowed, everywhere in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from agent.cli import select
from collectors.facts import Container


@dataclass(frozen=True, slots=True)
class Filter:
    """Which containers are meant; ``None`` is any. Pure."""

    namespace: str | None = None
    pod: str | None = None
    container: str | None = None

    @property
    def is_any(self) -> bool:
        """Nothing was narrowed: what belongs to no container is meant too."""
        return self == Filter()

    def admits(self, container: Container | None) -> bool:
        """Whether that container is meant; ``None`` (of the host) is only where nothing was narrowed."""
        if container is None or self.is_any:
            return self.is_any
        pod = container.pod
        return (
            (self.namespace is None or (pod is not None and pod.namespace == self.namespace))
            and (self.pod is None or (pod is not None and pod.name == self.pod))
            and (self.container is None or select.is_called(container, self.container))
        )


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``-n``, ``--pod`` and ``--container``, and pass it a ``Filter`` named ``only``."""

    @click.option("-n", "--namespace", metavar="NAMESPACE", help="Only pods of this Kubernetes namespace.")
    @click.option("--pod", metavar="NAME", help="Only containers of the pod with this name.")
    @click.option("--container", metavar="NAME|ID", help="Only containers of this name, id or start of an id.")
    @wraps(command)
    def with_filter(*args: Any, namespace: str | None, pod: str | None, container: str | None, **options: Any) -> Any:
        return command(*args, only=Filter(namespace, pod, container), **options)

    return with_filter
