"""Facts as plain values and back: frozen dataclasses, named tuples, enums, bytes, whatever ``collectors.facts`` holds.

The way there is msgspec's (a dataclass is a map by field, a tuple an array, an enum its value). The way back is made
once for each type, from its annotations. A union is told apart by shape: a map by its keys, an array, a scalar. Pure.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any


class Malformed(Exception):
    """The values do not make up what was wanted."""


Build = Callable[[Any], Any]


def build(kind: Any, plain: Any) -> Any:
    """The value of type ``kind`` that ``plain`` was made of. Raises ``Malformed``."""
    try:
        return _builder(kind)(plain)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Malformed(f"no {getattr(kind, '__name__', kind)}: {type(error).__name__}: {error}") from error


@cache
def _builder(kind: Any) -> Build:  # noqa: PLR0911 (one return a kind of type)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named_tuple(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return _union(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if origin is frozenset:
        item = _builder(arguments[0])
        return lambda plain: frozenset(map(item, _listed(plain)))
    if kind in _SCALARS:
        return _scalar(kind)
    raise TypeError(f"{kind} has no plain form")


_SCALARS: dict[Any, tuple[type, ...]] = {
    int: (int,),
    bool: (bool,),
    str: (str,),
    bytes: (bytes,),
    float: (float, int),
    types.NoneType: (types.NoneType,),
    type(None): (types.NoneType,),
}


def _scalar(kind: Any) -> Build:
    wanted = _SCALARS[kind]

    def check(plain: Any) -> Any:
        if type(plain) not in wanted:
            raise TypeError(f"{type(plain).__name__} in place of {kind.__name__}")
        return plain

    return check


def _dataclass(kind: Any) -> Build:
    hints = typing.get_type_hints(kind)
    fields = tuple((each.name, _builder(hints[each.name])) for each in dataclasses.fields(kind))
    return lambda plain: kind(*[make(plain[name]) for name, make in fields])


def _named_tuple(kind: Any) -> Build:
    hints = typing.get_type_hints(kind)
    makes = tuple(_builder(hints[name]) for name in kind._fields)

    def make(plain: Any) -> Any:
        return kind(*[each(value) for each, value in zip(makes, _listed(plain), strict=True)])

    return make


def _tuple(arguments: tuple[Any, ...]) -> Build:
    if len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004 (tuple[T, ...])
        item = _builder(arguments[0])
        return lambda plain: tuple(map(item, _listed(plain)))
    makes = tuple(_builder(each) for each in arguments)
    return lambda plain: tuple(make(value) for make, value in zip(makes, _listed(plain), strict=True))


def _listed(plain: Any) -> list[Any]:
    if not isinstance(plain, list):
        raise TypeError(f"{type(plain).__name__} in place of a list")
    return plain


def _union(arguments: tuple[Any, ...]) -> Build:
    """One member for each set of keys, one for arrays, and scalars by their type."""
    of_maps: dict[frozenset[str], Build] = {}
    of_arrays: Build | None = None
    of_scalars: dict[type, Build] = {}
    for each in arguments:
        make = _builder(each)
        if dataclasses.is_dataclass(each):
            of_maps[frozenset(field.name for field in dataclasses.fields(each))] = make
        elif isinstance(each, type) and issubclass(each, enum.Enum):
            of_scalars.update({type(member.value): make for member in each})
        elif each in _SCALARS:
            of_scalars.update(dict.fromkeys(_SCALARS[each], make))
        else:
            of_arrays = make
    only = next(iter(of_maps.values())) if len(of_maps) == 1 else None

    def choose(plain: Any) -> Any:
        if isinstance(plain, dict):
            return only(plain) if only is not None else of_maps[frozenset(plain)](plain)
        if isinstance(plain, list) and of_arrays is not None:
            return of_arrays(plain)
        return of_scalars[type(plain)](plain)

    return choose
