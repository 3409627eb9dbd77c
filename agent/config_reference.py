"""The configuration in words: what a key takes, and the reference page of all keys. Pure, made of the schema alone."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from agent.config_schema import Config, ExceptionConfig

Step = str | int

_INTRODUCTION = """\
# Configuration

<!-- Generated from agent/config_schema.py by `make docs`: do not edit. -->

hullwatch reads one YAML file: `hullwatch run --config FILE`. Every key may be left out. The file is read strictly: an
unknown key, a wrong type, a value out of bounds or a key that stands twice stops the agent (on SIGHUP: the old
configuration stays) with one line that names file, line, key, value and what was wanted. YAML aliases are refused, and
the file may have 1 MiB at most.
"""


def reference() -> str:
    """The reference page of the configuration, in Markdown."""
    return "\n".join([_INTRODUCTION, *_section("", Config, "The file")])


def fields_at(path: tuple[Step, ...]) -> tuple[str, ...]:
    """The keys that the section at ``path`` knows; empty where there is no section."""
    match _type_at(path):
        case inspect.StructType(fields=fields):
            return tuple(field.name for field in fields)
        case _:
            return ()


def wanted_at(path: tuple[Step, ...]) -> str:
    """What stands at ``path``, in words: ``a number from 0.05 to 3600``."""
    return wanted(_type_at(path))


def wanted(kind: inspect.Type | None) -> str:  # noqa: C901, PLR0911 (one return a type)
    """What a key of that type takes, in words."""
    match kind:
        case inspect.Metadata(type=inner):
            return wanted(inner)
        case inspect.UnionType(types=types):
            return " or ".join(wanted(each) for each in types if not isinstance(each, inspect.NoneType))
        case inspect.LiteralType(values=values):
            return _alternatives([str(value) for value in values])
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_bounds(kind)}"
        case inspect.FloatType():
            return f"a number{_bounds(kind)}"
        case inspect.StrType(pattern=pattern):
            return "an absolute path" if pattern == "^/" else "text that is not empty" if kind.min_length else "text"
        case inspect.DateType():
            return "a date (YYYY-MM-DD)"
        case inspect.VarTupleType(item_type=item):
            return f"a list{_most(kind.max_length)}, of each: {wanted(item)}"
        case inspect.DictType(value_type=value):
            return f"a mapping{_most(kind.max_length)} of names to {wanted(value)}"
        case inspect.StructType(fields=fields):
            return f"a mapping with keys of: {', '.join(field.name for field in fields)}"
        case _:
            return "something else"


def _section(prefix: str, section: type[msgspec.Struct], title: str) -> list[str]:
    """One section as a table, then the sections inside it."""
    info = inspect.type_info(section)
    assert isinstance(info, inspect.StructType)
    rows: list[str] = []
    inner: list[str] = []
    for field in info.fields:
        name = f"{prefix}{field.name}"
        kind = field.type.type if isinstance(field.type, inspect.Metadata) else field.type
        if isinstance(kind, inspect.StructType):
            inner += _section(f"{name}.", kind.cls, f"`{name}`")
            continue
        if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
            inner += _section("", kind.item_type.cls, f"Each of `{name}`")
        rows.append(f"| `{name}` | {_cell(kind)} | {_default(field)} | {_description(field)} |")
    table = ["| key | takes | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return [f"## {title}", "", str(section.__doc__).strip(), "", *table, *inner]


def _cell(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
        return f"a list{_most(kind.max_length)}, see below"
    return wanted(kind)


def _description(field: inspect.Field) -> str:
    extra = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
    return str((extra or {})["description"])


def _default(field: inspect.Field) -> str:
    if field.required:
        return "needed"
    if field.default is None:
        return "none"
    value: Any = {} if field.default is msgspec.NODEFAULT else field.default
    return f"`{msgspec.json.encode(value).decode()}`"


def _alternatives(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    return f" from {kind.ge} to {kind.le}"


def _most(length: int | None) -> str:
    return "" if length is None else f" of at most {length}"


def _type_at(path: tuple[Step, ...]) -> inspect.Type | None:
    """The type at ``path``, without its description; ``None`` where the schema has nothing."""
    kind: inspect.Type | None = inspect.type_info(Config)
    for step in path:
        match kind:
            case inspect.StructType(fields=fields):
                kind = next((field.type for field in fields if field.name == step), None)
            case inspect.VarTupleType(item_type=item):
                kind = item
            case inspect.DictType(value_type=value):
                kind = value
            case _:
                return None
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
    return kind


WORKLOAD_CONDITIONS = tuple(
    name for name in ExceptionConfig.__struct_fields__ if name not in {"reason", "rules", "expires"}
)
