"""What a detector is, what it returns, and what it may look at.

A detector is a pure function with a declaration. It gets one event and a read-only view of the node, and yields what it
found (``Finding``) or that it could not tell (``Blind``). It keeps no memory: history comes from the view. The engine
adds all that is static (names, techniques, ancestors, container, pod) and decides what is a repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, Protocol

from collectors.confinement import Frame, Widening
from collectors.events import CallMade, Event, FileTouched, KernelValue, ProcessEvent, Touch
from collectors.facts import (
    Capabilities,
    Container,
    Declared,
    Descriptor,
    HostBaseline,
    Mount,
    Process,
    ProcessKey,
    Unknown,
)


class Severity(IntEnum):
    """How bad a finding is; the number is ``event.severity``."""

    INFO = 10
    LOW = 30
    MEDIUM = 50
    HIGH = 70
    CRITICAL = 90


class Family(StrEnum):
    """The three families of detectors, the agent's own, the stories that the engine makes, and operators' own rules."""

    DRIFT = "drift"
    TECHNIQUE = "technique"
    EXPOSURE = "exposure"
    AGENT = "agent"
    INCIDENT = "incident"
    OPERATOR = "operator"


class Tier(StrEnum):
    """The sensor tiers, weakest first."""

    POLL = "poll"
    NETLINK = "netlink"
    EBPF = "ebpf"


class Confidence(StrEnum):
    """How sure a finding is: ``certain`` is what the kernel holds, ``likely`` an inference that honest work may fit."""

    CERTAIN = "certain"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Technique:
    """An ATT&CK technique (Enterprise matrix): its id, its name and the tactic it serves here."""

    id: str
    name: str
    tactic_id: str
    tactic: str


ESCAPE_TO_HOST = Technique("T1611", "Escape to Host", "TA0004", "Privilege Escalation")

EvidenceValue = str | bytes | int | bool | tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a detector is sure enough of to tell.

    ``identity`` is what makes it *the same* finding again: empty, that is rule, container and subject; else rule and
    ``identity`` alone, which then must name the container where it matters. A repetition with the same ``severity``,
    ``evidence`` and ``widened`` is counted, not told. Put nothing into ``evidence`` that changes by itself (a time, a
    counter). Where what is found grows step by step, ``news`` says what of it is worth telling again: a repetition with
    the same ``news`` is counted then, whatever else it holds, unless it is more severe than what was told.
    ``subject`` is the acting task, ``None`` when a container as a whole is meant.
    ``inherited`` says that a child which shows the same is the same story (the parent escaped, the child was born
    outside) and is counted with its parent. ``message`` is one sentence a person understands, without names of
    container or program: the engine puts those before it.
    """

    message: str
    container_id: str | None
    subject: ProcessKey | None = None
    evidence: tuple[tuple[str, EvidenceValue], ...] = ()
    widened: tuple[Widening, ...] = ()
    severity: Severity | None = None  # None: the declaration's
    confidence: Confidence = Confidence.CERTAIN
    identity: tuple[str, ...] = ()
    inherited: bool = False
    news: tuple[EvidenceValue, ...] | None = None


@dataclass(frozen=True, slots=True)
class Blind:
    """A detector could not tell: which fact was missing, and why. Counted and shown, not raised."""

    why: str
    subject: ProcessKey | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A container process, resolved: everything a drift detector compares.

    ``first`` is the container's first process *as it was when it entered* (after its first exec in the container), so
    that what it gives up later makes nobody look wide. ``entry`` is the process through which this one came in: the
    first process, or the root of an ``exec`` session that the runtime started; the same remark holds.
    ``by_lineage`` says that the cgroup alone would not have told: it descends from a process that belonged.
    ``previous`` is the observation of this same task before the present one, ``None`` when this is the first.
    """

    process: Process
    container: Container
    first: Process | Unknown
    entry: Process | Unknown
    frame: Frame
    by_lineage: bool
    in_container_cgroup: bool
    previous: Process | None

    @property
    def is_first(self) -> bool:
        """It is the container's first process."""
        return isinstance(self.first, Process) and self.first.key == self.process.key


