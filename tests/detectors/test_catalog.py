"""What every detector must satisfy, written once, over the one list."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from collectors.events import Event
from detectors.base import Detector, Family
from detectors.catalog import DETECTORS, by_id

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = REPOSITORY / "detectors"
NO_DETECTORS = {"__init__", "base", "catalog"}
MODULES = sorted(path.stem for path in SOURCES.glob("*.py") if path.stem not in NO_DETECTORS)

PURE_MODULES = {
    "__future__",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "posixpath",
    "re",
    "typing",
    "collectors.capabilities",
    "collectors.confinement",
    "collectors.container_paths",
    "collectors.device_numbers",
    "collectors.entries",
    "collectors.events",
    "collectors.facts",
    "collectors.declarations",
    "collectors.known_breakouts",
    "collectors.mount_tables",
    "collectors.notable",
    "collectors.node_facts",
    "detectors.base",
}
IMPURE_NAMES = {"open", "print", "input", "exec", "eval", "compile", "globals", "__import__", "breakpoint"}
CACHES = {"cache", "lru_cache", "cached_property"}

DIGIT_OF_FAMILY = {Family.DRIFT: "1", Family.TECHNIQUE: "2", Family.EXPOSURE: "3", Family.AGENT: "9"}

each_detector = pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
each_module = pytest.mark.parametrize("name", MODULES)


def module_of(detector: Detector) -> ModuleType:
    return importlib.import_module(f"detectors.{detector.name}")


def tree_of(name: str) -> ast.Module:
    return ast.parse((SOURCES / f"{name}.py").read_text(encoding="utf-8"))


def functions_of(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_the_list_is_exactly_the_modules() -> None:
    assert sorted(detector.name for detector in DETECTORS) == MODULES


@each_detector
def test_the_list_holds_the_modules_own_declaration(detector: Detector) -> None:
    assert module_of(detector).DETECTOR is detector
    assert module_of(detector).check is detector.check


def test_ids_are_unique_and_in_order() -> None:
    ids = [detector.id for detector in DETECTORS]
    assert ids == sorted(set(ids))


@each_detector
def test_the_id_is_well_formed_and_says_the_family(detector: Detector) -> None:
    assert re.fullmatch(r"HW-\d{3}", detector.id)
    assert detector.id[3] == DIGIT_OF_FAMILY[detector.family]


@each_detector
def test_a_detector_is_found_by_its_id(detector: Detector) -> None:
    assert by_id(detector.id) is detector


@pytest.mark.parametrize("unknown", ["", "HW-999", "hw-101", "host_root_entered"])
def test_no_detector_is_found_by_another_text(unknown: str) -> None:
    assert by_id(unknown) is None


@each_detector
def test_the_tests_say_when_it_fires_is_silent_and_is_blind(detector: Detector) -> None:
    tests = ast.parse((Path(__file__).parent / f"test_{detector.name}.py").read_text(encoding="utf-8"))
    names = [function.name for function in functions_of(tests)]
    # The agent's own troubles are told whole: their events have no fact that could be missing.
    is_told_whole = detector.family is Family.AGENT
    for kind in (
        ("test_fires_", "test_silent_when_")
        if is_told_whole
        else ("test_fires_", "test_silent_when_", "test_blind_when_")
    ):
        assert any(name.startswith(kind) for name in names), f"{detector.name} has no {kind}"


@each_detector
def test_the_docstring_is_the_first_part_of_its_page(detector: Detector) -> None:
    doc = module_of(detector).__doc__ or ""
    assert doc.split("\n", 1)[0].endswith(".")
    assert doc.count("*Fires on:*") == 1


@each_detector
def test_the_declaration_is_complete(detector: Detector) -> None:
    for part in (detector.techniques, detector.wants, detector.benign, detector.misses, detector.advice):
        assert part
    for sentence in (*detector.benign, *detector.misses, *detector.advice):
        assert sentence == sentence.strip()
        assert sentence.endswith((".", "?"))
    for part in (detector.benign, detector.misses, detector.advice, detector.references, detector.wants):
        assert len(set(part)) == len(part)
    assert detector.references


@each_detector
def test_the_summary_is_one_sentence(detector: Detector) -> None:
    assert re.fullmatch(r"[A-Za-z][^\n]*[^.\s]\.", detector.summary)
    assert not re.search(r"[.!?]\s+[A-Z]", detector.summary)


@each_detector
def test_the_techniques_are_well_formed(detector: Detector) -> None:
    for technique in detector.techniques:
        assert re.fullmatch(r"T\d{4}(\.\d{3})?", technique.id)
        assert re.fullmatch(r"TA\d{4}", technique.tactic_id)
        assert technique.name
        assert technique.tactic
    assert len({technique.id for technique in detector.techniques}) == len(detector.techniques)


def test_one_id_never_has_two_names() -> None:
    techniques = {technique for detector in DETECTORS for technique in detector.techniques}
    assert len({(each.id, each.tactic_id) for each in techniques}) == len(techniques)
    tactics = {(each.tactic_id, each.tactic) for each in techniques}
    assert len({tactic_id for tactic_id, _ in tactics}) == len(tactics)


@each_detector
def test_the_references_are_addresses(detector: Detector) -> None:
    for reference in detector.references:
        assert re.fullmatch(r"https://\S+", reference)


@each_detector
def test_what_it_wants_are_events(detector: Detector) -> None:
    for event in detector.wants:
        assert issubclass(event, Event)
        assert event is not Event, "a detector that wants everything is called for everything"


@each_module
def test_it_imports_values_only(name: str) -> None:
    imported: set[str] = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert imported <= PURE_MODULES


@each_module
def test_it_touches_nothing(name: str) -> None:
    used = {node.id for node in ast.walk(tree_of(name)) if isinstance(node, ast.Name)}
    assert not used & IMPURE_NAMES


@each_module
def test_it_keeps_no_memory(name: str) -> None:
    tree = tree_of(name)
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global | ast.Nonlocal)
    for function in functions_of(tree):
        decorators = {ast.unparse(each).split("(")[0].rsplit(".", 1)[-1] for each in function.decorator_list}
        assert not decorators & CACHES
        defaults = [each for each in (*function.args.defaults, *function.args.kw_defaults) if each is not None]
        assert all(isinstance(each, ast.Constant | ast.Tuple) for each in defaults), "a default is shared by all calls"


@each_module
def test_its_constants_are_never_written(name: str) -> None:
    """A dict or list at module level is a table: no function assigns into it or calls what would change it."""
    tree = tree_of(name)
    tables: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=targets):
                tables.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=table)):
                tables.add(table)
            case _:
                pass
    changing = {"append", "add", "update", "pop", "clear", "setdefault", "extend", "remove", "discard", "insert"}
    for node in (each for function in functions_of(tree) for each in ast.walk(function)):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            assert not (isinstance(node.value, ast.Name) and node.value.id in tables)
        if isinstance(node, ast.Attribute) and node.attr in changing:
            assert not (isinstance(node.value, ast.Name) and node.value.id in tables)


@each_module
def test_its_parts_come_in_the_agreed_order(name: str) -> None:
    """Docstring, imports, constants, ``check`` before its helpers, the declaration last."""
    body = tree_of(name).body
    assert isinstance(body[-1], ast.Assign)
    assert ast.unparse(body[-1].targets[0]) == "DETECTOR"
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    assert functions[0] == "check"


@each_module
def test_check_is_short(name: str) -> None:
    check = next(each for each in functions_of(tree_of(name)) if each.name == "check")
    assert check.end_lineno is not None
    assert check.end_lineno - check.lineno < 40
