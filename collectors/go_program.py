"""What a program written in Go is, whatever its file is called: the package of its ``main``.

The linker puts it into the section ``.go.buildinfo``, which ``strip`` leaves alone and no name, path or version
changes. Sources: ``debug/buildinfo`` of Go's library, elf(5). Only the form since Go 1.18 is read, where the text
stands in the section itself.
"""

from __future__ import annotations

import os
import struct

from collectors.errors import Malformed, from_os_error

SOURCE = "go build information"
MAX_SECTIONS = 512
MAX_NAMES_BYTES = 1 << 16
MAX_SECTION_BYTES = 1 << 16

# elf(5): Elf64_Ehdr (what is left out is padded), Elf64_Shdr
_HEADER = struct.Struct("<4sBB34xQ10xHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_ELF, _64_BIT, _LITTLE_ENDIAN = b"\x7fELF", 2, 1
_NAME = b".go.buildinfo"
# debug/buildinfo.readRawBuildInfo
_MAGIC = b"\xff Go buildinf:"
_FLAGS_AT, _TEXT_AT = 15, 32
_IS_INLINE = 0x2
_SENTINEL_BYTES = 16
_MAX_VARINT_BYTES = 4


def parse_main_package(section: bytes) -> bytes | None:
    """The package path that ``.go.buildinfo`` tells; ``None`` in the form before Go 1.18, or where none is told."""
    if not section.startswith(_MAGIC) or len(section) < _TEXT_AT:
        raise Malformed(SOURCE, "not the section's mark")
    if not section[_FLAGS_AT] & _IS_INLINE:
        return None
    _, after = _text(section, _TEXT_AT)  # the version of Go
    modules, _ = _text(section, after)
    for line in modules[_SENTINEL_BYTES:-_SENTINEL_BYTES].split(b"\n"):
        if line.startswith(b"path\t"):
            return line[5:]
    return None


def read_main_package(fd: int) -> bytes | None:
    """The package of the program open at ``fd``; ``None`` for what is no 64-bit little-endian ELF file or not Go's.

    Raises ``Malformed`` and what reading raises.
    """
    head = _read(fd, 0, _HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, bits, order, table_at, size, count, names_index = _HEADER.unpack(head)
    if (magic, bits, order) != (_ELF, _64_BIT, _LITTLE_ENDIAN) or not table_at:
        return None
    if size != _SECTION.size or count > MAX_SECTIONS or names_index >= count:
        raise Malformed(SOURCE, "a table of sections of the wrong form")
    table = _read(fd, table_at, size * count)
    if len(table) < size * count:
        raise Malformed(SOURCE, "a table of sections that is cut off")
    sections = list(_SECTION.iter_unpack(table))
    names = _read(fd, sections[names_index][4], min(sections[names_index][5], MAX_NAMES_BYTES))
    for name_at, _, _, _, at, length, *_ in sections:
        if names[name_at : name_at + len(_NAME) + 1] == _NAME + b"\0":
            return parse_main_package(_read(fd, at, min(length, MAX_SECTION_BYTES)))
    return None


def _text(section: bytes, at: int) -> tuple[bytes, int]:
    """A text with its length before it (a varint), and where it ends."""
    length = 0
    for index, byte in enumerate(section[at : at + _MAX_VARINT_BYTES]):
        length |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            start = at + index + 1
            if start + length > len(section):
                break
            return section[start : start + length], start + length
    raise Malformed(SOURCE, "a text of the wrong length")


def _read(fd: int, at: int, size: int) -> bytes:
    try:
        return os.pread(fd, size, at)
    except OSError as error:
        raise from_os_error(SOURCE, error) from error
    except OverflowError as error:
        raise Malformed(SOURCE, "an offset beyond every file") from error