class NodeView(Protocol):
    """The read-only view of the node's state that detectors get; ``agent.state_view`` implements it."""

    @property
    def host(self) -> HostBaseline:
        """The host's baseline."""

    @property
    def tier(self) -> Tier:
        """The sensor tier that feeds the state."""

    def member(self, process: Process) -> Member | Unknown | None:
        """The task as a container process; ``None`` when it is the host's own, or still *becoming* a container.

        A runtime's own process between clone and its exec of the container's program is becoming: not judged.
        ``Unknown`` when it belongs to a container, but what to compare it with is not known.
        """

    def is_becoming(self, process: Process) -> bool:
        """It is the runtime's own process on its way into a container."""

    def process(self, key: ProcessKey) -> Process | None:
        """The latest observation of a live task."""

    def process_by_pid(self, pid: int) -> Process | None:
        """The latest observation of the live task that has this id on the host now."""

    def parent(self, process: Process) -> Process | None:
        """The parent as it was at fork, also when that has ended since; ``None`` when we never saw it."""

    def ancestors(self, process: Process) -> tuple[Process, ...]:
        """Parent, grandparent, ... as far as they were seen; at most 16."""

    def container(self, container_id: str) -> Container | None:
        """A known container."""

    def containers(self) -> Iterable[Container]:
        """All known containers."""

    def first_process(self, container_id: str) -> Process | Unknown:
        """The container's first process, as it was when it entered."""

    def namespace_owners(self, kind: str, inode: int) -> tuple[str, ...]:
        """The ids of the containers whose first process has that namespace."""

    def mounts(self, mnt_namespace: int) -> tuple[Mount, ...] | Unknown:
        """The mount table of a namespace as last seen."""

    def mounts_before(self, mnt_namespace: int) -> tuple[Mount, ...] | Unknown:
        """The mount table before the present ``MountTable`` event; ``Unknown`` when there was none."""

    def mounts_at_start(self, container_id: str) -> tuple[Mount, ...] | Unknown:
        """The container's mount table when its first process entered; ``Unknown`` when the agent came later."""

    def mount_ids_ever(self, mnt_namespace: int) -> frozenset[int]:
        """Every mount id that was ever seen in the namespace (a lazily unmounted one is still held)."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A container process with its container's first process and its notable descriptors, all of them known."""

    member: Member
    first: Process
    descriptors: tuple[Descriptor, ...]


def holder(process: Process, view: NodeView) -> Holder | Blind | None:
    """What a container process holds open; ``None`` for one that holds nothing notable, or is no container process."""
    if process.descriptors == ():
        return None
    member = view.member(process)
    if member is None:
        return None
    if isinstance(member, Unknown):
        return Blind(member.why, process.key)
    if isinstance(process.descriptors, Unknown):
        return Blind(f"descriptors: {process.descriptors.why}", process.key)
    if isinstance(member.first, Unknown):
        return Blind(f"first process: {member.first.why}", process.key)
    return Holder(member, member.first, process.descriptors)


def actor(process: Process, view: NodeView) -> Generator[Finding | Blind, None, Member | None]:
    """Who did something, as a container process; ``None`` where it is none, or not known, which is told as ``Blind``.

    For ``yield from``, whose value it is.
    """
    member = view.member(process)
    if isinstance(member, Unknown):
        yield Blind(member.why, process.key)
        return None
    return member


def may_reach(actor: Member, victim: Member, view: NodeView) -> bool:
    """They are one container, or the actor's was made in the pid namespace of the other's, which is not the host's."""
    if actor.container.id == victim.container.id:
        return True
    if isinstance(actor.first, Unknown) or isinstance(victim.first, Unknown):
        return False
    shared = actor.first.confinement.namespaces.pid
    return isinstance(shared, int) and shared == victim.first.confinement.namespaces.pid != view.host.namespaces.pid


