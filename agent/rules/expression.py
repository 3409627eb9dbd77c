r"""CEL: compiles an operator's expression, and evaluates it. The one module that knows the library.

``cel_expr_python`` is the CEL team's own binding of its C++ implementation; it is imported when the first rule is
compiled, since it costs 10 MiB of memory (ADR 13). Types are checked when an expression is compiled. What an evaluation
may cost is bounded: the text by ``MAX_EXPRESSION``, its depth (32) and the turns of its macros (10,000) by the
library, regular expressions by RE2, which is linear. ``+`` is refused, because it is what makes values grow: an
expression compares, and builds nothing. Language: https://github.com/google/cel-spec.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.rules.fields import FIELDS, Kind, Value
from agent.text import clipped, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_EXPRESSION = 1024

_STRING = (
    r"[rR][bB]?(?:\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')"
    r"|(?:[bB][rR]?)?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
)
_LITERAL = re.compile(rf"{_STRING}|//[^\n]*", re.DOTALL)
_PATTERN = re.compile(rf"\.\s*matches\s*\(\s*({_STRING})\s*\)", re.DOTALL)
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)*")
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_MISSING = re.compile(r'No value with name "([^"]+)"')
_CLASS = re.compile(r"[A-Z_]+(?:: [A-Za-z ]{1,60})?")


class ExpressionError(Exception):
    """The expression is none that is taken: the message says why, and where in it.

    ``unknown`` is the name in it that is no field's, where that is what is wrong.
    """

    def __init__(self, problem: str, unknown: str | None = None) -> None:
        super().__init__(problem)
        self.unknown = unknown


class EvaluationError(Exception):
    """The expression could not be evaluated: the kind of the error, from a small set, without any value."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What the expression would have needed to be decided: the name of a field that has no value."""

    field: str


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. ``fields`` are those that it names."""

    text: str
    fields: frozenset[str]
    program: Any

    def holds(self, values: Mapping[str, Value]) -> bool | Missing:
        """Whether the expression is true of these fields; raises ``EvaluationError``."""
        try:
            found = self.program.eval(data=values).value()
        except RuntimeError as error:
            raise EvaluationError(_class_of(str(error))) from error
        if isinstance(found, bool):
            return found
        text = str(found)
        missing = _MISSING.search(text)
        if missing is not None:
            return Missing(missing[1])
        raise EvaluationError(_class_of(text))


def compile_expression(text: str) -> Expression:
    """The expression in ``text``; raises ``ExpressionError``."""
    bare = _LITERAL.sub(lambda found: " " if found[0].startswith("//") else '""', text)
    program = _compiled(text)
    if "+" in bare:
        raise ExpressionError("has a +, which builds a value; wanted comparisons only")
    if program.return_type() != _cel().Type.BOOL:
        kind = program.return_type().name().lower()
        raise ExpressionError(f"is of type {kind}; wanted a condition, which is true or false")
    for pattern in _PATTERN.finditer(text):
        _refuse_pattern(pattern[1])
    return Expression(text, frozenset(named_in(bare, FIELDS)), program)


def named_in(text: str, known: Collection[str]) -> Iterator[str]:
    """The fields that a text without literals names; ``process.args.exists`` names ``process.args``."""
    for found in _DOTTED.finditer(text):
        parts = [part.strip() for part in found[0].split(".")]
        prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        name = next((each for each in prefixes if each in known), None)
        if name is not None:
            yield name


def _refuse_pattern(literal: str) -> None:
    """The library compiles a regular expression when it meets it; a wrong one would fail at each event."""
    tried = _compiled(f'"".matches({literal})').eval(data={}).value()
    if not isinstance(tried, bool):
        problem = str(tried).partition(": ")[2] or "is no regular expression"
        raise ExpressionError(f"has a wrong pattern, {visible(clipped(problem, 200))}")


def _compiled(text: str) -> Any:
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        unknown = _UNDECLARED.search(str(error))
        raise ExpressionError(_problem(str(error)), unknown[1] if unknown is not None else None) from error


def _problem(message: str) -> str:
    """The first error that the compiler tells, with its place, in one line."""
    found = _PLACE.search(message)
    if found is None:
        first = message.partition("\n")[0].partition(": ")[2] or message
        return f"is not taken: {visible(clipped(first.partition(' [')[0], 200))}"
    line, column, problem = found.groups()
    problem = problem.partition(" (in container")[0].removesuffix(" [INVALID_ARGUMENT]")
    where = f" in its line {line}" if int(line) > 1 else ""
    place = f" at character {column}{where}" if int(column) > 0 else ""
    return f"is no expression{place}: {visible(clipped(problem, 240))}"


def _class_of(message: str) -> str:
    """The kind of a run-time error, without what the values were: it becomes a label and a key of counters."""
    found = _CLASS.match(message)
    return found[0].strip() if found is not None else "error"


@cache
def _cel() -> Any:
    from cel_expr_python import cel

    return cel


@cache
def _environment() -> Any:
    """The one environment: all fields with their types, and nothing but the standard functions."""
    kinds = _cel().Type
    types = {
        Kind.STRING: kinds.STRING,
        Kind.INT: kinds.INT,
        Kind.BOOL: kinds.BOOL,
        Kind.LIST: kinds.List(kinds.STRING),
        Kind.MAP: kinds.Map(kinds.STRING, kinds.STRING),
    }
    return _cel().NewEnv(variables={name: types[field.kind] for name, field in FIELDS.items()})
