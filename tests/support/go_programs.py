"""Programs as Go links them, as far as the section that tells their package goes."""

from __future__ import annotations

import struct


def build_information(package: bytes, *, flags: int = 2) -> bytes:
    """The section ``.go.buildinfo`` as Go 1.18 and later write it."""
    modules = b"x" * 16 + b"path\t" + package + b"\nmod\t" + package + b"\tv1\n" + b"y" * 16
    head = b"\xff Go buildinf:" + bytes([8, flags]) + bytes(16)
    return head + _text(b"go1.19.8") + _text(modules)


def program(section: bytes, name: bytes = b".go.buildinfo") -> bytes:
    """An ELF file with this section, and the one that holds their names."""
    names = b"\0" + name + b"\0.shstrtab\0"
    sections_at = 64 + len(section) + len(names)
    head = struct.pack("<4sBB34xQ10xHHH", b"\x7fELF", 2, 1, sections_at, 64, 3, 2)
    table = bytes(64) + _section(1, 64, len(section)) + _section(len(name) + 2, 64 + len(section), len(names))
    return head + section + names + table


def _section(name_at: int, at: int, size: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name_at, 1, 0, 0, at, size, 0, 0, 16, 0)


def _text(data: bytes) -> bytes:
    length, head = len(data), b""
    while length >= 0x80:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + data
