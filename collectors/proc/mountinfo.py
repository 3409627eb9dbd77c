"""``/proc/PID/mountinfo``: the mount table of a task's mount namespace, as far as it is below the task's root.

Source: proc_pid_mountinfo(5), ``fs/proc_namespace.c`` (show_mountinfo). Space, tab, newline, backslash and ``#`` are
octal escapes; any other byte may occur. The source is empty when somebody mounted with an empty one. A bind mount of a
deleted directory has ``//deleted`` at the end of its root.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from collectors.bounded import read_bounded
from collectors.errors import Malformed
from collectors.facts import Mount

SOURCE = "proc/mountinfo"
MAX_BYTES = 8 << 20
_SHARED_BYTES = 1024
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_MAX_DIGITS = 10
_FIXED_FIELDS = 6
_FIELDS_AFTER_SEPARATOR = 3


def unescape(field: bytes) -> bytes:
    r"""A field with its octal escapes (``\040``) undone; any other backslash stays."""
    if b"\\" not in field:
        return field
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 8),)), field)


def parse_mountinfo(data: bytes) -> tuple[Mount, ...]:
    """The mounts in the kernel's order; raises ``Malformed``."""
    lines = data.split(b"\n")
    if lines.pop():
        raise Malformed(SOURCE, "the last line has no end")
    return tuple(map(_parse_line, lines))


def _parse_line(line: bytes) -> Mount:
    """One mount; what many mounts have in common is shared between them."""
    fixed, separator, rest = line.partition(b" - ")
    fields = fixed.split(b" ")
    tail = rest.split(b" ", 2)
    if not separator or len(fields) < _FIXED_FIELDS or len(tail) != _FIELDS_AFTER_SEPARATOR:
        raise Malformed(SOURCE, "too few fields")
    mnt_id, parent_id, device, root, point, options = fields[:_FIXED_FIELDS]
    fs_type, source, super_options = tail
    shared, master = _parse_propagation(fields[_FIXED_FIELDS:])
    return Mount(
        mnt_id=_number(mnt_id),
        parent_id=_number(parent_id),
        device=_parse_device(device),
        root=_shared(unescape(root)),
        point=_shared(unescape(point)),
        options=_parse_options(options),
        shared=shared,
        master=master,
        fs_type=_shared(unescape(fs_type)),
        source=_shared(unescape(source)),
        super_options=_parse_options(super_options) if len(super_options) <= _SHARED_BYTES else _split(super_options),
    )


@lru_cache(maxsize=256)  # most are the parent of others
def _number(field: bytes) -> int:
    """A decimal that fits the kernel's int."""
    if not field.isdigit() or len(field) > _MAX_DIGITS:
        raise Malformed(SOURCE, "a field that is no number")
    return int(field)


@lru_cache(maxsize=1024)
def _parse_device(field: bytes) -> int:
    """``major:minor`` as ``st_dev`` encodes it."""
    major, colon, minor = field.partition(b":")
    if not colon:
        raise Malformed(SOURCE, "a device that is not major:minor")
    try:
        return os.makedev(_number(major), _number(minor))
    except OverflowError as error:
        raise Malformed(SOURCE, "a device number that is too large") from error


def _parse_propagation(fields: list[bytes]) -> tuple[int | None, int | None]:
    """The peer groups of ``shared:N`` and ``master:N``; other optional fields are passed over."""
    shared = master = None
    for field in fields:
        tag, _, value = field.partition(b":")
        if tag == b"shared":
            shared = _number(value)
        elif tag == b"master":
            master = _number(value)
    return shared, master


def _split(field: bytes) -> tuple[bytes, ...]:
    """Options, separated by commas; a comma inside one is escaped."""
    return tuple(map(unescape, field.split(b",")))


_parse_options = lru_cache(maxsize=2048)(_split)


@lru_cache(maxsize=8192)
def _intern(value: bytes) -> bytes:
    """The first of equal values (a flyweight that evicts the least recently used)."""
    return value


def _shared(value: bytes) -> bytes:
    """As ``_intern``, for values of ordinary size."""
    return _intern(value) if len(value) <= _SHARED_BYTES else value


def read_mountinfo(dir_fd: int) -> tuple[Mount, ...]:
    """The mounts that the task whose directory ``dir_fd`` is can reach; raises a ``CollectorError`` kind."""
    return parse_mountinfo(read_bounded(b"mountinfo", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))
