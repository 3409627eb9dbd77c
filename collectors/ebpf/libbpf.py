"""A thin binding of ``libbpf.so.1`` through ctypes: only what the sensor uses, every error with libbpf's own words.

Source: ``bpf.h`` and ``libbpf.h`` of libbpf 1.0 and later: a function that returns a pointer gives NULL and sets errno,
one that returns a number gives it negative. What libbpf prints (the verifier's log among it) is kept, the last lines
of it, and becomes the detail of the error.

Concurrency: an object is opened, loaded and attached by one thread. Map operations and ``run`` may come from any.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from collectors.ebpf.interface import FUNCTIONS, LinkInfo, Print, Sample, TestRun
from collectors.errors import CollectorError, Unsupported, from_os_error

SOURCE = "ebpf"
LIBRARY = "libbpf.so.1"

_LINE_BYTES = 4096
_KEPT_LINES = 6
_READ_BYTES = 1 << 20
_DETAIL_CHARACTERS = 400
_WARNING = 0  # enum libbpf_print_level


@dataclass(slots=True, eq=False)
class _Link:
    """What attaches a program; ``pointer`` is ``None`` while that could not be mended.

    ``id`` is the kernel's, 0 where it has none for such a link (perf events before 5.15).
    """

    pointer: int | None
    program: str
    tracepoint: tuple[str, str] | None
    id: int


class _Library:
    """The loaded library, and the last lines that it printed."""

    def __init__(self) -> None:
        try:
            self.call = ctypes.CDLL(LIBRARY, use_errno=True)
        except OSError as error:
            raise Unsupported(SOURCE, f"{LIBRARY} is not installed ({error})") from error
        for name, result, arguments in FUNCTIONS:
            try:
                function = getattr(self.call, name)
            except AttributeError as error:
                raise Unsupported(SOURCE, f"{LIBRARY} has no {name}: too old") from error
            function.restype = None if result is None.__class__ else result
            function.argtypes = arguments
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._format = ctypes.CDLL(None).vsnprintf
        self._format.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)
        self._print = Print(self._keep)  # the library keeps calling it: it must live as long
        self.call.libbpf_set_print(self._print)

    def _keep(self, level: int, template: bytes, values: int) -> int:
        """Format what libbpf wants printed, and keep the end of it."""
        if level == _WARNING:
            buffer = ctypes.create_string_buffer(1 << 20)
            self._format(buffer, len(buffer), template, values)
            text = buffer.value.decode("utf-8", "replace")
            self.lines.extend(line.strip() for line in text[-_LINE_BYTES:].splitlines() if line.strip())
        return 0

    def error(self, what: str, number: int) -> CollectorError:
        """The error of the kind that ``number`` stands for, in libbpf's own words."""
        said = " | ".join(self.lines)[-_DETAIL_CHARACTERS:]
        self.lines.clear()
        kind = type(from_os_error(SOURCE, OSError(number, os.strerror(number))))
        return kind(SOURCE, f"{what}: {os.strerror(number)}" + (f": {said}" if said else ""))

    def number(self, what: str, result: int) -> int:
        """A result that is no error."""
        if result < 0:
            raise self.error(what, -result)
        return result

    def pointer(self, what: str, result: int | None) -> int:
        """A pointer that is not NULL."""
        if not result:
            raise self.error(what, ctypes.get_errno() or errno.EINVAL)
        return result


@lru_cache(maxsize=1)
def load_library() -> _Library:
    """The library, loaded once; raises ``Unsupported``."""
    return _Library()


class BpfMap(NamedTuple):
    """One table, by its descriptor."""

    name: str
    fd: int
    value_bytes: int

    def update(self, key: bytes, value: bytes) -> None:
        """Put a value; raises a ``CollectorError`` kind."""
        library = load_library()
        library.number(f"map {self.name}", library.call.bpf_map_update_elem(self.fd, key, value, 0))

    def read(self, key: bytes) -> bytes | None:
        """A value of a table that is not per CPU; ``None`` where the key has none."""
        library = load_library()
        buffer = ctypes.create_string_buffer(self.value_bytes)
        result = library.call.bpf_map_lookup_elem(self.fd, key, buffer)
        if result == -errno.ENOENT:
            return None
        library.number(f"map {self.name}", result)
        return buffer.raw

    def delete(self, key: bytes) -> None:
        """Take a value away, if it is there."""
        library = load_library()
        result = library.call.bpf_map_delete_elem(self.fd, key)
        if result != -errno.ENOENT:
            library.number(f"map {self.name}", result)

    def read_sum(self, index: int, cpus: int) -> int:
        """The sum over all CPUs of a counter of a per-CPU array."""
        library = load_library()
        buffer = ctypes.create_string_buffer(8 * cpus)
        key = index.to_bytes(4, "little")
        library.number(f"map {self.name}", library.call.bpf_map_lookup_elem(self.fd, key, buffer))
        return sum(int.from_bytes(buffer.raw[at : at + 8], "little") for at in range(0, 8 * cpus, 8))


