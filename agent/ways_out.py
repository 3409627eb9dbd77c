"""The ways out of a container, ranked: which declared fact, which steps, what would see it. Pure.

Made of what the exposure detectors find for the container, whatever exceptions say, and of the node's own weaknesses
(HW-351). A way ranks by how little it takes, then by what it gives, then by its rule. Facts that open a way only
together are put together here: host pid and CAP_SYS_PTRACE, a shared mount and CAP_SYS_ADMIN.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from agent.way_steps import (
    CAPABILITIES,
    DRIFT,
    FAULT_OF_KERNEL,
    INTERFACES,
    MEMORY_WORDS,
    NAMESPACES,
    NODE_CHECKS,
    OTHER_INTERFACE,
    PARTS,
    PID_AND_PTRACE,
    PRIVILEGED,
    Ease,
    Gain,
    Steps,
)
from collectors.events import ContainerSeen
from collectors.facts import Container
from detectors.base import Blind, Detector, EvidenceValue, Family, Finding, NodeView, Severity


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one rule found of a container or of the node; the parts of its evidence by name."""

    rule_id: str
    severity: Severity
    evidence: dict[str, EvidenceValue]

    def texts(self, name: str) -> tuple[str, ...]:
        """A part of the evidence that is a list of texts; empty when it is not there."""
        found = self.evidence.get(name, ())
        return tuple(str(each) for each in found) if isinstance(found, tuple) else (str(found),)


@dataclass(frozen=True, slots=True)
class Way:
    """One way out. ``declared`` is the fact that opens it, ``seen_by`` are ids of detectors that would tell."""

    ease: Ease
    gain: Gain
    declared: str
    rule_id: str
    severity: Severity
    steps: tuple[str, ...]
    seen_by: tuple[str, ...]


def find_exposures(
    container: Container, view: NodeView, detectors: Iterable[Detector]
) -> tuple[tuple[Exposure, ...], tuple[str, ...]]:
    """What the exposure detectors find of one container, and what they could not tell, each reason once."""
    found: list[Exposure] = []
    blind: dict[str, None] = {}
    event = ContainerSeen(0, container)
    for detector in detectors:
        if detector.family is not Family.EXPOSURE or ContainerSeen not in detector.wants:
            continue
        for each in detector.check(event, view):
            match each:
                case Finding():
                    severity = detector.severity if each.severity is None else each.severity
                    found.append(Exposure(detector.id, severity, dict(each.evidence)))
                case Blind():
                    blind[f"{detector.id}: {each.why}"] = None
    return tuple(found), tuple(blind)


def rank(exposures: Iterable[Exposure], node: Iterable[Exposure], known_rules: Collection[str]) -> tuple[Way, ...]:
    """The ways that the exposures open, the worst first. ``seen_by`` names rules of ``known_rules`` only."""
    all_of_it = tuple(exposures)
    ways = [way for each in all_of_it for way in _ways(each, all_of_it)]
    ways += [way for each in node for way in _of_node(each)]
    told: dict[tuple[str, str], Way] = {}
    for way in sorted(ways, key=lambda each: (each.ease, each.gain, each.rule_id, each.declared)):
        seen_by = tuple(each for each in way.seen_by if each in known_rules)
        told.setdefault((way.rule_id, way.declared), replace(way, seen_by=seen_by))
    return tuple(told.values())


def _ways(exposure: Exposure, others: tuple[Exposure, ...]) -> Iterator[Way]:
    """The ways that one finding opens, in the light of the others."""
    opener = _OPENERS.get(exposure.rule_id)
    if opener is None:
        yield _way(exposure, exposure.rule_id, Steps(Ease.FEW_STEPS, Gain.ROOT_ON_HOST, exposure.texts("opens"), DRIFT))
    else:
        yield from opener(exposure, others)


def _way(exposure: Exposure, declared: str, steps: Steps) -> Way:
    return Way(steps.ease, steps.gain, declared, exposure.rule_id, exposure.severity, steps.steps, steps.seen_by)


def _has(exposures: Iterable[Exposure], rule_id: str, part: str, item: str) -> bool:
    return any(each.rule_id == rule_id and item in each.texts(part) for each in exposures)