def judge_holder(process: Process, view: NodeView, judge: Callable[[Holder, NodeView], Found]) -> Found:
    """What ``judge`` says of a container process and what it holds open; ``Blind`` where that is not known."""
    held = holder(process, view)
    if isinstance(held, Blind):
        yield held
    elif held is not None:
        yield from judge(held, view)


class DeviceNode(NamedTuple):
    """A device that a process opened by a node, or for which it made one; with ``error`` it was refused to."""

    process: Process
    rdev: int
    mode: int
    verb: str
    call: str
    error: int = 0


def judge_device(
    event: ProcessEvent,
    view: NodeView,
    held: Callable[[Holder, NodeView], Found],
    node: Callable[[DeviceNode, NodeView], Found],
) -> Found:
    """What ``held`` says of what a process holds open, or ``node`` of the device that it opened or made a node of."""
    match event:
        case CallMade(error=error):
            verb = "was refused to make" if error else "made"
            yield from node(DeviceNode(event.process, event.device, event.mode, verb, event.call, error), view)
        case FileTouched():
            if event.touch is Touch.DEVICE and event.file is not None:
                yield from node(DeviceNode(event.process, event.file.device, event.mode, "opened", "open"), view)
        case _:
            yield from judge_holder(event.process, view, held)


def judge_value(
    event: KernelValue,
    names: Collection[str],
    view: NodeView,
    judge: Callable[[KernelValue, bytes, NodeView], Found],
) -> Found:
    """What ``judge`` says of one of these values, as it is now; ``Blind`` where it cannot be read."""
    if event.name not in names:
        return
    if isinstance(event.after, Unknown):
        yield Blind(event.after.why)
    else:
        yield from judge(event, event.after, view)


def container_roots(view: NodeView) -> Iterator[tuple[Container, Mount | None]]:
    """Every container with the mount of its root, where its table is known and not the host's own."""
    for container in view.containers():
        first = view.first_process(container.id)
        mnt = first if isinstance(first, Unknown) else first.confinement.namespaces.mnt
        table = () if isinstance(mnt, Unknown) or mnt == view.host.namespaces.mnt else view.mounts(mnt)
        mounts = () if isinstance(table, Unknown) else table
        yield container, next((each for each in mounts if each.point == b"/"), None)


def capable_containers(view: NodeView, wanted: int) -> tuple[str, ...]:
    """The ids of containers that may hold one of the ``wanted`` capabilities in the host's own user namespace."""
    found = []
    for container in view.containers():
        first = view.first_process(container.id)
        if isinstance(first, Unknown):
            held = container.declared.capabilities if isinstance(container.declared, Declared) else first
        else:
            is_hosts = first.confinement.namespaces.user == view.host.namespaces.user
            held = first.confinement.capabilities if is_hosts else Unknown("another user namespace")
        if isinstance(held, Capabilities) and held.bounding & wanted:
            found.append(container.id)
    return tuple(sorted(found))


Found = Iterator[Finding | Blind]
Check = Callable[[Any, NodeView], Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """The declaration of a detector; with the module's docstring it is the page in the reference.

    ``wants`` are the events that ``check`` is called with. ``weakest`` is the weakest sensor tier that sees the act
    reliably. ``benign`` says who does this honestly and how that is told apart, ``misses`` what it cannot see.

    ``compares``: of a member whose first process has the same namespaces, ``check`` asks nothing but its confinement,
    its working directory aside, what that was before, and what it is compared with: first, entry, container, frame.
    Where it was silent it is silent again, and the engine does not ask (docs/adr/0019).
    ``holds``: of a ``Seen`` or an ``Exec``, ``check`` judges what ``holder`` gives and nothing else.
    """

    id: str
    name: str
    family: Family
    severity: Severity
    techniques: tuple[Technique, ...]
    wants: tuple[type[Event], ...]
    check: Check
    weakest: Tier
    summary: str  # one sentence: what it fires on
    benign: tuple[str, ...]
    misses: tuple[str, ...]
    advice: tuple[str, ...]  # what to do next when it fires, for the person who is paged
    references: tuple[str, ...]
    compares: bool = False
    holds: bool = False
