"""Where two confinements differ: a container's from what was declared for it, or from another container's. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent import describe
from agent.cli.comparison import Row, Subject, plain, rows
from agent.cli.mount_rows import Origin, mount_rows, source_text
from agent.cli.mount_rows import Row as MountRow
from agent.state import NodeState
from agent.text import to_text
from collectors.confinement import ASPECTS, Aspect, CapabilitySet, Frame, Relation, compare
from collectors.facts import Container, Declared, DeviceRule, Process, Unknown
from detectors.base import Member

ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides. ``relation`` is that of the right side, ``None`` without an order.

    ``beyond`` names what the right side has more.
    """

    what: str
    left: str
    right: str
    relation: Relation | None = None
    beyond: str = ""


def from_declared(state: NodeState, subject: Subject) -> tuple[Difference, ...]:
    """What a container really has, where it is not what its bundle says; what can't be told is among it."""
    container, process = subject.container, subject.process
    assert container is not None
    assert process is not None
    aspects = (_of_aspect(each) for each in rows(state, subject) if each.relation is not Relation.EQUAL)
    mounts = mount_rows(state, container, process)
    if isinstance(mounts, Unknown):
        relation = (
            Relation.WIDER if process.confinement.namespaces.mnt == state.host.namespaces.mnt else Relation.UNKNOWN
        )
        return (*aspects, Difference("mounts", ABSENT, mounts.why, relation))
    return (*aspects, *(found for each in mounts if (found := _of_mount(each)) is not None))


def _of_aspect(row: Row) -> Difference:
    return Difference(row.aspect.name, plain(row.declared or "?"), plain(row.observed), row.relation, row.beyond)


def _of_mount(row: MountRow) -> Difference | None:
    what = f"mount {to_text(row.point)}"
    if row.is_writable_beyond:
        return Difference(what, "ro", "rw", Relation.WIDER)
    match row.origin:
        case Origin.MISSING:
            assert row.declared is not None
            return Difference(what, f"{row.declared.fs_type} {row.declared.source}", ABSENT, Relation.NARROWER)
        case Origin.NOT_DECLARED | Origin.LATER:
            assert row.mount is not None
            shown = to_text(row.host_path) if row.host_path is not None else source_text(row.mount)
            access = "ro" if row.mount.is_read_only else "rw"
            relation = Relation.WIDER if row.is_hosts else Relation.APART
            return Difference(what, ABSENT, f"{access} {to_text(row.mount.fs_type)} {shown}", relation)
        case _:
            return None


def between(state: NodeState, left: Container, right: Container) -> tuple[Difference, ...]:
    """Where two containers differ, in what they have and in what was declared for them."""
    return (*_observed(state, left, right), *_declared(left, right))


def _observed(state: NodeState, left: Container, right: Container) -> Iterator[Difference]:
    """Their first processes as they are now. That each has namespaces of its own is no difference."""
    first, second = _first(state, left), _first(state, right)
    if first is None or second is None:
        yield Difference("first process", _seen(first), _seen(second), Relation.UNKNOWN)
        return
    frame = _common_frame(state, first, second)
    for aspect in ASPECTS:
        relation = compare(aspect, second.confinement, first.confinement, frame)
        if relation is Relation.APART and not _says_something(aspect):
            continue
        if relation is not Relation.EQUAL:
            before, now = _text(aspect, first, state), _text(aspect, second, state)
            yield Difference(aspect.name, before, now, relation, _more(aspect, first, second))
        elif aspect.name.endswith("_namespace") and aspect.value(first.confinement) != _host_end(aspect, state):
            yield Difference(aspect.name, "shared by both", "shared by both")


def _seen(process: Process | None) -> str:
    return "not seen" if process is None else "seen"


def _first(state: NodeState, container: Container) -> Process | None:
    first = state.first_process(container.id)
    return (state.process(first.key) or first) if isinstance(first, Process) else None


def _common_frame(state: NodeState, first: Process, second: Process) -> Frame:
    """What either was given counts as given, so that only who has left it stands out."""
    frames = [member.frame for each in (first, second) if isinstance(member := state.member(each), Member)]
    given: set[int] = set()
    cgroups: set[bytes] = set()
    for frame in frames:
        given |= frame.given_mounts if not isinstance(frame.given_mounts, Unknown) else set()
        cgroups |= frame.cgroup_paths if not isinstance(frame.cgroup_paths, Unknown) else set()
    return Frame(state.host.namespaces, state.host.root, frozenset(given), frozenset(cgroups))


