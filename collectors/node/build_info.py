"""The version of a Go program as its linker wrote it into the file; the program is not run.

Source: ``debug/buildinfo`` of Go 1.18 and later: the ELF section ``.go.buildinfo`` holds, from byte 32 on, the go
version and the module information (paths, versions, ``-ldflags``) as text. Programs that were built with ``-trimpath``
or from a work tree often say ``(devel)`` there: then nothing is known. Reads the section headers and one section, both
bounded.
"""

from __future__ import annotations

import os
import re
import stat
import struct

from collectors.errors import Denied, Malformed, TooLarge, from_os_error
from collectors.hosttree import open_below

SOURCE = "go build info"
MAX_SECTION_BYTES = 256 << 10
MAX_NAMES_BYTES = 64 << 10

_HEADER_BYTES = 64
_MAGIC = b"\xff Go buildinf:"
_ELF64_LITTLE = b"\x7fELF\x02\x01"
_SECTION = struct.Struct("<IIQQQQIIQQ")
_MAX_SECTIONS = 256
_LINKED = re.compile(rb"-X[ =][\\'\"]*[\w./-]{0,128}\b[vV]ersion=v?(\d[\w.+~-]{0,63})")
_MODULE = re.compile(rb"\nmod\t[^\t\n]{1,256}\tv(\d[\w.+-]{0,63})")


def parse_build_info(section: bytes) -> str:
    """The program's own version, from what the linker was told or from the module; raises ``Malformed``."""
    if not section.startswith(_MAGIC):
        raise Malformed(SOURCE, "not the section of Go")
    found = _LINKED.search(section) or _MODULE.search(section)
    if found is None:
        raise Malformed(SOURCE, "no version in it")
    return found[1].decode("ascii", "replace")


def read_build_version(root: str, path: bytes) -> str:
    """The version of the Go program ``path`` of the host; raises a ``CollectorError`` kind."""
    with open_below(root, path, follow_links=True) as (found, _):
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise Denied(SOURCE, "not a regular file")
        fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return parse_build_info(_read_section(fd))
        except OSError as error:
            raise from_os_error(SOURCE, error) from error
        finally:
            os.close(fd)


def _read_section(fd: int) -> bytes:
    """The bytes of ``.go.buildinfo`` (elf(5))."""
    header = os.pread(fd, _HEADER_BYTES, 0)
    if len(header) < _HEADER_BYTES or not header.startswith(_ELF64_LITTLE):
        raise Malformed(SOURCE, "not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", header, 40)
    size, count, names_index = struct.unpack_from("<HHH", header, 58)
    if size != _SECTION.size or count > _MAX_SECTIONS or names_index >= count:
        raise Malformed(SOURCE, "odd section headers")
    data = os.pread(fd, size * count, table)
    if len(data) < size * count:
        raise Malformed(SOURCE, "section headers that are cut off")
    sections = [_SECTION.unpack_from(data, index * size) for index in range(count)]
    names = os.pread(fd, min(sections[names_index][5], MAX_NAMES_BYTES), sections[names_index][4])
    for section in sections:
        if names[section[0] :].startswith(b".go.buildinfo\0"):
            if section[5] > MAX_SECTION_BYTES:
                raise TooLarge(SOURCE, f"a section of {section[5]} bytes")
            return os.pread(fd, section[5], section[4])
    raise Malformed(SOURCE, "not a Go program")
