"""What the agent may do: its user, its capabilities, and whatever else confines it.

Kubernetes accepts capabilities with the prefix ``CAP_`` and grants nothing; a user namespace of its own makes all of
them worthless towards the host; AppArmor's default profile for containers refuses what they would allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agent import describe
from agent.doctor.base import Answer, Surroundings, Verdict, kernel_version, ok
from collectors.confinement import is_unconfined_label
from collectors.facts import Seccomp, SeccompMode, Unknown

AREA = "privileges"


class _Need(NamedTuple):
    name: str
    costs: str


NEEDS = (
    _Need(
        "CAP_SYS_PTRACE",
        "Root, working directory, program and namespaces of other users' processes are out of sight: most of drift "
        "(HW-101, HW-102, HW-103, HW-114 and others are blind).",
    ),
    _Need(
        "CAP_DAC_READ_SEARCH",
        "Descriptors and environment of other users' processes, and bundles in closed directories, are out of sight "
        "(HW-201, HW-204, HW-221 and others are blind).",
    ),
)
NEEDS_OF_EBPF = (
    _Need("CAP_BPF", "The eBPF sensor's programs can't be loaded (CAP_SYS_ADMIN stands for it)."),
    _Need("CAP_PERFMON", "The eBPF sensor's programs can't read the kernel's structures (likewise)."),
)
NEED_OF_NETLINK = _Need(
    "CAP_NET_ADMIN",
    "Sensor netlink: before kernel 6.6 there are no process events; later ones have a small receive buffer, so that a "
    "burst loses some. In every tier, on cgroup v2: which devices a container may use is not seen (HW-207).",
)
NEED_BEFORE_5_11 = _Need(
    "CAP_SYS_RESOURCE",
    "Before kernel 5.11 the eBPF sensor's tables count as locked memory, and the limit of a pod is too small for them.",
)
_TABLES_COST_NOTHING_FROM = (5, 11)


def check(surroundings: Surroundings) -> Iterator[Answer]:
    """User, capabilities, user namespace, LSM label, seccomp."""
    if surroundings.uid == 0:
        yield ok(AREA, "user", "uid 0")
    else:
        yield Answer(
            AREA,
            "user",
            Verdict.FAILED,
            f"uid {surroundings.uid}",
            "Kubernetes drops added capabilities for other users, and most of /proc is closed.",
            "Run it as root; in a pod: securityContext.runAsUser: 0.",
        )
    for need in NEEDS:
        yield _capability(surroundings, need, Verdict.FAILED)
    sensor = surroundings.config.sensor
    for need in NEEDS_OF_EBPF:
        yield _capability(
            surroundings, need, Verdict.FAILED if sensor == "ebpf" else Verdict.WARNING, instead="CAP_SYS_ADMIN"
        )
    yield _capability(surroundings, NEED_OF_NETLINK, Verdict.WARNING)
    number = kernel_version(surroundings.kernel)
    if number is not None and number < _TABLES_COST_NOTHING_FROM:
        worst = Verdict.FAILED if sensor == "ebpf" else Verdict.WARNING
        yield _capability(surroundings, NEED_BEFORE_5_11, worst, overlay="ebpf-before-5.11")
    yield _user_namespace(surroundings)
    yield _label(surroundings)
    yield _seccomp(surroundings)


def _capability(
    surroundings: Surroundings, need: _Need, worst: Verdict, instead: str = "", overlay: str = ""
) -> Answer:
    if surroundings.can(need.name):
        return ok(AREA, need.name, "effective")
    if instead and surroundings.can(instead):
        return ok(AREA, need.name, f"not effective, and {instead} stands for it")
    bare = need.name.removeprefix("CAP_")
    mend = f"In a pod: securityContext.capabilities.add: [{bare}], without the prefix CAP_."
    if overlay:
        mend += f" The overlay {overlay} has it."
    return Answer(AREA, need.name, worst, "not effective", need.costs, mend)


def _user_namespace(surroundings: Surroundings) -> Answer:
    own, host = surroundings.own.user, surroundings.host.namespaces.user
    if own == host and not isinstance(own, Unknown):
        return ok(AREA, "user namespace", "the host's")
    if isinstance(own, Unknown) or isinstance(host, Unknown):
        return Answer(AREA, "user namespace", Verdict.WARNING, "not known", "Capabilities may be worth nothing.", "")
    return Answer(
        AREA,
        "user namespace",
        Verdict.FAILED,
        f"its own ({own})",
        "Capabilities in it mean nothing to the host: processes, sensors and files are out of reach.",
        "In a pod: leave hostUsers out, or true. With docker: --userns=host.",
    )


def _label(surroundings: Surroundings) -> Answer:
    label = surroundings.label
    if label is None:
        return ok(AREA, "LSM label", "the kernel labels no tasks")
    if isinstance(label, Unknown):
        return Answer(AREA, "LSM label", Verdict.WARNING, f"not known: {label.why}", "", "")
    shown = describe.value(label)
    if is_unconfined_label(label):
        return ok(AREA, "LSM label", shown)
    return Answer(
        AREA,
        "LSM label",
        Verdict.WARNING,
        shown,
        "The default profile of containers refuses /proc/PID/{root,exe,ns} of others in spite of the capabilities.",
        "In a pod: securityContext.appArmorProfile.type: Unconfined, or seLinuxOptions.type: spc_t (overlay openshift)."
        if b":" in label
        else "In a pod: securityContext.appArmorProfile.type: Unconfined, as the manifests have it.",
    )


def _seccomp(surroundings: Surroundings) -> Answer:
    found = surroundings.seccomp
    shown = describe.value(found)
    if isinstance(found, Seccomp) and found.mode is SeccompMode.DISABLED:
        return ok(AREA, "seccomp", shown)
    # A runtime's default profile allows bpf(2) and perf_event_open(2) to who has the capabilities; the trial decides.
    return ok(AREA, "seccomp", f"{shown}; the trials below say whether it is in the way")
