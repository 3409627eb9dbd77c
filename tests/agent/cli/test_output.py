from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.output import BAD, Format, Output, render_json, render_json_line, render_yaml
from agent.cli.tables import Column
from agent.text import valid, visible

COLUMNS = (Column("NAME", 8), Column("PID"), Column("COMMAND", 12))
ROWS = (("web", "1", "sleep infinity"), ("a-long-name", "12345", ""))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SURROGATES = st.characters(categories=("Cs", "Cc", "Cf", "Zl", "Zp"))


def output(*, no_trunc: bool = False, color: bool = False, width: int | None = None) -> Output:
    return Output(Format.TABLE, no_trunc=no_trunc, color=color, width=width)


def test_a_table_has_no_borders_and_cuts_what_is_too_long() -> None:
    assert output().rendered_table(COLUMNS, ROWS) == (
        "NAME      PID    COMMAND\n"
        "web       1      sleep infin…\n"
        "a-long-…  12345\n"
    )  # fmt: skip


def test_no_trunc_cuts_nothing() -> None:
    assert output(no_trunc=True, width=10).rendered_table(COLUMNS, ROWS) == (
        "NAME         PID    COMMAND\n"
        "web          1      sleep infinity\n"
        "a-long-name  12345\n"
    )  # fmt: skip


def test_the_last_column_gives_way_to_a_narrow_terminal() -> None:
    columns = (Column("A"), Column("B"))
    assert output(width=24).rendered_table(columns, [("x" * 4, "y" * 40)]) == (
        "A     B\n"
        f"xxxx  {'y' * 17}…\n"
    )  # fmt: skip


def test_styles_are_written_only_in_color() -> None:
    rows = [((("mnt", BAD), (",net", "")),)]
    assert output().rendered_table((Column("HOST"),), rows) == "HOST\nmnt,net\n"
    assert "\x1b[1;31mmnt\x1b[0m,net" in output(color=True).rendered_table((Column("HOST"),), rows)


@pytest.mark.parametrize("text", ["[red]x[/red]", ":smile:", "\\[x]", "http://x 12 'y'"])
def test_markup_in_a_cell_is_text(text: str) -> None:
    assert output(color=True, no_trunc=True).rendered_table((Column("A"),), [(text,)]).split("\n")[1].rstrip() == text


@given(st.text(st.characters() | SURROGATES))
def test_no_cell_breaks_out_of_its_row(text: str) -> None:
    rendered = output(no_trunc=True).rendered_table((Column("A"), Column("B")), [(text, "end")])
    assert rendered.count("\n") == 2
    assert visible(rendered.replace("\n", "")) == rendered.replace("\n", "")
    assert rendered.endswith("end\n")


@given(VALUES | st.text(SURROGATES))
def test_json_keeps_the_value_and_shows_nothing_raw(value: object) -> None:
    text = render_json(value)
    assert visible(text.replace("\n", "")) == text.replace("\n", "")
    assert json.loads(text) == _valid(value)


@given(VALUES | st.text(SURROGATES))
def test_yaml_keeps_the_value_and_shows_nothing_raw(value: object) -> None:
    text = render_yaml(value)
    assert visible(text.replace("\n", "")) == text.replace("\n", "")
    assert yaml.safe_load(text) == _valid(value)


@given(VALUES | st.text(SURROGATES))
def test_a_line_of_json_is_one_line_and_keeps_the_value(value: object) -> None:
    text = render_json_line(value)
    assert text.endswith("\n")
    assert visible(text[:-1]) == text[:-1]
    assert json.loads(text) == _valid(value)


def test_a_list_is_a_line_for_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Output(Format.JSONL, no_trunc=False, color=False, width=None)
    lines.document([{"a": 1}, {"a": [2, 3]}])
    lines.document({"b": []})
    assert capsys.readouterr().out == '{"a": 1}\n{"a": [2, 3]}\n{"b": []}\n'


def test_wide_columns_are_those_of_wide_alone() -> None:
    columns = (Column("A"), Column("B", is_wide=True), Column("C"))
    assert output().rendered_table(columns, [("1", "2", "3")]) == "A  C\n1  3\n"
    wide = Output(Format.WIDE, no_trunc=False, color=False, width=None)
    assert wide.is_table
    assert wide.rendered_table(columns, [("1", "2", "3")]) == "A  B  C\n1  2  3\n"


def test_yaml_is_for_people_too() -> None:
    assert render_yaml({"name": "Zoë", "list": [1, "a"]}) == "name: Zoë\nlist:\n- 1\n- a\n"


def _valid(value: object) -> object:
    match value:
        case str():
            return valid(value)
        case dict():
            return {_valid(key): _valid(each) for key, each in value.items()}
        case list():
            return [_valid(each) for each in value]
        case _:
            return value


def test_text_is_written_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    output().text("a\x1b[2Jb\nc")
    assert capsys.readouterr().out == "a\\x1b[2Jb\nc\n"
    assert re.search(r"[\x00-\x09\x0b-\x1f]", capsys.readouterr().out) is None
