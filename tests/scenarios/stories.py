"""What no machine of ours can really do, as captures: a recorded story, and after it one fact that was set by hand.

``base.capture`` was recorded (``tests.scenarios.record``): a container of runc, as the agent's netlink tier saw it, of
which it says nothing. No other capture here was recorded: each is that one with a last event added, or a fact replaced,
as ``by_hand`` says in plain words. It has a neighbour, ``NAME.near.capture``, that differs in as little as possible and
is honest, or is another thing; only what has no honest neighbour lacks one.

``python -m tests.scenarios.stories`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from agent.capture.file import CaptureReader, CaptureWriter, Header
from collectors.events import (
    AgentTrouble,
    ContainerSeen,
    Event,
    Exec,
    KernelValue,
    Lost,
    ProcessEvent,
    Seen,
    SweepDone,
    TroubleKind,
    UnixConnected,
)
from collectors.facts import (
    Capabilities,
    Declared,
    DeclaredMount,
    Descriptor,
    DescriptorKind,
    DeviceRule,
    FileId,
    Ids,
    Place,
    Process,
    ProcessKey,
    Seccomp,
    SeccompMode,
)

HERE = Path(__file__).parent
SECOND = 1_000_000_000
EVERY_CAPABILITY = (1 << 41) - 1  # include/uapi/linux/capability.h: the last is CAP_CHECKPOINT_RESTORE, 40
CAP_SYS_ADMIN = 1 << 21
PROFILE = b"docker-default (enforce)"

Story = tuple[Header, tuple[Event, ...]]
Change = Callable[[Story], Story]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario. ``expected`` are all alerts, rule and severity; ``near_expected`` are those of the neighbour."""

    name: str
    by_hand: str
    near_by_hand: str
    change: Change
    near: Change | None
    expected: tuple[tuple[str, int], ...]
    near_expected: tuple[tuple[str, int], ...] = ()

    @property
    def file(self) -> Path:
        """The capture."""
        return HERE / f"{self.name}.capture"

    @property
    def near_file(self) -> Path:
        """The capture of the honest neighbour."""
        return HERE / f"{self.name}.near.capture"


def read_story(path: Path) -> Story:
    """A capture as it was made."""
    with path.open("rb") as stream:
        reader = CaptureReader(stream)
        return reader.header, tuple(reader.events())


def written(story: Story) -> bytes:
    """The bytes of its capture."""
    stream = BytesIO()
    writer = CaptureWriter(stream, story[0])
    for event in story[1]:
        writer.add(event)
    writer.finish()
    return stream.getvalue()


def _last(events: Iterable[Event]) -> Process:
    """The process of the container that was seen last: a child of its first one, which sleeps."""
    return [each.process for each in events if isinstance(each, Seen)][-1]


def _add(story: Story, *more: Event) -> Story:
    """The story with events a second after its end, and the sweep that closes it."""
    header, events = story
    at_ns = events[-1].at_ns + SECOND
    done = SweepDone(at_ns + SECOND, 99, 100, 1_000_000)
    return header, (*events, *(replace(each, at_ns=at_ns) for each in more), done)


def _seen_with(story: Story, *, kind: type[ProcessEvent] = Seen, image_mark: int | None = None, **facts: Any) -> Story:
    """The sleeping process is seen once more, and these facts of its confinement are other ones."""
    process = _last(story[1])
    changed = replace(process, confinement=replace(process.confinement, **facts))
    if image_mark is not None:
        changed = replace(changed, image_mark=image_mark)
    return _add(story, kind(0, changed))


def _holding(story: Story, *, minor: int) -> Story:
    """The sleeping process is seen once more, with a descriptor of a character device of major number 1."""
    process = _last(story[1])
    place = Place(FileId(65024, 4711), 180)
    held = Descriptor(3, DescriptorKind.CHARACTER_DEVICE, place, b"/tmp/node", 1 << 8 | minor)
    return _add(story, Seen(0, replace(process, descriptors=(held,))))


def _with_declared(event: Event, change: Callable[[Declared], dict[str, Any]]) -> Event:
    """The event with other facts in the container's bundle, where it is of a container."""
    if not isinstance(event, ContainerSeen) or not isinstance(event.container.declared, Declared):
        return event
    declared = replace(event.container.declared, **change(event.container.declared))
    return replace(event, container=replace(event.container, declared=declared))


