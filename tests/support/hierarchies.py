"""The cgroups of this machine: a directory for each hierarchy of version 1, or the one tree of version 2 (cgroups(7)).

With version 1 beside it, version 2 is one of the directories, and containers are known by their path in `pids`.
"""

import subprocess
from pathlib import Path

from tests.support.processes import cgroups, wait_until

CGROUPS = Path("/sys/fs/cgroup")
IS_UNIFIED = (CGROUPS / "cgroup.controllers").exists()
# In a cgroup namespace of its own, which Docker gives with version 2, nobody can leave it (cgroups(7), nsdelegate).
HOST_CGROUPS = ("--cgroupns=host", "-v", f"{CGROUPS}:/host-cgroups")
SEEN_INSIDE = "/host-cgroups/" if IS_UNIFIED else "/host-cgroups/*/"
"""The hierarchies for a shell in a container with `HOST_CGROUPS`, each with a slash at its end."""


def hierarchies() -> list[Path]:
    """The directories at which a path of `own_cgroup` begins."""
    if IS_UNIFIED:
        return [CGROUPS]
    return sorted(path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink())


def named_hierarchies() -> set[str]:
    """The names of those hierarchies of version 1 that have one."""
    found = (line.split(":")[1] for line in Path("/proc/self/cgroup").read_text().splitlines())
    return {each.removeprefix("name=") for each in found if each.startswith("name=")}


def end_hierarchy(name: str) -> None:
    """Make the kernel give up a named hierarchy that is mounted no more.

    At its last unmount it stays where a cgroup that was removed a moment ago is not quite gone, and then until it is
    unmounted once more, a moment after it was mounted. It goes a moment after that, and not if it is mounted meanwhile.
    """
    script = f"mount -t cgroup -o none,name={name} none /mnt && sleep 0.3 && umount /mnt && sleep 0.3"

    def is_gone() -> bool:
        if name in named_hierarchies():
            subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True)
        return name not in named_hierarchies()

    wait_until(is_gone, f"the end of the hierarchy {name}")


def own_cgroup(pid: int) -> str:
    """The path of a process' cgroup by which engines and people know it; it begins with a slash."""
    paths = cgroups(pid)
    return paths["pids"] if "pids" in paths else paths[""]
