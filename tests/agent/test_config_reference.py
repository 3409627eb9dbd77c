from __future__ import annotations

from typing import Any

import pytest
from msgspec import inspect

from agent.config_reference import fields_at, reference, wanted_at
from agent.config_schema import Config


def keys(info: inspect.StructType, prefix: str = "") -> list[tuple[str, inspect.Field]]:
    found: list[tuple[str, inspect.Field]] = []
    for field in info.fields:
        kind: Any = field.type.type if isinstance(field.type, inspect.Metadata) else field.type
        found.append((prefix + field.name, field))
        if isinstance(kind, inspect.StructType):
            found += keys(kind, f"{prefix}{field.name}.")
        elif isinstance(kind, inspect.VarTupleType):
            items = kind.item_type.types if isinstance(kind.item_type, inspect.UnionType) else (kind.item_type,)
            for item in items:
                found += keys(item) if isinstance(item, inspect.StructType) else []
    return found


INFO = inspect.type_info(Config)
assert isinstance(INFO, inspect.StructType)
KEYS = keys(INFO)


@pytest.mark.parametrize(("name", "field"), KEYS, ids=[name for name, _ in KEYS])
def test_every_key_is_on_the_page(name: str, field: inspect.Field) -> None:
    assert f"`{name}`" in reference()


def test_names_type_bounds_default_and_meaning() -> None:
    assert (
        "| `sweep.interval_seconds` | a number from 0.05 to 3600 | `1.0` | "
        "Time from the start of one sweep to the start of the next. |" in reference()
    )


def test_no_cell_breaks_its_table() -> None:
    rows = [line for line in reference().split("\n") if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5}


def test_knows_what_stands_at_a_path() -> None:
    assert wanted_at(("containers", "docker", "enabled")) == "true or false or auto"
    assert wanted_at(("exceptions", 3, "expires")) == "a date (YYYY-MM-DD)"
    assert fields_at(("log",)) == ("level", "format")
    assert fields_at(("log", "level")) == ()


def test_knows_the_keys_of_the_kind_that_the_file_names() -> None:
    values = {"output": {"sinks": [{"type": "http"}, {"type": "pigeon"}]}}
    assert "url" in fields_at(("output", "sinks", 0), values)
    assert "address" not in fields_at(("output", "sinks", 0), values)
    assert fields_at(("output", "sinks", 1), values) == ("type",)
    assert wanted_at(("output", "sinks", 0, "url"), values) == "a URL of http or https, without user and password"
    assert wanted_at(("output", "sinks", 1, "type"), values) == "forward, http, kubernetes, otlp or syslog"
    assert wanted_at(("output", "sinks", 1)) == "a mapping with `type` of forward, http, kubernetes, otlp or syslog"