def _labelled(story: Story, label: bytes, later: bytes) -> Story:
    """Every process of the container has a label from the start; the sleeping one is seen again with another."""
    header, events = story
    own = _last(events).confinement.namespaces.mnt
    labelled = tuple(
        replace(each, process=_with_label(each.process, label))
        if isinstance(each, ProcessEvent) and each.process.confinement.namespaces.mnt == own
        else _with_declared(each, lambda _: {"apparmor_profile": "docker-default"})
        for each in events
    )
    host = replace(header.host, lsms=frozenset({"apparmor"}))
    return _seen_with((replace(header, host=host), labelled), lsm_label=later)


def _with_label(process: Process, label: bytes) -> Process:
    return replace(process, confinement=replace(process.confinement, lsm_label=label))


def _declared_with(story: Story, bounding: int) -> Story:
    """The node has every capability; the bundle asks for these, for no seccomp filter and for every device."""
    header, events = story
    asked = {
        "capabilities": Capabilities(0, bounding, bounding, bounding, 0),
        "device_rules": (DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm"),),
        "seccomp": False,
        "no_new_privs": False,
        "masked_paths": (),
        "readonly_paths": (),
        "uid": 0,
    }
    changed = tuple(_with_declared(each, lambda _: asked) for each in events)
    begin = next(index for index, each in enumerate(changed) if isinstance(each, ContainerSeen))
    return replace(header, host=replace(header.host, bounding=EVERY_CAPABILITY)), changed[: begin + 1]


def _value(story: Story, name: str, where: bytes, before: bytes, after: bytes) -> Story:
    return _add(story, KernelValue(0, name, before, after, where, at_start=before))


def _connected(story: Story, path: bytes, program: bytes) -> Story:
    process = _last(story[1])
    container = next(each.container.id for each in story[1] if isinstance(each, ContainerSeen))
    return _add(story, UnixConnected(0, container, process.key, 4711, path, ProcessKey(1, 22), program))


def _mounting(story: Story, source: str) -> Story:
    """The bundle has one more bind mount of the host."""
    header, events = story
    more = DeclaredMount("/given", source, "bind", ("rbind",))
    return header, tuple(_with_declared(each, lambda known: {"mounts": (*known.mounts, more)}) for each in events)


def _troubled(story: Story, kind: TroubleKind, part: str) -> Story:
    """The agent has trouble of its own, twice the same."""
    return _add(story, *(AgentTrouble(0, kind, part, "OSError: [Errno 9] Bad file descriptor") for _ in range(2)))


_SYSTEMD = b"/usr/lib/systemd/systemd"
_ROOT = Ids(0, 0, 0, 0)
_FULL = Capabilities(0, EVERY_CAPABILITY, EVERY_CAPABILITY, EVERY_CAPABILITY, 0)
_BOUND = 536871968  # the bounding set that the recorded container has
_ALL_OF_IT = Capabilities(0, _BOUND, _BOUND, _BOUND, 0)
_foreign_modules = partial(_value, name="foreign_modules", where=b"proc/modules")
_kexec_loaded = partial(_value, name="kexec_loaded", where=b"sys/kernel/kexec_loaded")
_selinux_enforce = partial(_value, name="selinux.enforce", where=b"sys/fs/selinux/enforce")

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "credentials_overwritten",
        "The sleeping process (uid 1000, no capability) is seen again as uid 0 with its bounding set, without an exec.",
        "The same credentials, after an exec (its image mark is another one): a set-uid program.",
        partial(_seen_with, uids=_ROOT, capabilities=_ALL_OF_IT),
        partial(_seen_with, uids=_ROOT, capabilities=_ALL_OF_IT, kind=Exec, image_mark=1),
        (("HW-108", 90), ("HW-001", 90)),
    ),
    Scenario(
        "credentials_of_init",
        "The sleeping process is seen again with every capability of the kernel, also in its bounding set: init_cred.",
        "It is seen again with a smaller bounding set.",
        partial(_seen_with, uids=_ROOT, capabilities=_FULL),
        partial(_seen_with, capabilities=Capabilities(0, 0, 0, 0, 0)),
        (("HW-107", 90), ("HW-001", 90), ("HW-108", 90)),
    ),
    Scenario(
        "seccomp_cleared",
        "The sleeping process is seen again without the seccomp filter that it had.",
        "It is seen again with one more filter.",
        partial(_seen_with, seccomp=Seccomp(SeccompMode.DISABLED, 0)),
        partial(_seen_with, seccomp=Seccomp(SeccompMode.FILTER, 2)),
        (("HW-109", 90), ("HW-001", 90)),
    ),
    Scenario(
        "no_new_privs_cleared",
        "The sleeping process is seen again with no_new_privs 0; it was 1.",
        "It is seen again with another group id.",
        partial(_seen_with, no_new_privs=False),
        partial(_seen_with, gids=Ids(1001, 1001, 1001, 1001)),
        (("HW-109", 90), ("HW-001", 90)),
    ),
    Scenario(
        "profile_unloaded",
        "An AppArmor profile for every process of the container, and the sleeping one is seen again unconfined.",
        "It is seen again under another profile.",
        partial(_labelled, label=PROFILE, later=b"unconfined"),
        partial(_labelled, label=PROFILE, later=b"docker-default//inner (enforce)"),
        (("HW-109", 90), ("HW-001", 90)),
    ),
    Scenario(
        "memory_held",
        "The sleeping process is seen again with a descriptor of character device 1:1, which this machine has not got.",
        "With one of 1:5, which is /dev/zero.",
        partial(_holding, minor=1),
        partial(_holding, minor=5),
        (("HW-204", 70), ("HW-001", 70)),
    ),
    Scenario(
        "module_loaded",
        "The list of modules that are not installed for the kernel gains one; this kernel loads none.",
        "It loses one.",
        partial(_foreign_modules, before=b"", after=b"rootkit"),
        partial(_foreign_modules, before=b"vendor", after=b""),
        (("HW-215", 70), ("HW-001", 70)),
    ),
    Scenario(
        "kernel_loaded",
        "kexec_loaded turns from 0 to 1; this kernel has no kexec.",
        "It turns from 1 to 0.",
        partial(_kexec_loaded, before=b"0", after=b"1"),
        partial(_kexec_loaded, before=b"1", after=b"0"),
        (("HW-217", 70), ("HW-001", 70)),
    ),
    Scenario(
        "selinux_permissive",
        "selinux.enforce turns from 1 to 0; this kernel has no SELinux.",
        "It turns from 0 to 1.",
        partial(_selinux_enforce, before=b"1", after=b"0"),
        partial(_selinux_enforce, before=b"0", after=b"1"),
        (("HW-209", 50), ("HW-001", 50)),
    ),
    Scenario(
        "wholly_privileged",
        "The bundle asks for 41 capabilities, of a node that has them all, for no filter and every device.",
        "The same without CAP_SYS_ADMIN: not privileged, and still told for what it has.",
        partial(_declared_with, bounding=EVERY_CAPABILITY),
        partial(_declared_with, bounding=EVERY_CAPABILITY & ~CAP_SYS_ADMIN),
        (("HW-301", 50), ("HW-303", 50)),
        (("HW-303", 50), ("HW-306", 50), ("HW-307", 30), ("HW-309", 50)),
    ),
    Scenario(
        "systemd_asked",
        "The sleeping process is connected to /run/systemd/private of systemd; this machine has no systemd.",
        "The bundle has /run/systemd among its mounts: the way was given.",
        partial(_connected, path=b"/run/systemd/private", program=_SYSTEMD),
        lambda story: _connected(_mounting(story, "/run/systemd"), b"/run/systemd/private", _SYSTEMD),
        (("HW-210", 70), ("HW-001", 70)),
        (("HW-210", 50), ("HW-001", 50)),
    ),
    Scenario(
        "sensor_failed",
        "The process connector ends with an error.",
        "A detector fails: another trouble of the agent's own.",
        partial(_troubled, kind=TroubleKind.SENSOR_LOST, part="netlink"),
        partial(_troubled, kind=TroubleKind.DETECTOR_FAILED, part="HW-101"),
        (("HW-901", 70),),
        (("HW-906", 50),),
    ),
    Scenario(
        "events_lost",
        "The process connector lost 4,711 events, and twice more as many: told once.",
        "",
        lambda story: _add(story, *(Lost(0, "netlink", "gap", count) for count in (4711, 9422, 9422))),
        None,
        (("HW-902", 50),),
    ),
)


def main() -> None:
    """Write every capture but the recorded one."""
    base = read_story(HERE / "base.capture")
    for each in SCENARIOS:
        each.file.write_bytes(written(each.change(base)))
        if each.near is not None:
            each.near_file.write_bytes(written(each.near(base)))


if __name__ == "__main__":
    main()
