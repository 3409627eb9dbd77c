"""What the live tests might leave behind on the machine: read before and after, and compared.

Only what the tests themselves name is looked at (`hullwatch-live...`, `hwlive...`), and kernel values that nobody else
changes in passing: other programs of the machine mount, start and stop what they like meanwhile.
"""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.support.hierarchies import named_hierarchies

KERNEL_VALUES = ("kernel/core_pattern", "kernel/modprobe", "net/ipv4/ip_forward", "vm/swappiness")
OUR_DIRECTORIES = "hullwatch-live-"
OUR_NAMES = "hwlive*"


@dataclass(frozen=True, slots=True)
class HostState:
    """The parts of the host that an act may change for its duration."""

    kernel_values: tuple[tuple[str, str], ...]
    release_agents: tuple[tuple[str, str], ...]
    mount_points: tuple[str, ...]
    cgroups: tuple[str, ...]
    hierarchies: tuple[str, ...]
    network_namespaces: tuple[str, ...]
    links: tuple[str, ...]
    loop_files: tuple[str, ...]


def read_host_state() -> HostState:
    """The machine as it is now."""
    proc_sys, groups = Path("/proc/sys"), Path("/sys/fs/cgroup")
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().split("\n") if line]
    return HostState(
        kernel_values=tuple(
            (name, (proc_sys / name).read_text().strip()) for name in KERNEL_VALUES if (proc_sys / name).exists()
        ),
        release_agents=tuple((str(path), path.read_text().strip()) for path in sorted(groups.glob("*/release_agent"))),
        mount_points=tuple(sorted(point for point in points if f"{OUR_DIRECTORIES}volume-" in point)),
        cgroups=_names(groups, f"*/{OUR_NAMES}"),
        hierarchies=tuple(sorted(each for each in named_hierarchies() if fnmatch(each, OUR_NAMES))),
        network_namespaces=_names(Path("/run/netns"), OUR_NAMES),
        links=_names(Path("/sys/class/net"), OUR_NAMES),
        loop_files=tuple(
            path.read_text().strip()
            for path in sorted(Path("/sys/block").glob("loop*/loop/backing_file"))
            if OUR_DIRECTORIES in path.read_text()
        ),
    )


def _names(directory: Path, pattern: str) -> tuple[str, ...]:
    return tuple(sorted(str(path) for path in directory.glob(pattern)))


def differences(before: HostState, after: HostState) -> list[str]:
    """What changed, a line each; empty when the machine is as it was."""
    return [
        f"{name}: {getattr(before, name)} became {getattr(after, name)}"
        for name in HostState.__slots__
        if getattr(before, name) != getattr(after, name)
    ]
