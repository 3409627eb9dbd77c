"""One object for the equal parts of many declarations. For the registry, under its lock; emptied when full."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TypeVar, cast

from collectors.facts import Declared

MAX_SHARED = 4096

_T = TypeVar("_T", bound=Hashable)


class SharedParts:
    """Hundreds of containers declare the same masked paths and devices."""

    def __init__(self) -> None:
        self._shared: dict[Hashable, Hashable] = {}

    def _share(self, value: _T) -> _T:
        """One object for equal values: hundreds of containers declare the same masked paths and devices."""
        if len(self._shared) >= MAX_SHARED:
            self._shared = {}
        self._shared.setdefault(value, value)
        return cast("_T", self._shared[value])

    def of(self, declared: Declared) -> Declared:
        """The same declaration, made of parts that are in memory once."""
        return replace(
            declared,
            namespaces=self._share(declared.namespaces),
            capabilities=self._share(declared.capabilities),
            mounts=tuple(self._share(each) for each in declared.mounts),
            masked_paths=self._share(declared.masked_paths),
            readonly_paths=self._share(declared.readonly_paths),
            device_rules=self._share(declared.device_rules),
            environment=tuple(self._share(each) for each in declared.environment),
            sysctls=self._share(declared.sysctls),
        )
