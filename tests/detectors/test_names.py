"""No detector's condition reads what a program is called: a name, an argument or a path is evidence, and nothing else.

Names can be copied, and are. ``tests/live/test_renamed.py`` shows it with real programs; this looks at the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "detectors"
MODULES = sorted(path.stem for path in SOURCES.glob("*.py") if path.stem != "__init__")

DECLARED = {
    "container_tool_run": "a hint and no wall, as its page says: nothing but its name tells such a tool",
    "host_runs_container_file": "a script is an argument of its interpreter; its file is judged by where it lies",
}
"""The modules whose conditions do read names, and why."""

NAMED = frozenset({"name", "arguments"})  # of a Process
PATHS = frozenset({"path"})  # of an Executable


def reads_of_names(source: str) -> list[str]:
    """The expressions in which a process' name, arguments or path serve for more than to be shown."""
    tree = ast.parse(source)
    shown = {id(each) for node in ast.walk(tree) for each in _shown(node)}
    return [ast.unparse(node) for node in ast.walk(tree) if _is_a_name(node) and id(node) not in shown]


def _is_a_name(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    owner = ast.unparse(node.value).rsplit(".", 1)[-1].lower()
    if node.attr in PATHS:
        return "executable" in owner
    is_a_task = any(word in owner for word in ("process", "parent", "target", "tracer", "entry", "first", "ancestor"))
    is_a_calls = owner == "event"  # the numbers that a system call was given
    return (node.attr == "arguments" and not is_a_calls) or (node.attr in NAMED and is_a_task)


def _shown(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a finding, or is a path with the name in its place where the path is not known."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
        yield from ast.walk(node)
    elif isinstance(node, ast.IfExp) and ast.unparse(node.test).startswith("isinstance("):
        yield from (*ast.walk(node.body), *ast.walk(node.orelse))


@pytest.mark.parametrize("name", [each for each in MODULES if each not in DECLARED])
def test_no_condition_reads_a_name(name: str) -> None:
    assert reads_of_names((SOURCES / f"{name}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_is_so(name: str) -> None:
    assert reads_of_names((SOURCES / f"{name}.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "if process.name == b'nsenter': pass",
        "x = [each for each in y if b'-m' in each.arguments]",
        "known = process.executable.path in NAMES",
        "if view.parent(process).arguments: pass",
        "name = member.process.name\nif name: pass",
    ],
)
def test_a_condition_on_a_name_is_found(source: str) -> None:
    assert len(reads_of_names(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "yield Finding('', '', evidence=(('name', process.name), ('path', executable.path)))",
        "path = process.executable.path if isinstance(process.executable, Executable) else process.name",
        "if event.name == 'core_pattern': pass",
    ],
)
def test_what_is_only_shown_is_not(source: str) -> None:
    assert reads_of_names(source) == []