def _of_privileged(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    yield _way(exposure, "privileged", PRIVILEGED)


def _of_namespaces(exposure: Exposure, others: tuple[Exposure, ...]) -> Iterator[Way]:
    for kind in exposure.texts("namespaces"):
        steps = NAMESPACES[kind]
        if kind == "pid" and (
            _has(others, "HW-303", "capabilities", "CAP_SYS_PTRACE") or any(each.rule_id == "HW-301" for each in others)
        ):
            yield _way(exposure, "host's pid namespace and CAP_SYS_PTRACE", PID_AND_PTRACE)
        else:
            yield _way(exposure, f"host's {kind} namespace", steps)


def _of_capabilities(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    for name, opens in zip(exposure.texts("capabilities"), exposure.texts("opens"), strict=False):
        yield _way(exposure, name, CAPABILITIES.get(name) or Steps(Ease.FEW_STEPS, Gain.ROOT_ON_HOST, (opens,), DRIFT))


def _of_sockets(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    for socket in exposure.texts("sockets"):
        steps = (f"connect to {socket}", "ask for a container or unit with the host's /")
        yield _way(exposure, f"socket {socket}", Steps(Ease.ONE_STEP, Gain.ROOT_ON_HOST, steps, ("HW-210",)))


def _of_mounts(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    columns = (exposure.texts(part) for part in ("paths", "destinations", "access", "opens"))
    for path, destination, access, opens in zip(*columns, strict=False):
        if access == "rw":
            steps = Steps(Ease.ONE_STEP, Gain.ROOT_ON_HOST, (f"write below {destination}", opens), ("HW-219", "HW-114"))
            yield _way(exposure, f"{path} writable", steps)
        else:
            ease = Ease.ONE_STEP if opens.startswith(("reads", "has")) else Ease.NEEDS_A_FAULT
            steps = Steps(ease, Gain.HOST_SECRETS, (f"read below {destination}", opens), ("HW-220",))
            yield _way(exposure, f"{path} readable", steps)


def _of_devices(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    for name, opens in zip(exposure.texts("devices"), exposure.texts("opens"), strict=False):
        is_disk = "disk" in opens
        is_direct = is_disk or any(each in opens for each in MEMORY_WORDS)
        ease = Ease.ONE_STEP if is_disk else Ease.FEW_STEPS if is_direct else Ease.NEEDS_A_FAULT
        steps: tuple[str, ...] = ("open the device with debugfs, or read and write it", opens) if is_disk else (opens,)
        yield _way(exposure, name, Steps(ease, Gain.ROOT_ON_HOST, steps, ("HW-203",) if is_disk else ("HW-204",)))


def _of_filters(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    what = " and ".join(exposure.texts("off"))
    seen_by = ("HW-225", *DRIFT)
    yield _way(exposure, f"no {what}", Steps(Ease.NEEDS_A_FAULT, Gain.ROOT_ON_HOST, FAULT_OF_KERNEL, seen_by))


def _of_root(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    steps = Steps(Ease.NEEDS_A_FAULT, Gain.ROOT_ON_HOST, FAULT_OF_KERNEL, DRIFT)
    yield _way(exposure, "root in the host's user namespace", steps)


def _of_interfaces(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    for interface in exposure.texts("interfaces"):
        yield _way(exposure, f"{interface} open", INTERFACES.get(interface, OTHER_INTERFACE))


def _of_propagation(exposure: Exposure, others: tuple[Exposure, ...]) -> Iterator[Way]:
    ease = Ease.FEW_STEPS if _has(others, "HW-303", "capabilities", "CAP_SYS_ADMIN") else Ease.NEEDS_A_FAULT
    steps = ("mount a file system below it, with CAP_SYS_ADMIN", "a service of the host trusts it")
    yield _way(exposure, "shared mount", Steps(ease, Gain.ROOT_ON_HOST, steps, ("HW-113",)))


def _of_bundle(exposure: Exposure, _others: tuple[Exposure, ...]) -> Iterator[Way]:
    seen_by = ("HW-103", "HW-104", "HW-114", "HW-205")
    for part in exposure.texts("parts"):
        steps: tuple[str, ...] = next((steps for start, steps in PARTS.items() if part.startswith(start)), ())
        yield _way(exposure, part, Steps(Ease.ONE_STEP, Gain.ROOT_ON_HOST, steps, seen_by))


def _of_node(exposure: Exposure) -> Iterator[Way]:
    """The ways that the node opens to all of its containers."""
    software, version = "".join(exposure.texts("software")), "".join(exposure.texts("version"))
    check = "".join(exposure.texts("check"))
    if software:
        for breakout, needs in zip(exposure.texts("breakouts"), exposure.texts("needs"), strict=False):
            steps = Steps(Ease.NEEDS_A_FAULT, Gain.ROOT_ON_HOST, (f"needs {needs}",), DRIFT)
            yield _way(exposure, f"{breakout} in {software} {version}", steps)
    elif check in NODE_CHECKS:
        what, done = NODE_CHECKS[check]
        yield _way(exposure, what, Steps(Ease.FEW_STEPS, Gain.ROOT_ON_HOST, done, ("HW-211",)))


_OPENERS: dict[str, Callable[[Exposure, tuple[Exposure, ...]], Iterator[Way]]] = {
    "HW-301": _of_privileged,
    "HW-302": _of_namespaces,
    "HW-303": _of_capabilities,
    "HW-304": _of_sockets,
    "HW-305": _of_mounts,
    "HW-306": _of_devices,
    "HW-307": _of_filters,
    "HW-308": _of_root,
    "HW-309": _of_interfaces,
    "HW-310": _of_propagation,
    "HW-311": _of_bundle,
}
