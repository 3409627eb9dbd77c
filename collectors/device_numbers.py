"""Which device a number stands for: the character devices that lead into the kernel or the host, and terminals. Pure.

A device node is judged by its number, never by its name: with CAP_MKNOD a container names its own nodes. Numbers are
``st_rdev`` as glibc encodes them (gnu_dev_major). From ``Documentation/admin-guide/devices.txt``, and
``include/linux/miscdevice.h`` for the minors of major 10. Devices whose number is given out at run time (vfio groups,
bsg, tee) are not in the table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CharacterDevice:
    """A dangerous character device: its usual name, and whether it is memory or a disk under another name."""

    name: str
    is_raw: bool


_ANY = -1
_DEVICES: dict[tuple[int, int], CharacterDevice] = {
    (1, 1): CharacterDevice("mem", is_raw=True),
    (1, 2): CharacterDevice("kmem", is_raw=True),
    (1, 4): CharacterDevice("port", is_raw=True),
    (10, 144): CharacterDevice("nvram", is_raw=True),
    (10, 196): CharacterDevice("vfio", is_raw=False),
    (10, 200): CharacterDevice("tun", is_raw=False),
    (10, 223): CharacterDevice("uinput", is_raw=False),
    (10, 231): CharacterDevice("snapshot", is_raw=True),
    (10, 232): CharacterDevice("kvm", is_raw=False),
    (10, 234): CharacterDevice("btrfs-control", is_raw=False),
    (10, 236): CharacterDevice("device-mapper", is_raw=True),
    (10, 237): CharacterDevice("loop-control", is_raw=False),
    (10, 238): CharacterDevice("vhost-net", is_raw=False),
    (10, 241): CharacterDevice("vhost-vsock", is_raw=False),
    (13, _ANY): CharacterDevice("input", is_raw=False),
    (21, _ANY): CharacterDevice("sg", is_raw=True),
    (162, _ANY): CharacterDevice("raw", is_raw=True),
    (202, _ANY): CharacterDevice("msr", is_raw=True),
}

_CONSOLE = (5, 1)
_VIRTUAL_AND_SERIAL = 4
_UNIX98_SLAVES = range(136, 144)


def major(rdev: int) -> int:
    """The major number (gnu_dev_major)."""
    return (rdev >> 8) & 0xFFF | (rdev >> 32) & ~0xFFF


def minor(rdev: int) -> int:
    """The minor number (gnu_dev_minor)."""
    return rdev & 0xFF | (rdev >> 12) & ~0xFF


def text(rdev: int) -> str:
    """``major:minor``, as lsblk and the device cgroup print it."""
    return f"{major(rdev)}:{minor(rdev)}"


def dangerous(rdev: int) -> CharacterDevice | None:
    """The character device behind the number when it is a dangerous one."""
    return _DEVICES.get((major(rdev), minor(rdev))) or _DEVICES.get((major(rdev), _ANY))


def is_pseudo_terminal(rdev: int) -> bool:
    """The slave of a pseudo-terminal; whose it is, its devpts tells, not its number."""
    return major(rdev) in _UNIX98_SLAVES


def is_console(rdev: int) -> bool:
    """The machine's own: a virtual console, a serial line, or the system's console."""
    return major(rdev) == _VIRTUAL_AND_SERIAL or (major(rdev), minor(rdev)) == _CONSOLE
