"""Which values a capture may hold: the events, and everything that is in them. Made of the classes themselves. Pure.

A capture names its classes and their fields in its header, so that a later hullwatch, in which a field was added or
stands elsewhere, still reads it: what an older capture does not have takes the field's default.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from agent.report import HostFacts
from collectors import events
from collectors.facts import HostBaseline

Check = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """A class: its fields in their order, what each may hold, and the values of those that have a default."""

    made_by: type
    fields: tuple[str, ...]
    checks: Mapping[str, Check]
    defaults: Mapping[str, object]


@cache
def shapes() -> Mapping[str, Shape]:
    """Every class with fields, by its name."""
    return {name: _shape(each) for name, each in _classes().items() if not issubclass(each, Enum)}


@cache
def enumerations() -> Mapping[str, type[Enum]]:
    """Every enumeration, by its name."""
    return {name: each for name, each in _classes().items() if issubclass(each, Enum)}


def event_classes() -> tuple[type[events.Event], ...]:
    """The events, in the order in which they are declared."""
    return tuple(each for each in vars(events).values() if isinstance(each, type) and issubclass(each, events.Event))


@cache
def _classes() -> Mapping[str, type]:
    found: dict[str, type] = {}
    waiting: list[type] = [*event_classes(), HostBaseline, HostFacts]
    while waiting:
        each = waiting.pop(0)
        if found.setdefault(each.__name__, each) is not each:
            raise TypeError(f"two classes are called {each.__name__}")
        if not issubclass(each, Enum):
            hints = get_type_hints(each)
            waiting += [
                used
                for hint in hints.values()
                for used in _classes_in(hint)
                if used.__name__ not in found and used not in waiting
            ]
    return found


def _classes_in(hint: Any) -> Iterator[type]:
    for argument in get_args(hint):
        yield from _classes_in(argument)
    if isinstance(hint, type) and (_is_record(hint) or issubclass(hint, Enum)):
        yield hint


def _is_record(kind: type) -> bool:
    return is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def _shape(kind: type[Any]) -> Shape:
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        names = tuple(each.name for each in fields(kind))
        defaults = {each.name: each.default for each in fields(kind) if each.default is not MISSING}
    else:
        names, defaults = kind._fields, kind._field_defaults  # a NamedTuple
    return Shape(kind, names, {name: _check(hints[name]) for name in names}, defaults)


def _check(hint: Any) -> Check:
    """Whether a value is what a field's annotation says."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        checks = [_check(each) for each in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is frozenset:
        inside = _check(arguments[0])
        return lambda value: type(value) is frozenset and all(map(inside, value))
    if origin is tuple and arguments[1:] == (...,):
        inside = _check(arguments[0])
        return lambda value: type(value) is tuple and all(map(inside, value))
    if origin is tuple:
        checks = [_check(each) for each in arguments]
        return lambda value: (
            type(value) is tuple
            and len(value) == len(checks)
            and all(check(each) for check, each in zip(checks, value, strict=True))
        )
    if not isinstance(hint, type):
        raise TypeError(f"a capture cannot hold {hint}")
    return lambda value: type(value) is hint