class BpfObject:
    """One object file: opened, loaded, attached, and closed again, which detaches all of it."""

    def __init__(self, path: Path) -> None:
        self._library = load_library()
        self._links: list[_Link] = []
        self._iterators: dict[str, int] = {}
        self._fds: dict[str, int] = {}
        if not path.is_file():
            raise Unsupported(SOURCE, f"{path.name} is missing from this installation")
        self._library.lines.clear()
        opened = self._library.call.bpf_object__open_file(os.fsencode(path), None)
        self._object: int | None = self._library.pointer(f"open {path.name}", opened)
        self._programs = self._list_programs()

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of the programs."""
        return tuple(self._programs)

    def resize(self, name: str, entries: int) -> None:
        """Another size for a table, before ``load``."""
        found = self._find_map(name)
        self._library.number(f"map {name}", self._library.call.bpf_map__set_max_entries(found, entries))

    def load(self, without: Collection[str] = ()) -> None:
        """Have the kernel verify and take all programs but these; raises with what the verifier said."""
        for name, program in self._programs.items():
            self._library.call.bpf_program__set_autoload(program, name not in without)
        self._library.number("load", self._library.call.bpf_object__load(self._object))

    def attach(self, name: str) -> None:
        """Attach a program to what its section names."""
        self._links.append(self._attach(name, None))

    def attach_tracepoint(self, name: str, category: str, event: str) -> None:
        """Attach a program to one more tracepoint; this one goes through perf_event_open(2) and tracefs."""
        self._links.append(self._attach(name, (category, event)))

    def _attach(self, name: str, tracepoint: tuple[str, str] | None) -> _Link:
        if tracepoint is None:
            made = self._library.call.bpf_program__attach(self._programs[name])
        else:
            where = (part.encode() for part in tracepoint)
            made = self._library.call.bpf_program__attach_tracepoint(self._programs[name], *where)
        pointer = self._library.pointer(f"attach {name}" + (f" to {tracepoint[1]}" if tracepoint else ""), made)
        return _Link(pointer, name, tracepoint, self._link_id(pointer))

    def _link_id(self, pointer: int | None) -> int:
        """The kernel's number of a link; 0 when its descriptor is closed, or is no link's."""
        if pointer is None:
            return 0
        info, size = LinkInfo(), ctypes.c_uint32(ctypes.sizeof(LinkInfo))
        descriptor = self._library.call.bpf_link__fd(pointer)
        result = self._library.call.bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(size))
        return int(info.id) if result == 0 else 0

    def attach_lost(self) -> tuple[str, ...]:
        """Attach anew what somebody has detached, by closing our descriptor of it; the names of what that was.

        What can't be attached raises after the others were tried, and is tried again at the next call.
        """
        lost = [link for link in self._links if link.id and self._link_id(link.pointer) != link.id]
        failure: CollectorError | None = None
        for link in lost:
            if link.pointer is not None:
                self._library.call.bpf_link__disconnect(link.pointer)  # its descriptor may be somebody else's by now
                self._library.call.bpf_link__destroy(link.pointer)
                link.pointer = None
            try:
                again = self._attach(link.program, link.tracepoint)
            except CollectorError as error:
                failure = error
                continue
            link.pointer, link.id = again.pointer, again.id
        if failure is not None:
            raise failure
        return tuple(link.tracepoint[1] if link.tracepoint else link.program for link in lost)

    def detach_since(self, count: int) -> None:
        """Take back the links made after there were ``count``."""
        while len(self._links) > count:
            if (pointer := self._links.pop().pointer) is not None:
                self._library.call.bpf_link__destroy(pointer)

    @property
    def link_count(self) -> int:
        """How many links hold."""
        return len(self._links)

    def read_iterator(self, name: str) -> bytes:
        """One pass of an iterator: all that its program wrote."""
        return b"".join(self.iterate(name))

    def iterate(self, name: str) -> Iterator[bytes]:
        """The same in parts, as the kernel goes on: it never holds more than one of them."""
        descriptor = self._open_iterator(name)
        try:
            while part := os.read(descriptor, _READ_BYTES):
                yield part
        finally:
            os.close(descriptor)

    def _open_iterator(self, name: str) -> int:
        link = self._iterators.get(name)
        if link is None:
            made = self._library.call.bpf_program__attach_iter(self._programs[name], None)
            link = self._iterators[name] = self._library.pointer(f"attach {name}", made)
        link_fd = self._library.call.bpf_link__fd(link)
        return self._library.number(f"iterate {name}", self._library.call.bpf_iter_create(link_fd))

    def run(self, name: str, context: bytes) -> int:
        """Run a raw tracepoint's program once, by hand, on this context; what it returned."""
        fd = self._fds.get(name)
        if fd is None:
            fd = self._fds[name] = self._library.call.bpf_program__fd(self._programs[name])
        options = TestRun(sz=ctypes.sizeof(TestRun), ctx_in=context, ctx_size_in=len(context))
        self._library.number(f"run {name}", self._library.call.bpf_prog_test_run_opts(fd, ctypes.byref(options)))
        return int(options.retval)

    def map(self, name: str) -> BpfMap:
        """A table of the loaded object."""
        found = self._find_map(name)
        size = self._library.call.bpf_map__value_size(found)
        return BpfMap(name, self._library.number(f"map {name}", self._library.call.bpf_map__fd(found)), size)

    def close(self) -> None:
        """Detach everything and give it back."""
        self.detach_since(0)
        for link in self._iterators.values():
            self._library.call.bpf_link__destroy(link)
        self._iterators.clear()
        if self._object is not None:
            self._library.call.bpf_object__close(self._object)
            self._object = None

    def _find_map(self, name: str) -> int:
        found = self._library.call.bpf_object__find_map_by_name(self._object, name.encode())
        return self._library.pointer(f"map {name}", found)

    def _list_programs(self) -> dict[str, int]:
        found: dict[str, int] = {}
        program = self._library.call.bpf_object__next_program(self._object, None)
        while program:
            found[self._library.call.bpf_program__name(program).decode()] = program
            program = self._library.call.bpf_object__next_program(self._object, program)
        return found


