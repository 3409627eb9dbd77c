"""What changed between two confinements, in words short enough to stand on the edge of a tree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from agent import describe
from agent.cli.comparison import plain
from collectors.confinement import ASPECTS, Aspect, CapabilitySet, Dimension, Frame, Relation, compare
from collectors.facts import Capabilities, Confinement, Ids, Place

MAX_NAMED = 6  # capabilities; more of them are counted
_SETS = tuple(field.name for field in fields(Capabilities))


@dataclass(frozen=True, slots=True)
class Change:
    """One aspect in which ``now`` is not ``was``; ``relation`` is that of ``now``.

    ``is_hosts`` says that ``now`` is the host's ``/``.
    """

    aspect: Aspect
    relation: Relation
    was: object
    now: object
    is_hosts: bool = False


def changes(now: Confinement, was: Confinement, frame: Frame) -> tuple[Change, ...]:
    """Every aspect that is not equal, in the order of ``ASPECTS``; what can't be compared is among them."""
    found = ((aspect, compare(aspect, now, was, frame)) for aspect in ASPECTS)
    return tuple(
        Change(aspect, relation, aspect.value(was), value := aspect.value(now), _is_root(value, frame))
        for aspect, relation in found
        if relation is not Relation.EQUAL
    )


def words(found: Iterable[Change], relation: Relation) -> tuple[str, ...]:
    """The changes of one relation in words: namespaces together, the sets of capabilities together.

    Where somebody stands (``cwd``) matters only if it is wider.
    """
    chosen = [each for each in found if each.relation is relation]
    kinds = [
        each.aspect.name.removesuffix("_namespace") for each in chosen if each.aspect.dimension is Dimension.NAMESPACES
    ]
    said = [_namespaces(kinds, relation)] if kinds else []
    said += _capabilities([each for each in chosen if each.aspect.name.endswith("_capabilities")], relation)
    said += (
        _other(each)
        for each in chosen
        if each.aspect.dimension is not Dimension.NAMESPACES
        and not each.aspect.name.endswith("_capabilities")
        and (each.aspect.name != "cwd" or relation is Relation.WIDER)
    )
    return tuple(said)


def _is_root(value: object, frame: Frame) -> bool:
    return isinstance(value, Place) and value.file == frame.root


def _namespaces(kinds: list[str], relation: Relation) -> str:
    what = f"{','.join(kinds)} namespace{'s' if len(kinds) > 1 else ''}"
    match relation:
        case Relation.WIDER:
            return f"the host's {what}"
        case Relation.APART:
            return f"another {what}" if len(kinds) == 1 else f"other {what}"
        case _:
            return what


def _capabilities(found: list[Change], relation: Relation) -> Iterator[str]:
    """Sets that gained or lost the same are told once: ``capabilities +SYS_ADMIN (permitted,effective)``."""
    by_text: dict[str, list[str]] = {}
    for each in found:
        by_text.setdefault(_difference(each, relation), []).append(each.aspect.name.removesuffix("_capabilities"))
    for text, sets in by_text.items():
        yield f"capabilities{text}" + (f" ({','.join(sets)})" if len(sets) < len(_SETS) else "")


def _difference(change: Change, relation: Relation) -> str:
    was, now = change.was, change.now
    if not isinstance(was, CapabilitySet) or not isinstance(now, CapabilitySet):
        return ""
    if was.user_namespace != now.user_namespace:
        return " in another user namespace"
    if relation is Relation.WIDER:
        return f" +{_named(now.mask & ~was.mask)}"
    if relation is Relation.NARROWER:
        return f" -{_named(was.mask & ~now.mask)}"
    return f" +{_named(now.mask & ~was.mask)} -{_named(was.mask & ~now.mask)}"


def _named(mask: int) -> str:
    if mask.bit_count() > MAX_NAMED:
        return str(mask.bit_count())
    return plain(describe.capability_set(mask)).replace(" ", ",")


def _other(change: Change) -> str:  # noqa: PLR0911 (one return an aspect)
    name, now = change.aspect.name, change.now
    if change.relation is Relation.UNKNOWN:
        return name.removesuffix("s") if name in {"uids", "gids"} else name
    match name:
        case "root" | "cwd":
            if change.is_hosts:
                return "the host's root" if name == "root" else "cwd in the host's root"
            return name if change.relation is Relation.NARROWER else f"{name} elsewhere"
        case "uids" | "gids":
            return f"{name.removesuffix('s')} {now.effective}" if isinstance(now, Ids) else name
        case "no_new_privs":
            return f"no_new_privs {'on' if now else 'off'}"
        case "seccomp":
            return f"seccomp {describe.value(now)}"
        case "lsm_label":
            return f"label {describe.value(now)}"
        case "cgroups":
            return "a cgroup outside the container's" if change.relation is Relation.WIDER else "cgroup"
        case _:
            return name
