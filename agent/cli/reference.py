"""The reference page of the command line, in Markdown; made of the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from agent.cli import main

_INTRODUCTION = """\
# Command line

<!-- Generated from agent/cli/*.py by `make docs`: do not edit. -->
"""

_CONVENTIONS = """\
## Conventions

`status`, `alerts`, `incidents`, `events`, `containers` and `explain EVENT` ask the running agent through its control
socket. `ps`, `inspect`, `ways-out`, `scan`, `tree`, `diff`, `mounts` and `sockets` ask it too, if one runs, and else
look by themselves; they say on stderr which it was. So does `top`, in its title.

Data goes to stdout, messages to stderr. Exit status:

| status | means |
|---|---|
| 0 | done; clean |
| 1 | findings; a proof that failed |
| 2 | wrong usage, wrong configuration, no permission; nothing of that name; stdout can't be written |
| 3 | no agent runs, or it went away while it answered |
| 4 | what is there is no agent's socket, or somebody else's |
| 5 | the agent speaks another version of the control protocol |
| 130 | interrupted (Ctrl-C) |
| 141 | nobody read stdout any more: a closed pipe or terminal (as SIGPIPE has it) |

`-o table` and `-o wide` are for people; `json`, `yaml` and `jsonl` (a line of JSON for each item of a list) hold the
same, and more, under names that do not change. What could not be seen is said on stderr, whatever the form.

`-n`, `--pod` and `--container` narrow what a command looks at, everywhere in the same way and together; with a command
that takes one container they choose among those that the name fits.

Containers are named by a name, an id or at least three characters of its start, and in Kubernetes by
`[[NAMESPACE/]POD/]CONTAINER`; what fits more than one is refused, with the candidates. Control characters in names of
containers and processes are written out (`\\x1b`) in tables and messages; JSON and YAML hold them as escapes.
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(main, info_name="hullwatch")
    lines = [_INTRODUCTION, _text(main), "", _CONVENTIONS]
    for path, command in _walk(context, main, ()):
        lines += [f"## hullwatch {' '.join(path)}", "", *_command(path, command), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _walk(
    context: click.Context, group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield (*path, name), command
            yield from _walk(context, command, (*path, name))
        else:
            yield (*path, name), command


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name="hullwatch " + " ".join(path))
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"    {context.info_name} {usage}"
    yield ""
    yield _text(command)
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        yield ""
        yield "| option | default | meaning |"
        yield "|---|---|---|"
        for each in options:
            yield f"| {_names(each, context)} | {_default(each)} | {each.help or ''} |"


def _text(command: click.Command) -> str:
    """The help; a paragraph that click must not wrap becomes a code block."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        "\n".join(f"    {line}" for line in each.removeprefix("\b\n").split("\n")) if each.startswith("\b\n") else each
        for each in paragraphs
    )


def _names(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{each}`" for each in option.opts)
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        values = ", ".join(f"`{each}`" for each in option.type.choices)
        return f"{names} {values}"
    return f"{names} {option.make_metavar(context)}"


def _default(option: click.Option) -> str:
    return f"`{option.default}`" if option.show_default and option.default is not None else ""