class RingBuffer:
    """The ring that the kernel fills. ``consume`` calls ``take`` with each record, in order, in the caller's thread."""

    def __init__(self, ring: BpfMap, take: Callable[[bytes], None]) -> None:
        self._library = load_library()
        self._take = take
        self._callback = Sample(self._sample)
        self._failure: BaseException | None = None
        made = self._library.call.ring_buffer__new(ring.fd, self._callback, None, None)
        self._ring: int | None = self._library.pointer("ring buffer", made)

    def fileno(self) -> int:
        """Readable when there is a record."""
        return int(self._library.call.ring_buffer__epoll_fd(self._ring))

    def consume(self) -> int:
        """Take what is there; how many. What ``take`` raises leaves here, after libbpf has come to an end."""
        count = self._library.call.ring_buffer__consume(self._ring)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return self._library.number("ring buffer", count)

    def close(self) -> None:
        """Give it back."""
        if self._ring is not None:
            self._library.call.ring_buffer__free(self._ring)
            self._ring = None

    def _sample(self, _context: int, data: int, size: int) -> int:
        """An exception must not unwind through libbpf: it is kept, and the ring is left at this record."""
        with contextlib.suppress(BaseException):
            try:
                self._take(ctypes.string_at(data, size))
            except BaseException as error:
                self._failure = error
                raise
            return 0
        return -errno.ECANCELED


def has_tracepoint(btf: Path, name: str) -> bool:
    """Whether the running kernel has a tracepoint that a BTF program can attach to (its type is ``btf_trace_NAME``)."""
    return b"\0btf_trace_" + name.encode() + b"\0" in btf.read_bytes()


def possible_cpus() -> int:
    """How many values a per-CPU table has."""
    library = load_library()
    return library.number("cpus", library.call.libbpf_num_possible_cpus())