def _says_something(aspect: Aspect) -> bool:
    """Namespaces, directories and cgroups of their own are what containers have."""
    return aspect.name not in {"root", "cwd", "cgroups"} and not aspect.name.endswith("_namespace")


def _text(aspect: Aspect, process: Process, state: NodeState) -> str:
    value = aspect.value(process.confinement)
    if isinstance(value, int) and aspect.name.endswith("_namespace"):
        return "the host's" if value == _host_end(aspect, state) else "its own"
    if aspect.name in {"root", "cwd"} and describe.is_host_root(getattr(process.confinement, aspect.name), state.host):
        return "the host's"
    if isinstance(value, CapabilitySet):
        return plain(describe.capability_set(value.mask))
    return describe.value(value)


def _host_end(aspect: Aspect, state: NodeState) -> object:
    return getattr(state.host.namespaces, aspect.name.removesuffix("_namespace"))


def _more(aspect: Aspect, first: Process, second: Process) -> str:
    """The capabilities that the right one has more, with those that it lacks."""
    was, now = aspect.value(first.confinement), aspect.value(second.confinement)
    if not isinstance(was, CapabilitySet) or not isinstance(now, CapabilitySet):
        return ""
    more, less = now.mask & ~was.mask, was.mask & ~now.mask
    parts = [f"+{plain(describe.capability_set(more))}"] if more else []
    return " ".join([*parts, f"-{plain(describe.capability_set(less))}"] if less else parts)


def _declared(left: Container, right: Container) -> Iterator[Difference]:
    if left.image != right.image:
        yield Difference("image", left.image or ABSENT, right.image or ABSENT)
    if left.runtime != right.runtime:
        yield Difference("runtime", left.runtime, right.runtime)
    first, second = left.declared, right.declared
    if isinstance(first, Unknown) or isinstance(second, Unknown):
        yield Difference("declared", _known(first), _known(second), Relation.UNKNOWN)
        return
    for what, value in _SINGLE.items():
        if value(first) != value(second):
            yield Difference(f"declared {what}", value(first), value(second))
    for what, values in _SEVERAL.items():
        mine = tuple(_without_identity(each, left) for each in values(first))
        others = tuple(_without_identity(each, right) for each in values(second))
        yield from _lists(f"declared {what}", mine, others)


def _known(declared: Declared | Unknown) -> str:
    return declared.why if isinstance(declared, Unknown) else "known"


def _without_identity(text: str, container: Container) -> str:
    """Directories that bear the container's or the pod's own id are the same for both."""
    for own, name in ((container.id, "<id>"), (container.pod_uid, "<pod>")):
        text = text.replace(own, name) if own else text
    return text


def _lists(what: str, left: tuple[str, ...], right: tuple[str, ...]) -> Iterator[Difference]:
    """What only one side has, an item a line; an item that was given twice counts twice."""
    only_left, only_right = Counter(left) - Counter(right), Counter(right) - Counter(left)
    yield from (Difference(what, each, ABSENT) for each in only_left.elements())
    yield from (Difference(what, ABSENT, each) for each in only_right.elements())


_SINGLE: dict[str, Callable[[Declared], str]] = {
    "command": lambda declared: " ".join(declared.arguments),
    "user": lambda declared: f"{declared.uid}:{declared.gid}",
    "working directory": lambda declared: declared.working_directory,
    "root read-only": lambda declared: "true" if declared.root_readonly else "false",
    "terminal": lambda declared: "true" if declared.terminal else "false",
    "AppArmor profile": lambda declared: declared.apparmor_profile or ABSENT,
    "SELinux label": lambda declared: declared.selinux_label or ABSENT,
}
_SEVERAL: dict[str, Callable[[Declared], tuple[str, ...]]] = {
    "mount": lambda declared: tuple(
        f"{each.destination} {each.fs_type or 'bind'} {each.source} ({','.join(each.options)})"
        for each in declared.mounts
    ),
    "masked path": lambda declared: declared.masked_paths,
    "read-only path": lambda declared: declared.readonly_paths,
    "device rule": lambda declared: tuple(map(_device_rule, declared.device_rules)),
    "sysctl": lambda declared: tuple(f"{name}={value}" for name, value in declared.sysctls),
    "hook": lambda declared: declared.hooks,
}


def _device_rule(rule: DeviceRule) -> str:
    """As devices.allow has it."""
    numbers = ":".join("*" if each is None else str(each) for each in (rule.major, rule.minor))
    return f"{'allow' if rule.allow else 'deny'} {rule.kind} {numbers} {rule.access}"
