"""What the commands write: tables, JSON, YAML and messages. The one place where text meets a terminal.

Whatever a container can name is hostile. Every cell, document and message passes through here and leaves without a
control, format or invisible character in it: escaped for a person in tables and messages, by the format's own escapes
in JSON and YAML, so that a program still reads the same value. Guarded by ``tests/agent/cli/test_hostile.py``.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import IO, Any, NoReturn

import click

from agent.cli.tables import Cell, Column, render_table, whole_line
from agent.text import valid, visible, visible_json
from detectors.base import Severity

EXIT_CLEAN = 0
EXIT_FINDINGS = 1
EXIT_REFUSED = 2
EXIT_NO_AGENT = 3
EXIT_NOT_OURS = 4
EXIT_OTHER_VERSION = 5
EXIT_INTERRUPTED = 130  # 128 + SIGINT: what a shell shows for a program that the signal ended
EXIT_READER_GONE = 141  # likewise, SIGPIPE

BAD = "bold red"
HOST = "red"
DOUBTFUL = "yellow"
SEVERITY_STYLES = {Severity.CRITICAL: BAD, Severity.HIGH: HOST, Severity.MEDIUM: DOUBTFUL}


class Format(StrEnum):
    """The forms of data: two for people, three for programs."""

    TABLE = "table"
    WIDE = "wide"  # the table with every column
    JSON = "json"
    YAML = "yaml"
    JSONL = "jsonl"  # a list as one line of JSON for each of its items


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
    """One line for the person, on stderr; where nobody listens to that, the data is worth having all the same."""
    try:
        click.echo(f"hullwatch: {visible(text)}", err=True)
    except OSError as error:
        if not is_reader_gone(error):
            raise
        _silence(sys.stderr)


def write(text: str) -> None:
    """Data on stdout. When nobody reads any more, the command ends, quietly."""
    try:
        click.echo(text, nl=False, color=True)  # the styles in it were asked for
    except OSError as error:
        if is_reader_gone(error):
            reader_gone()
        _silence(sys.stdout)
        raise Refused(f"stdout can't be written: {error.strerror}") from error


def is_reader_gone(error: OSError) -> bool:
    """Whoever read us went away: a pipe was closed, a terminal hung up."""
    return error.errno in {errno.EPIPE, errno.EIO}


def reader_gone() -> NoReturn:
    """End at once, with the status that SIGPIPE would have given."""
    _silence(sys.stdout)
    raise SystemExit(EXIT_READER_GONE)


def _silence(stream: IO[str]) -> None:
    """The interpreter flushes its streams once more at its end, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())


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
        return self.format in {Format.TABLE, Format.WIDE}

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Write a table."""
        write(self.rendered_table(columns, rows))

    def rendered_table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> str:
        """A table as text: no borders, two spaces between columns, as ``kubectl`` has it."""
        shown = [index for index, column in enumerate(columns) if self.format is Format.WIDE or not column.is_wide]
        return render_table(
            [columns[index] for index in shown],
            ([row[index] for index in shown] for row in rows),
            no_trunc=self.no_trunc,
            color=self.color,
            width=self.width,
        )

    def lines(self, lines: Iterable[Cell]) -> None:
        """Write lines for a person that have a style in places."""
        write("".join(f"{whole_line(line, color=self.color)}\n" for line in lines))

    def document(self, value: object) -> None:
        """Write a value made of dicts, lists, texts and numbers; a list may be a line for each of its items."""
        match self.format:
            case Format.YAML:
                write(render_yaml(value))
            case Format.JSONL:
                write("".join(render_json_line(each) for each in (value if isinstance(value, list) else [value])))
            case _:
                write(render_json(value))

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
        help="The form of the data: wide has more columns, jsonl a line of JSON for each item.",
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
        is_terminal = sys.stdout is not None and sys.stdout.isatty()  # None where it was closed before we came
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


def render_json_line(value: object) -> str:
    """``value`` as JSON on one line; else as ``render_json``."""
    import json

    return visible_json(json.dumps(_valid(value), ensure_ascii=False)) + "\n"


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
