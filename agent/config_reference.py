"""The configuration in words: what a key takes, and the reference page of all keys. Pure, made of the schema alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

from agent.config_schema import Config, ExceptionConfig

Step = str | int

_INTRODUCTION = """\
# Configuration

<!-- Generated from agent/config_schema.py and agent/output_schema.py by `make docs`: do not edit. -->

hullwatch reads one YAML file: `hullwatch run --config FILE`. Every key may be left out. The file is read strictly: an
unknown key, a wrong type, a value out of bounds or a key that stands twice stops the agent (on SIGHUP: the old
configuration stays) with one line that names file, line, key, value and what was wanted. YAML aliases are refused, and
the file may have 1 MiB at most.
"""


def reference() -> str:
    """The reference page of the configuration, in Markdown."""
    return "\n".join([_INTRODUCTION, *_section("", Config, "The file")])


def fields_at(path: tuple[Step, ...], values: Any = None) -> tuple[str, ...]:
    """The keys that the section at ``path`` knows; empty where there is no section.

    Where a section is of one of several kinds, the one that ``values``, the whole file, names is meant.
    """
    match _bare(_type_at(path, values)):
        case inspect.StructType() as section:
            return tuple(_keys(section))
        case inspect.UnionType(types=types):
            return tuple(dict.fromkeys(each.tag_field for each in _sections(types) if each.tag_field))
        case _:
            return ()


def wanted_at(path: tuple[Step, ...], values: Any = None) -> str:
    """What stands at ``path``, in words: ``a number from 0.05 to 3600``. ``values`` as for ``fields_at``."""
    return wanted(_type_at(path, values))


def wanted(kind: inspect.Type | None) -> str:  # noqa: C901, PLR0911, PLR0912 (one return a type)
    """What a key of that type takes, in words; a ``title`` in the schema says it better than the type."""
    match kind:
        case inspect.Metadata(type=inner):
            title = (kind.extra_json_schema or {}).get("title")
            return wanted(inner) if title is None else str(title)
        case inspect.UnionType(types=types) if _sections(types):
            return f"a mapping with `type` of {_alternatives(sorted(str(each.tag) for each in _sections(types)))}"
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
        case inspect.StructType():
            return f"a mapping with keys of: {', '.join(_keys(kind))}"
        case _:
            return "something else"


def _section(prefix: str, section: type[msgspec.Struct], title: str, of: str = "") -> list[str]:
    """One section as a table, then the sections inside it; ``of`` says to which kind of entry it belongs."""
    info = inspect.type_info(section)
    assert isinstance(info, inspect.StructType)
    rows: list[str] = []
    inner: list[str] = []
    for field in info.fields:
        name = f"{prefix}{field.name}"
        kind = _bare(field.type)
        if isinstance(kind, inspect.StructType):
            inner += _section(f"{name}.", kind.cls, f"`{name}`{of}", of)
            continue
        for item in _item_sections(kind):
            kind_of = f" with `{item.tag_field}: {item.tag}`" if item.tag_field else ""
            inner += _section("", item.cls, f"Each of `{name}`{kind_of}", kind_of)
        rows.append(f"| `{name}` | {_cell(kind, field.type)} | {_default(field)} | {_description(field)} |")
    table = ["| key | takes | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return [f"## {title}", "", str(section.__doc__).strip(), "", *table, *inner]


def _cell(kind: inspect.Type | None, described: inspect.Type) -> str:
    if isinstance(kind, inspect.VarTupleType) and _item_sections(kind):
        return f"a list{_most(kind.max_length)}, see below"
    return wanted(described)


def _item_sections(kind: inspect.Type | None) -> list[inspect.StructType]:
    """The sections of which a list is made; none for any other type."""
    if not isinstance(kind, inspect.VarTupleType):
        return []
    item = _bare(kind.item_type)
    return _sections(item.types if isinstance(item, inspect.UnionType) else (item,))


def _sections(types: Iterable[inspect.Type | None]) -> list[inspect.StructType]:
    return [each for each in types if isinstance(each, inspect.StructType)]


def _keys(section: inspect.StructType) -> list[str]:
    return [*([section.tag_field] if section.tag_field else []), *(field.name for field in section.fields)]


def _bare(kind: inspect.Type | None) -> inspect.Type | None:
    """The type without what is said about it."""
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


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


def _type_at(path: tuple[Step, ...], values: Any) -> inspect.Type | None:
    """The type at ``path``, with what is said about it; ``None`` where the schema has nothing."""
    kind: inspect.Type | None = inspect.type_info(Config)
    for step in path:
        match _named(_bare(kind), values):
            case inspect.StructType(tag_field=tag_field) as section if tag_field == step:
                kind = inspect.LiteralType((section.tag,))
            case inspect.StructType(fields=fields):
                kind = next((field.type for field in fields if field.name == step), None)
            case inspect.UnionType(types=types) if any(each.tag_field == step for each in _sections(types)):
                kind = inspect.LiteralType(tuple(sorted(str(each.tag) for each in _sections(types))))
            case inspect.VarTupleType(item_type=item):
                kind = item
            case inspect.DictType(value_type=value):
                kind = value
            case _:
                return None
        values = _value_at(values, step)
    return _named(kind, values)


def _named(kind: inspect.Type | None, value: Any) -> inspect.Type | None:
    """Of several kinds of section the one that ``value`` names; else ``kind`` itself."""
    bare = _bare(kind)
    if isinstance(bare, inspect.UnionType) and isinstance(value, dict):
        return next((each for each in _sections(bare.types) if value.get(each.tag_field) == each.tag), kind)
    return kind


def _value_at(value: Any, step: Step) -> Any:
    match value, step:
        case dict(), str():
            return value.get(step)
        case list(), int():
            return value[step] if step < len(value) else None
        case _:
            return None


WORKLOAD_CONDITIONS = tuple(
    name for name in ExceptionConfig.__struct_fields__ if name not in {"reason", "rules", "expires"}
)
