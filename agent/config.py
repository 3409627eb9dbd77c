"""Reads the configuration file, strictly: what is not understood is an error that says where, what and what was wanted.

The YAML node tree is kept beside the values, so that every error has a line. ``agent.config_schema`` holds the keys.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import yaml

from agent import control_schema, metrics_schema
from agent.config_reference import WORKLOAD_CONDITIONS, Step, fields_at, wanted_at
from agent.config_schema import Config, ExceptionConfig
from agent.errors import ConfigError
from agent.output_schema import refusals
from agent.state_schema import refused_patterns
from agent.text import clipped, valid, visible

MAX_FILE_BYTES = 1 << 20

_PATH = re.compile(r" - at `\$([^`]*)`$")
_STEP = re.compile(r"\.([a-z_][^.\[]*)|\[(\d+)\]")
_TEXT_TAG = "tag:yaml.org,2002:str"


def load_config(path: str | Path) -> Config:
    """The configuration in the file; raises ``ConfigError``. The detectors that it may name are the catalogue's."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), None, "", f"cannot be read: {error.strerror or error}") from error
    return parse_config(raw, str(path), _CatalogueIds())


class _CatalogueIds(Collection[str]):
    """The ids of all detectors, imported when one is asked for: few configurations name any."""

    @cached_property
    def _ids(self) -> frozenset[str]:
        from agent.incidents import INCIDENT
        from detectors.catalog import DETECTORS

        return frozenset(each.id for each in (*DETECTORS, INCIDENT))

    def __contains__(self, value: object) -> bool:
        return value in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def parse_config(raw: bytes, file: str, known_rules: Collection[str]) -> Config:
    """The configuration that ``raw`` (YAML) describes; an empty one is all defaults. Raises ``ConfigError``. Pure.

    ``known_rules`` are the ids of all detectors.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(file, None, "", f"is larger than {MAX_FILE_BYTES} bytes")
    tree, values = _load(raw, file)
    if tree is None or values is None:
        return Config()
    _refuse_strange_nodes(tree, (), file)
    source = _Source(file, tree, values)
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise source.refused(str(error)) from error
    _refuse_contradictions(config, source, known_rules)
    return config


class _Misplaced(Exception):
    """Something in the file that YAML allows and we do not, or that PyYAML gives no line for."""

    def __init__(self, problem: str, line_index: int) -> None:
        super().__init__(problem)
        self.line = line_index + 1


class _Loader(yaml.SafeLoader):
    """SafeLoader whose errors all have a line: see ``_constructor``."""


def _constructor(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """PyYAML lets a date of 30 February or a number of 5,000 digits out as a ValueError without its place."""

    def constructed(loader: Any, node: yaml.Node) -> Any:
        try:
            return construct(loader, node)
        except ValueError as error:
            raise _Misplaced(str(error), node.start_mark.line) from error

    return constructed


for _tag, _construct in yaml.SafeLoader.yaml_constructors.items():
    if _tag is not None and _tag.rpartition(":")[2] in {"int", "float", "timestamp"}:
        _Loader.add_constructor(_tag, _constructor(_construct))


def _refuse_aliases(raw: bytes) -> None:
    """Aliases multiply what they stand for (a file of 1 KiB may mean gigabytes), and hide where a value is written."""
    for event in yaml.parse(raw, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _Misplaced("aliases are not taken here", 0 if event.start_mark is None else event.start_mark.line)


def _load(raw: bytes, file: str) -> tuple[yaml.Node | None, Any]:
    """The node tree and the values of the one YAML document."""
    try:
        _refuse_aliases(raw)
        loader = _Loader(raw)
        try:
            tree = loader.get_single_node()
            return tree, None if tree is None else loader.construct_document(tree)
        finally:
            loader.dispose()
    except _Misplaced as error:
        raise ConfigError(
            file, error.line, "", f"is not YAML that is taken: {visible(clipped(str(error), 200))}"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        problem = " ".join(each for each in (error.context, error.problem) if each)
        raise ConfigError(file, line, "", f"is not YAML that is understood: {visible(problem)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(file, None, "", f"is not YAML: {visible(' '.join(str(error).split()))}") from error
    except RecursionError as error:
        raise ConfigError(file, None, "", "is nested too deeply") from error


def _refuse_strange_nodes(node: yaml.Node, path: tuple[Step, ...], file: str) -> None:
    """Text that is none (lone surrogates), and keys that are no text or stand twice.

    YAML takes the last of two keys, so the first would be lost.
    """
    match node:
        case yaml.ScalarNode():
            if valid(node.value) != node.value:
                raise ConfigError(file, _line(node), _dotted(path), f"is no valid text: {_shown(node.value)}")
        case yaml.SequenceNode():
            for index, item in enumerate(node.value):
                _refuse_strange_nodes(item, (*path, index), file)
        case yaml.MappingNode():
            first: dict[str, int] = {}
            for key, value in node.value:
                _refuse_strange_key(key, first, path, file)
                first[key.value] = _line(key)
                _refuse_strange_nodes(value, (*path, key.value), file)
        case _:
            raise ConfigError(file, _line(node), _dotted(path), "is no scalar, list or mapping")


def _refuse_strange_key(key: yaml.Node, first: dict[str, int], path: tuple[Step, ...], file: str) -> None:
    if key.tag != _TEXT_TAG or valid(key.value) != key.value:
        problem = f"has a key that is no text: {_shown(key.value)}; put it in quotes"
        raise ConfigError(file, _line(key), _dotted(path), problem)
    if key.value in first:
        problem = f"stands twice; the first is in line {first[key.value]}"
        raise ConfigError(file, _line(key), _dotted((*path, key.value)), problem)


def _line(node: yaml.Node) -> int:
    return 1 if node.start_mark is None else node.start_mark.line + 1


class _Source:
    """The file beside its values: where a path of keys stands, and what is written there."""

    def __init__(self, file: str, tree: yaml.Node, values: Any) -> None:
        self._file = file
        self._tree = tree
        self._values = values

    def error(self, path: tuple[Step, ...], problem: str) -> ConfigError:
        """The error at ``path``."""
        return ConfigError(self._file, self._line(path), _dotted(path), problem)

    def refused(self, message: str) -> ConfigError:
        """The error for what msgspec said; it knows the path, the schema knows what was wanted."""
        found = _PATH.search(message)
        path: tuple[Step, ...] = ()
        if found is not None:
            path = tuple(int(index) if index else name for name, index in _STEP.findall(found[1]))
        known = fields_at(path, self._values)
        value = self._value(path)
        if message.startswith("Object contains unknown field"):
            unknown = next((key for key in value if key not in known), "")
            return self.error((*path, unknown), f"is no known key; wanted {_near(unknown, known)}")
        if message.startswith("Object missing required field"):
            missing = next((key for key in known if f"`{key}`" in message), "")
            return self.error((*path, missing), f"is missing; wanted {wanted_at((*path, missing), self._values)}")
        return self.error(path, f"is {_shown(value)}; wanted {wanted_at(path, self._values)}")

    def _value(self, path: tuple[Step, ...]) -> Any:
        value = self._values
        for step in path:
            value = value[step]
        return value

    def _line(self, path: tuple[Step, ...]) -> int:
        """The line of the deepest key on ``path`` that is in the file."""
        node, line = self._tree, self._tree.start_mark.line
        for step in path:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
                line = node.start_mark.line
            elif isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line, pair[1]
        return line + 1


def _refuse_contradictions(config: Config, source: _Source, known_rules: Collection[str]) -> None:
    """What types cannot say: a ring of an odd size, rules that do not exist, an exception to everything."""
    if config.ebpf.ring_bytes & (config.ebpf.ring_bytes - 1):
        raise source.error(("ebpf", "ring_bytes"), f"is {config.ebpf.ring_bytes}; wanted a power of two")
    if config.rules:
        _refuse_rules(config, source, known_rules)
        known_rules = frozenset((*known_rules, *(each.id for each in config.rules)))
    for index, rule in enumerate(config.detectors.disabled):
        if rule not in known_rules:
            problem = f"is {_shown(rule)}, which is no detector's id; wanted {_near(rule, known_rules)}"
            raise source.error(("detectors", "disabled", index), problem)
    for index, problem in refused_patterns(config.output.redaction):
        raise source.error(("output", "redaction", "patterns", index), visible(problem))
    for index, exception in enumerate(config.exceptions):
        _refuse_exception(exception, ("exceptions", index), source, known_rules)
    for path, problem in refusals(config.output.sinks):
        raise source.error(("output", "sinks", *path), problem)
    for path, problem in metrics_schema.refusals(config.metrics):
        raise source.error(("metrics", *path), problem)
    for path, problem in control_schema.refusals(config.control):
        raise source.error(("control", *path), problem)


def _refuse_rules(config: Config, source: _Source, known_rules: Collection[str]) -> None:
    from agent.rules.refusals import refusals as refusals_of_rules  # late: who has no rules of their own needs no CEL

    for path, problem in refusals_of_rules(config.rules, known_rules):
        raise source.error(("rules", *path), problem)


def _refuse_exception(
    exception: ExceptionConfig,
    path: tuple[Step, ...],
    source: _Source,
    known_rules: Collection[str],
) -> None:
    for index, pattern in enumerate(exception.rules):
        if not any(fnmatchcase(rule, pattern) for rule in known_rules):
            problem = f"is {_shown(pattern)}, which matches no detector's id; wanted {_near(pattern, known_rules)}"
            raise source.error((*path, "rules", index), problem)
    if not exception.rules and not any(getattr(exception, name) for name in WORKLOAD_CONDITIONS):
        problem = f"would except everything; wanted at least one of rules, {', '.join(WORKLOAD_CONDITIONS)}"
        raise source.error(path, problem)


def _near(word: str, known: Collection[str]) -> str:
    """The words nearest to a wrong one, or, where none is near, all of them."""
    near = difflib.get_close_matches(word, sorted(known), n=3)
    return clipped(", ".join(near or sorted(known)) or "nothing", 400)


def _shown(value: object) -> str:
    return visible(clipped(repr(value), 80))


def _dotted(path: tuple[Step, ...]) -> str:
    """``exceptions[0].rules`` for a path; a key that an operator made up is made visible."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return visible(text.removeprefix("."))
