"""Fake /proc trees, built from a dict literal: bytes are files, dicts directories, ``Link`` a symbolic link.

What the kernel makes of a magic link cannot be faked with files, but what the readers use of it can: the text of a
namespace link is read, never followed, and ``root``, ``cwd`` and ``exe`` may lead to real files of the test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

HOST_NAMESPACES = {
    "mnt": 4026531832,
    "pid": 4026531836,
    "net": 4026531833,
    "ipc": 4026531839,
    "uts": 4026531838,
    "user": 4026531837,
    "cgroup": 4026531835,
    "time": 4026531834,
}


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link with this text, which need not lead anywhere."""

    text: str | bytes


Tree: TypeAlias = dict[str, "Tree | bytes | Link"]


def build_tree(root: Path, tree: Tree) -> str:
    """Make the tree below ``root`` and return its path, as ``Roots`` wants it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, entry in tree.items():
        match entry:
            case bytes():
                (root / name).write_bytes(entry)
            case Link(text):
                os.symlink(os.fsencode(text), os.fsencode(root / name))
            case dict():
                build_tree(root / name, entry)
    return str(root)


def stat_line(
    pid: int,
    name: bytes = b"sleep",
    *,
    parent_pid: int = 1,
    flags: int = 4194304,
    start_ticks: int = 5000,
    image_mark: tuple[int, int, int] = (94309123, 94309999, 140722),
) -> bytes:
    """One line of ``/proc/PID/stat``."""
    head = b"%d (%s) S %d %d %d 0 -1 %d 85 0 0 0 0 0 0 0 20 0 1 0 %d 5689344 245 18446744073709551615 %d %d %d "
    line = head % (pid, name, parent_pid, pid, pid, flags, start_ticks, *image_mark)
    return line + b"0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 2 3 4 5 6 7 0\n"


def status_lines(pid: int, *, parent_pid: int = 1, ns_pids: tuple[int, ...] = (), capabilities: int = 0) -> bytes:
    """The whole of ``/proc/PID/status`` of a kernel 6.x."""
    return (
        "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\n"
        f"Tgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t{parent_pid}\nTracerPid:\t0\n"
        "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t \n"
        "NStgid:\t1\n" + "NSpid:\t" + "\t".join(map(str, ns_pids or (pid,))) + "\nNSpgid:\t1\nNSsid:\t1\nKthread:\t0\n"
        "VmPeak:\t    2536 kB\nThreads:\t1\nSigQ:\t0/96365\nSigCgt:\t0000000000000000\n"
        f"CapInh:\t{0:016x}\nCapPrm:\t{capabilities:016x}\nCapEff:\t{capabilities:016x}\n"
        f"CapBnd:\t{capabilities:016x}\nCapAmb:\t{0:016x}\n"
        "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\nSpeculation_Store_Bypass:\tvulnerable\n"
    ).encode()


def namespace_links(**inodes: int) -> Tree:
    """The directory ``ns``: the host's namespaces but for those given."""
    return {kind: Link(f"{kind}:[{inode}]") for kind, inode in (HOST_NAMESPACES | inodes).items()}


def process_tree(pid: int, **entries: Tree | bytes | Link) -> Tree:
    """The directory of an ordinary process of the host, some of its entries replaced."""
    tree: Tree = {
        "stat": stat_line(pid),
        "status": status_lines(pid),
        "cgroup": b"0::/system.slice/ssh.service\n",
        "cmdline": b"sleep\x0060\x00",
        "mountinfo": b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n",
        "ns": namespace_links(),
        "root": Link("/"),
        "cwd": Link("/"),
        "exe": Link("/proc/self/exe"),
        "attr": {"current": b"unconfined\n"},
        "fd": {},
    }
    return tree | entries
