"""The reference page of what redaction masks, made of its tables. Pure."""

from __future__ import annotations

from agent.redaction import (
    HARMLESS_ENDS,
    MASK,
    ONLY_AT_LOGIN,
    ONLY_ATTACHED,
    OPTIONS,
    PARTS,
    SHAPES,
    WORDS,
)

_PAGE = """\
# Redaction

<!-- Generated from agent/redaction.py by `make docs`: do not edit. -->

Before an alert is kept or sent anywhere, secrets in arguments (of the process and of its ancestors), in assignments of
environment variables, in evidence and in the sentences are replaced by `{mask}`. It is on by default; how to extend it,
or to turn it off, is in the [configuration](config.md#outputredaction).

What it is not: a proof that no secret gets out. A secret that stands alone and looks like any other word is known by
nothing. And it is a poor hiding place: who attacks can call a payload `token=...` and have those characters masked, but
not the program, the process, the container, or what the kernel holds of it.

## By the name before the value

`--NAME=VALUE`, `--NAME VALUE`, `NAME=VALUE`, with one dash, two or none; upper and lower case, `-`, `_`, dots and
camelCase are the same. The name is a secret's if it holds one of these anywhere:

{words}

or has one of these as a part of its own:

{parts}

but not if it ends in one of these, which say something *about* a secret:

{ends}

Values such as `true`, `none` or nothing at all stay.

## By the program's option

| program | options |
|---|---|
{options}

## By its own shape

In any text, also in the midst of a script, a URL or JSON:

{shapes}
"""


def reference() -> str:
    """The page, in Markdown."""
    return _PAGE.format(
        mask=MASK,
        words=_listed(WORDS),
        parts=_listed(PARTS),
        ends=_listed(HARMLESS_ENDS),
        options="\n".join(
            f"| `{program}`{_when(program)} | {_listed(OPTIONS[program])} |" for program in sorted(OPTIONS)
        ),
        shapes="\n".join(f"- {shape.name}" for shape in SHAPES),
    )


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _when(program: str) -> str:
    if program in ONLY_AT_LOGIN:
        return " `login`"
    return " (value in the same argument)" if program in ONLY_ATTACHED else ""
