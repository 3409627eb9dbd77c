"""What each declared fact opens, as steps: the tables behind ``agent.ways_out``.

Keys are the words of the exposure detectors' evidence; ``tests/agent/test_ways_out.py`` guards that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Ease(IntEnum):
    """How much a way takes; the least first."""

    ONE_STEP = 1
    FEW_STEPS = 2
    NEEDS_A_FAULT = 3

    @property
    def text(self) -> str:
        """For a person, and in documents."""
        return self.name.lower().replace("_", " ")


class Gain(IntEnum):
    """What a way gives; the most first."""

    ROOT_ON_HOST = 1
    HOST_SECRETS = 2
    HOST_DISTURBED = 3

    @property
    def text(self) -> str:
        """For a person, and in documents."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Steps:
    """What a declared fact opens: how much it takes, what it gives, how it is done, and which rules would tell."""

    ease: Ease
    gain: Gain
    steps: tuple[str, ...]
    seen_by: tuple[str, ...]


_ONE, _FEW, _FAULT = Ease.ONE_STEP, Ease.FEW_STEPS, Ease.NEEDS_A_FAULT
_ROOT, _SECRETS, _DISTURBED = Gain.ROOT_ON_HOST, Gain.HOST_SECRETS, Gain.HOST_DISTURBED

_DISK = ("make the node of a host disk (mknod), or use the one that is there", "mount it, or open it with debugfs")
FAULT_OF_KERNEL = ("use a fault of the kernel or the runtime",)
DRIFT = ("HW-101", "HW-103", "HW-107", "HW-108")

PRIVILEGED = Steps(
    _ONE, _ROOT, ("mount the host's disk, or write core_pattern", "change a file that root runs"), ("HW-112", "HW-203")
)

NAMESPACES = {
    "mnt": Steps(_ONE, _ROOT, ("has the host's files already", "change one that root runs"), ("HW-219",)),
    "pid": Steps(
        _FAULT, _SECRETS, ("read command lines of the host's processes", "signal those of the same user"), ("HW-214",)
    ),
    "ipc": Steps(_FEW, _SECRETS, ("attach to shared memory of the host's processes (ipcs, /dev/shm)",), ()),
    "net": Steps(
        _FEW,
        _SECRETS,
        ("connect to services that listen on the host's loopback, and to abstract sockets",),
        ("HW-210", "HW-211"),
    ),
    "uts": Steps(_FEW, _DISTURBED, ("change the host's name, with CAP_SYS_ADMIN",), ()),
}
PID_AND_PTRACE = Steps(
    _ONE,
    _ROOT,
    ("open /proc/1/root, or inject code into a process of the host (ptrace)",),
    ("HW-103", "HW-104", "HW-213"),
)

CAPABILITIES = {
    "CAP_SYS_ADMIN": Steps(
        _FEW,
        _ROOT,
        ("mount a disk of the host, or a cgroup v1 hierarchy", "set release_agent, or change a file that root runs"),
        ("HW-112", "HW-206", "HW-203"),
    ),
    "CAP_SYS_MODULE": Steps(_ONE, _ROOT, ("load a kernel module that runs a program",), ("HW-215", "HW-208")),
    "CAP_SYS_RAWIO": Steps(_FEW, _ROOT, ("open /dev/mem or a port, as far as devices allow",), ("HW-204",)),
    "CAP_SYS_PTRACE": Steps(
        _FAULT,
        _SECRETS,
        ("trace processes that it sees: the container's own, without the host's pid namespace",),
        ("HW-213",),
    ),
    "CAP_DAC_READ_SEARCH": Steps(
        _ONE, _SECRETS, ("open the host's files by handle (shocker)", "read shadow and keys"), ("HW-218", "HW-104")
    ),
    "CAP_MKNOD": Steps(_FEW, _ROOT, _DISK, ("HW-203", "HW-112")),
    "CAP_BPF": Steps(_FEW, _SECRETS, ("load a program that reads the kernel's memory",), ("HW-216",)),
    "CAP_PERFMON": Steps(_FEW, _SECRETS, ("sample every process of the node",), ("HW-216",)),
    "CAP_SYS_BOOT": Steps(_ONE, _DISTURBED, ("reboot the node, or load another kernel",), ("HW-217",)),
    "CAP_NET_ADMIN": Steps(_ONE, _DISTURBED, ("redirect the node's traffic",), ()),
    "CAP_SYSLOG": Steps(_FAULT, _SECRETS, ("read kernel addresses, for an exploit",), ("HW-225",)),
    "CAP_MAC_ADMIN": Steps(_FEW, _DISTURBED, ("load a policy that confines nobody",), ("HW-209", "HW-109")),
    "CAP_MAC_OVERRIDE": Steps(_FEW, _DISTURBED, ("act against the node's policy",), ()),
    "CAP_CHECKPOINT_RESTORE": Steps(_FAULT, _SECRETS, ("open map_files of processes that it sees",), ("HW-104",)),
}

INTERFACES = {
    "/proc/sys": Steps(
        _ONE, _ROOT, ("write |program to /proc/sys/kernel/core_pattern", "let a process crash"), ("HW-205", "HW-208")
    ),
    "/sys": Steps(
        _ONE, _ROOT, ("write a program to /sys/kernel/uevent_helper", "cause an event"), ("HW-205", "HW-208")
    ),
    "/sys/fs/cgroup": Steps(_FEW, _ROOT, ("write release_agent, or change limits of others",), ("HW-206", "HW-208")),
    "/proc/sysrq-trigger": Steps(_ONE, _DISTURBED, ("write b to /proc/sysrq-trigger",), ("HW-209",)),
    "/proc/kcore": Steps(_FEW, _SECRETS, ("read /proc/kcore, with CAP_SYS_RAWIO",), ("HW-204",)),
}
OTHER_INTERFACE = Steps(_FEW, _DISTURBED, ("read or write it",), ("HW-209",))

PARTS = {
    "working directory": ("open ../../.. from its working directory",),
    "sysctl": ("core_pattern is set when the pod starts", "let a process crash"),
    "/dev of the image": ("the runtime makes devices where the link leads",),
    "hook": ("the runtime runs it on the host",),
    "LD_PRELOAD": ("the hook loads the library",),
}

MEMORY_WORDS = ("memory", "system calls", "DMA", "kernel's")

_KUBELET = ("connect to the kubelet on port 10250", "run a command in a privileged pod")
NODE_CHECKS = {
    "docker_tcp_without_tls": (
        "Docker daemon on TCP without TLS",
        ("connect to the engine", "ask for a container with the host's /"),
    ),
    "kubelet_always_allow": ("kubelet that allows everything", _KUBELET),
    "kubelet_anonymous_auth": ("kubelet that asks for no name", _KUBELET),
}
