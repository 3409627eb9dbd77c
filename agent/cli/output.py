"""What the commands write: tables, JSON, YAML and messages. The one place where text meets a terminal.

Whatever a container can name is hostile. Every cell, document and message passes through here and leaves without a
control, format or invisible character in it: escaped for a person in tables and messages, by the format's own escapes
in JSON and YAML, so that a program still reads the same value. Guarded by ``tests/agent/cli/test_hostile.py``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, NoReturn

import click

from agent.cli.tables import Cell, Column, render_table
from agent.text import valid, visible, visible_json
from detectors.base import Severity

EXIT_CLEAN = 0
EXIT_FINDINGS = 1
EXIT_REFUSED = 2
EXIT_READER_GONE = 141  # 128 + SIGPIPE: what a shell shows for a program that the signal ended

BAD = "bold red"
HOST = "red"
DOUBTFUL = "yellow"
SEVERITY_STYLES = {Severity.CRITICAL: BAD, Severity.HIGH: HOST, Severity.MEDIUM: DOUBTFUL}


class Format(StrEnum):
    """The forms of data."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Refused(click.ClickException):
    """The command can't do what was asked: ``message`` says why, ``details`` are lines below it; the status is 2."""

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, *details: str) -> None:
        super().__init__(message)
        self.details = details

    def show(self, file: Any = None) -> None:
        """A line for the message and one for each of the details, on stderr, whatever stands in them."""
        del file
        for line in (self.message, *self.details):
            note(line)


def note(text: str) -> None:
    """One line for the person, on stderr."""
    click.echo(f"hullwatch: {visible(text)}", err=True)


def write(text: str) -> None:
    """Data on stdout. When nobody reads any more, the command ends, quietly."""
    try:
        click.echo(text, nl=False, color=True)  # the styles in it were asked for
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()


def _reader_gone() -> NoReturn:
    # The interpreter flushes stdout once more at its end, and would complain of the pipe then.
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
    raise SystemExit(EXIT_READER_GONE)


@dataclass(frozen=True, slots=True)
class Output:
    """How a command was asked to write its data. ``width`` is the terminal's, ``None`` where there is no terminal."""

    format: Format
    no_trunc: bool
    color: bool
    width: int | None

    @property
    def is_table(self) -> bool:
        """A person reads it."""
        return self.format is Format.TABLE

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Write a table."""
        write(self.rendered_table(columns, rows))

    def rendered_table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> str:
        """A table as text: no borders, two spaces between columns, as ``kubectl`` has it."""
        return render_table(columns, rows, no_trunc=self.no_trunc, color=self.color, width=self.width)

    def document(self, value: object) -> None:
        """Write a value made of dicts, lists, texts and numbers, as JSON or YAML."""
        write(render_yaml(value) if self.format is Format.YAML else render_json(value))

    def text(self, text: str) -> None:
        """Write lines for a person."""
        write("".join(f"{visible(line)}\n" for line in text.split("\n")))


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``-o``, ``--no-trunc`` and ``--color``, and pass it an ``Output`` named ``output``."""

    @click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([each.value for each in Format]),
        default=Format.TABLE.value,
        show_default=True,
        help="The form of the data.",
    )
    @click.option("--no-trunc", is_flag=True, help="Shorten nothing in tables.")
    @click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colours; auto has them on a terminal unless NO_COLOR is set.",
    )
    @wraps(command)
    def with_output(*args: Any, form: str, no_trunc: bool, color: str, **options: Any) -> Any:
        is_terminal = sys.stdout.isatty()
        output = Output(
            format=Format(form),
            no_trunc=no_trunc,
            color=color == "always" or (color == "auto" and is_terminal and _wants_color(os.environ)),
            width=shutil.get_terminal_size().columns if is_terminal else None,
        )
        return command(*args, output=output, **options)

    return with_output


def _wants_color(environment: os._Environ[str]) -> bool:
    """NO_COLOR that is not empty, whatever its value, turns colours off (https://no-color.org)."""
    return not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def render_json(value: object) -> str:
    """``value`` as indented JSON; what a terminal would obey is escaped, and a program reads the same value."""
    import json

    text = json.dumps(_valid(value), indent=2, ensure_ascii=False)
    return "".join(f"{visible_json(line)}\n" for line in text.split("\n"))


def render_yaml(value: object) -> str:
    r"""``value`` as YAML; a text with an invisible character is double-quoted, where ``\xNN`` is an escape."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Has representers of its own."""

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = '"' if visible(text) != text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    text = yaml.dump(
        _valid(value), Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1 << 20
    )
    return "".join(f"{visible(line)}\n" for line in str(text).removesuffix("\n").split("\n"))


def _valid(value: object) -> object:
    match value:
        case str():
            return valid(value)
        case dict():
            return {_valid(key): _valid(each) for key, each in value.items()}
        case list() | tuple():
            return [_valid(each) for each in value]
        case _:
            return value


def paragraph(text: str, *, width: int, indent: str = "", bullet: str = "") -> str:
    """``text`` wrapped for a person, its line breaks undone."""
    import textwrap

    return textwrap.fill(
        " ".join(text.split()),
        width=width,
        initial_indent=indent + bullet,
        subsequent_indent=indent + " " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )


_ID_LENGTH = 64


def short_id(container_id: str, *, no_trunc: bool) -> str:
    """A container's id as a person types it: the first twelve of 64 digits; a name that serves as id stays whole."""
    return container_id[:12] if len(container_id) == _ID_LENGTH and not no_trunc else container_id
