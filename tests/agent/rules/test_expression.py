from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.expression import EvaluationError, ExpressionError, Missing, compile_expression


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("process.uid == 0", {"process.uid"}),
        ("process.args.exists(a, a == 'process.gid')", {"process.args"}),
        ('container.labels["x"].startsWith("y")', {"container.labels"}),
        ("process.uid == 0 // parent.name\n", {"process.uid"}),
        ('process . uid == 0 || r"\\d" == process.name', {"process.uid", "process.name"}),
        ("true", set()),
    ],
    ids=["plain", "in-a-text", "of-a-map", "in-a-comment", "blanks-and-raw-text", "none"],
)
def test_knows_the_fields_that_it_names(text: str, fields: set[str]) -> None:
    assert compile_expression(text).fields == fields


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("process.nme == 'x'", "is no expression at character 8: undeclared reference to 'process.nme'"),
        ("process.name == 1", "is no expression at character 14: found no matching overload for '_==_'"),
        ("true &&\n  xx", "is no expression at character 3 in its line 2: undeclared reference to 'xx'"),
        ("1 <", "is no expression at character 4: Syntax error"),
        ("process.uid", "is of type int; wanted a condition, which is true or false"),
        ("process.name + 'x' == 'yx'", r"has a \+, which builds a value; wanted comparisons only"),
        ("process.name.matches('(')", "has a wrong pattern, invalid regular expression: missing"),
        ("(" * 40 + "true" + ")" * 40, "Expression recursion limit exceeded"),
        ("", "is no expression"),
        ("open('/etc/passwd') == ''", "undeclared reference to 'open'"),
    ],
    ids=[
        *("unknown-field", "wrong-type", "second-line", "half", "no-condition", "builds", "wrong-pattern", "too-deep"),
        *("empty", "no-such-function"),
    ],
)
def test_refuses(text: str, problem: str) -> None:
    with pytest.raises(ExpressionError, match=problem) as refused:
        compile_expression(text)
    assert "\n" not in str(refused.value)


def test_a_plus_in_a_text_builds_nothing() -> None:
    assert compile_expression("process.name == 'c++' // a + b").holds({"process.name": "c++"}) is True


@pytest.mark.parametrize(
    ("text", "values", "found"),
    [
        ("process.uid == 0", {"process.uid": 0}, True),
        ("process.uid == 0", {"process.uid": 1}, False),
        ("process.uid == 0", {}, Missing("process.uid")),
        ("process.uid == 0 && process.gid == 0", {"process.gid": 1}, False),
        ("process.uid == 0 || process.gid == 0", {"process.gid": 0}, True),
        ("'a' in container.labels && container.labels['a'] == 'b'", {"container.labels": {}}, False),
        ("process.args.exists(a, a.matches('^-[a-z]*e'))", {"process.args": ["nc", "-le"]}, True),
        ("process.name == 'caf\u00e9\ufffd'", {"process.name": "caf\u00e9\ufffd"}, True),
    ],
    ids=["true", "false", "missing", "false-all-the-same", "true-all-the-same", "map", "list", "unicode"],
)
def test_holds(text: str, values: dict[str, object], found: object) -> None:
    assert compile_expression(text).holds(values) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("process.args[9] == ''", "UNKNOWN: Index error"),
        ("1 / process.uid == 1", "INVALID_ARGUMENT: divide by zero"),
        ("process.name.matches(process.name)", "INVALID_ARGUMENT: invalid regular expression"),
        (
            "process.args.all(a, process.args.all(b, process.args.all(c, a == b || b == c || a == c || a != b)))",
            "INTERNAL: Iteration budget exceeded",
        ),
    ],
    ids=["index", "zero", "pattern-from-a-field", "budget"],
)
def test_an_error_is_told_without_the_values(text: str, kind: str) -> None:
    values = {"process.args": [str(each) for each in range(9)] * 6, "process.uid": 0, "process.name": "((secret"}
    if "[9]" in text:
        values["process.args"] = []
    with pytest.raises(EvaluationError, match=f"^{re.escape(kind)}$"):
        compile_expression(text).holds(values)  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_whatever_is_written_is_compiled_or_refused(text: str) -> None:
    try:
        compile_expression(text)
    except ExpressionError as refused:
        assert str(refused)  # noqa: PT017 (either is right)


@given(st.text(), st.lists(st.text(), max_size=5))
def test_whatever_a_process_is_called_the_answer_is_right(name: str, arguments: list[str]) -> None:
    from agent.text import valid

    values = {"process.name": valid(name), "process.args": [valid(each) for each in arguments]}
    held = compile_expression("process.name in process.args").holds(values)  # type: ignore[arg-type]
    assert held == (values["process.name"] in values["process.args"])
