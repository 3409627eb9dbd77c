"""Versions of installed packages, from the databases of dpkg and rpm; no program is run.

Sources: deb822(5) for ``/var/lib/dpkg/status``; for rpm the table of rpm 4.16 and later (sqlite), whose values are
header blobs: two counts, an index of 16-byte entries, the data (``lib/header.cc``). Older rpm databases (Berkeley DB,
ndb) are not understood: nothing is found there.
"""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing

from collectors.errors import CollectorError, Malformed
from collectors.host import Roots
from collectors.hosttree import open_below, read_below

DPKG_STATUS = b"/var/lib/dpkg/status"
RPM_DATABASES = (b"/usr/lib/sysimage/rpm/rpmdb.sqlite", b"/var/lib/rpm/rpmdb.sqlite")
MAX_STATUS_BYTES = 64 << 20
MAX_HEADER_BYTES = 8 << 20

_VERSION_TAG, _RELEASE_TAG = 1001, 1002
_STRING_TYPE = 6
_ENTRY = struct.Struct(">IIII")
_MAX_ENTRIES = 4096


def parse_dpkg_status(data: bytes, names: Iterable[str]) -> dict[str, str]:
    """The versions of those of the named packages that are installed."""
    wanted = b"|".join(re.escape(name.encode()) for name in names)
    found: dict[str, str] = {}
    for match in re.finditer(rb"(?:\A|\n)Package: (" + wanted + rb")\n((?:[^\n]+\n)*)", data):
        fields = match[2]
        version = re.search(rb"^Version: ([^\n]{1,256})$", fields, re.MULTILINE)
        if version is not None and re.search(rb"^Status: \S+ \S+ installed$", fields, re.MULTILINE):
            found[match[1].decode()] = version[1].decode("utf-8", "replace").strip()
    return found


def parse_rpm_header(blob: bytes) -> str:
    """``version-release`` of a package's header; raises ``Malformed``."""
    if not 8 <= len(blob) <= MAX_HEADER_BYTES:  # noqa: PLR2004 (the two counts)
        raise Malformed("rpmdb", "not a header")
    count, size = struct.unpack_from(">II", blob)
    start = 8 + count * _ENTRY.size
    if count > _MAX_ENTRIES or start + size > len(blob):
        raise Malformed("rpmdb", "a header that is cut off")
    texts: dict[int, str] = {}
    for index in range(count):
        tag, kind, offset, _ = _ENTRY.unpack_from(blob, 8 + index * _ENTRY.size)
        if tag in (_VERSION_TAG, _RELEASE_TAG) and kind == _STRING_TYPE and offset < size:
            texts[tag] = blob[start + offset : start + size].split(b"\0", 1)[0][:256].decode("utf-8", "replace")
    if len(texts) != 2:  # noqa: PLR2004 (version and release)
        raise Malformed("rpmdb", "a header without version and release")
    return f"{texts[_VERSION_TAG]}-{texts[_RELEASE_TAG]}"


def read_packages(roots: Roots, names: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """(version, database) of those of the named packages that are installed; nothing where no database is there."""
    try:
        data = read_below(roots.host, DPKG_STATUS, MAX_STATUS_BYTES)
    except CollectorError:
        return _read_rpm(roots, names)
    return {name: (version, "dpkg") for name, version in parse_dpkg_status(data, names).items()}


def _read_rpm(roots: Roots, names: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for path in RPM_DATABASES:
        try:
            with (
                open_below(roots.host, path, follow_links=True) as (fd, _),
                # immutable: nothing is locked, and no journal is looked for beside it
                closing(sqlite3.connect(f"file:/proc/self/fd/{fd}?mode=ro&immutable=1", uri=True)) as database,
            ):
                for name in names:
                    row = database.execute(
                        "SELECT p.blob FROM Packages p JOIN Name n ON n.hnum = p.hnum WHERE n.key = ? LIMIT 1", (name,)
                    ).fetchone()
                    if row is not None and isinstance(row[0], bytes):
                        found[name] = (parse_rpm_header(row[0]), "rpm")
        except (CollectorError, sqlite3.Error):
            continue
        break
    return found
