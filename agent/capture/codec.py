"""Events as bytes and back: msgpack, in which each class of ours is an extension type. Pure.

The numbers of the extension types are the capture's own: its header says which class and which fields they stand for.
Bytes stay bytes, and text that is not valid (lone surrogates) comes back as it was. What is read is checked: a value
that its class does not allow is refused, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgpack

from agent.capture.errors import CaptureError
from agent.capture.schema import Shape, enumerations, shapes

FROZENSET = 0
MAX_DEPTH = 12
"""Values are nested no deeper than this; each step costs msgpack 32 KiB of the C stack."""

_STRICT = {"strict_types": True, "use_bin_type": True, "unicode_errors": "surrogatepass"}


class Encoder:
    """Numbers the classes for one capture."""

    def __init__(self) -> None:
        names = [*shapes(), *enumerations()]
        self._numbers = {name: number for number, name in enumerate(names, FROZENSET + 1)}
        self._fields = {shape.made_by: (self._numbers[name], shape.fields) for name, shape in shapes().items()}
        self._enumerations = {each: self._numbers[name] for name, each in enumerations().items()}

    def table(self) -> list[list[object]]:
        """The classes as the header names them: number, name, fields; an enumeration has no fields but ``None``."""
        records: list[list[object]] = [
            [self._numbers[name], name, list(each.fields)] for name, each in shapes().items()
        ]
        return records + [[self._numbers[name], name, None] for name in enumerations()]

    def encode(self, value: object) -> bytes:
        """One value. Raises ``CaptureError`` for what msgpack cannot hold: a number beyond 64 bits."""
        try:
            return self._packed(value)
        except (OverflowError, ValueError, TypeError) as error:
            raise CaptureError(f"{type(value).__name__} cannot be written: {error}") from error

    def _packed(self, value: object) -> bytes:
        packed: bytes = msgpack.packb(value, default=self._extended, **_STRICT)
        return packed

    def _extended(self, value: object) -> object:
        kind = type(value)
        found = self._fields.get(kind)
        if found is not None:
            number, names = found
            return msgpack.ExtType(number, self._packed([getattr(value, name) for name in names]))
        if isinstance(value, tuple):
            return list(value)
        if isinstance(value, frozenset):
            return msgpack.ExtType(FROZENSET, b"".join(sorted(self._packed(each) for each in value)))
        if isinstance(value, Enum) and kind in self._enumerations:
            return msgpack.ExtType(self._enumerations[kind], self._packed(value.value))
        raise TypeError(f"a capture holds no {kind.__name__}")


@dataclass(frozen=True, slots=True)
class _Known:
    """A class of the capture as this hullwatch has it; ``fields`` are in the capture's order."""

    shape: Shape
    fields: tuple[str, ...]


class Decoder:
    """Reads what an encoder with that table wrote. Raises ``CaptureError``."""

    def __init__(self, table: object) -> None:
        self._depth = 0
        self._records: dict[int, _Known] = {}
        self._enumerations: dict[int, type[Enum]] = {}
        for number, name, names in _rows(table):
            if names is None:
                kind = enumerations().get(name)
                if kind is None:
                    raise CaptureError(f"it holds {name}, of which this hullwatch knows nothing")
                self._enumerations[number] = kind
            else:
                self._records[number] = _known(name, names)

    def decode(self, data: bytes) -> object:
        """One value."""
        return self._unpacked(data)

    def decode_all(self, data: bytes, *, may_be_cut: bool = False) -> Iterator[object]:
        """The values that stand one behind the other; of a last one that is not whole, nothing if it ``may_be_cut``."""
        unpacker = self._unpacker(len(data))
        unpacker.feed(data)
        while True:
            try:
                value = unpacker.unpack()
            except msgpack.OutOfData:
                if unpacker.tell() != len(data) and not may_be_cut:
                    raise CaptureError("a value is not whole") from None
                return
            except CaptureError:
                raise
            except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
                raise CaptureError(f"no value: {error}") from error
            yield value

    def _unpacked(self, data: bytes) -> object:
        try:
            value: object = msgpack.unpackb(data, **self._options(len(data)))
        except CaptureError:
            raise
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise CaptureError(f"no value: {error}") from error
        return value

    def _unpacker(self, size: int) -> msgpack.Unpacker:
        return msgpack.Unpacker(max_buffer_size=max(size, 1), **self._options(size))

    def _options(self, size: int) -> dict[str, Any]:
        return {
            "ext_hook": self._made,
            "use_list": False,
            "raw": False,
            "unicode_errors": "surrogatepass",
            "max_map_len": 0,
            "max_array_len": size,
        }

    def _made(self, number: int, data: bytes) -> object:
        if self._depth >= MAX_DEPTH:
            raise CaptureError("values are nested too deeply")
        self._depth += 1
        try:
            if number == FROZENSET:
                return _set_of(self.decode_all(data))
            enumeration = self._enumerations.get(number)
            if enumeration is not None:
                return _member(enumeration, self._unpacked(data))
            known = self._records.get(number)
            if known is None:
                raise CaptureError(f"a value is of class {number}, which the header does not name")
            return _instance(known, self._unpacked(data))
        finally:
            self._depth -= 1


def _rows(table: object) -> Iterator[tuple[int, str, tuple[str, ...] | None]]:
    if not isinstance(table, Sequence):
        raise CaptureError("its header names no classes")
    for row in table:
        match row:
            case [int(number), str(name), None]:
                yield number, name, None
            case [int(number), str(name), [*names]] if all(isinstance(each, str) for each in names):
                yield number, name, tuple(names)
            case _:
                raise CaptureError("its header names a class as none is named")


def _known(name: str, names: tuple[str, ...]) -> _Known:
    shape = shapes().get(name)
    if shape is None:
        raise CaptureError(f"it holds {name}, of which this hullwatch knows nothing: it is of a later one")
    unknown = [each for each in names if each not in shape.fields]
    if unknown:
        raise CaptureError(f"its {name} has {unknown[0]}, which this hullwatch does not know: it is of a later one")
    lacking = [each for each in shape.fields if each not in names and each not in shape.defaults]
    if lacking or len(set(names)) != len(names):
        raise CaptureError(f"its {name} lacks {lacking[0] if lacking else 'an order'}: it is of an earlier hullwatch")
    return _Known(shape, names)


def _instance(known: _Known, values: object) -> object:
    shape = known.shape
    if not isinstance(values, tuple) or len(values) != len(known.fields):
        raise CaptureError(f"a {shape.made_by.__name__} has another number of fields")
    given: Mapping[str, object] = dict(zip(known.fields, values, strict=True))
    for name, value in given.items():
        if not shape.checks[name](value):
            raise CaptureError(f"{name} of a {shape.made_by.__name__} is of the wrong type")
    return shape.made_by(**given)


def _member(enumeration: type[Enum], value: object) -> Enum:
    try:
        return enumeration(value)
    except ValueError as error:
        raise CaptureError(f"{enumeration.__name__} has no such value") from error


def _set_of(values: Iterator[object]) -> frozenset[object]:
    try:
        return frozenset(values)
    except TypeError as error:
        raise CaptureError("a set holds what no set can") from error
