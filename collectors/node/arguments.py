"""Command lines of daemons, taken apart as Go's flag packages do (pflag, which dockerd and the kubelet use). Pure."""

from __future__ import annotations

from collections.abc import Sequence

_TRUE = frozenset({"", "1", "t", "true", "T", "TRUE", "True"})  # strconv.ParseBool; a bare flag is true


def parse_flags(arguments: Sequence[bytes], *, short: dict[str, str], switches: frozenset[str]) -> dict[str, list[str]]:
    """Every value that each flag was given, in order; ``arguments[0]`` is the program.

    ``short`` gives one-letter flags their long names. ``switches`` take no value but after ``=``.
    """
    found: dict[str, list[str]] = {}
    rest = [each.decode("utf-8", "surrogateescape") for each in arguments[1:]][::-1]
    while rest:
        word = rest.pop()
        if word == "--":
            break
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
        elif word.startswith("-") and len(word) > 1:
            name, has_value, value = short.get(word[1], word[1]), word[2:], word[2:].removeprefix("=")
        else:
            continue
        if not has_value and name not in switches and rest and not rest[-1].startswith("-"):
            value = rest.pop()
        found.setdefault(name, []).append(value)
    return found


def is_true(value: str) -> bool:
    """The value of a switch."""
    return value in _TRUE
