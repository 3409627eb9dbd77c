"""How the agent saves memory when it has more than it should: four steps, in a stated order, taken back one by one.

The order is by what is lost: first caches (time), then histories (what only looks back), then how often things are
looked up that alerts are enriched with, and last new processes of the host, which are counted. No alert is ever given
up for memory: what is raised is in the outbox before anything else.

Owned by the main thread, which calls ``turned``; any thread may read ``status``. A look costs some 10 us, once a
second; while the agent is over its limit caches are dropped again every ``AGAIN_SECONDS``, which takes some 50 ms.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from collectors.bounded import read_bounded
from collectors.errors import CollectorError

LOOK_SECONDS = 1.0
STEP_SECONDS = 3.0  # the time that a step is given before the next one
AGAIN_SECONDS = 10.0
CALM_SECONDS = 30.0  # below ``LOW`` for so long, a step is taken back
LOW = 0.9
SHARE_OF_CGROUP = 0.8  # the rest is for what is not resident in the process: tables and ring of the eBPF sensor
LIMIT_VARIABLE = "MEMORY_LIMIT"  # deploy/: the pod's limit, since a pod in its own cgroup namespace cannot find it
LARGE_BYTES = 128 * 1024  # what glibc begins with
_M_MMAP_THRESHOLD = -3  # <malloc.h>
_NO_LIMIT = 1 << 60  # cgroup v1 says "none" as the largest number of pages
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_OURS = ("agent.", "collectors.", "detectors.")
_CACHE = type(functools.lru_cache(lambda: None))


class Step(NamedTuple):
    """One thing to save by. ``begin`` and ``end`` are called by the main thread."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """The limit (``None``: there is none), which steps are taken now, and how often each was taken since the start."""

    limit_bytes: int | None = None
    steps: tuple[str, ...] = ()
    taken: Mapping[str, int] = field(default_factory=dict)
    refused_processes: int = 0


class MemoryGuard:
    """See the module. ``read_bytes`` is the resident memory, ``refused`` the processes that the last step refused."""

    def __init__(
        self,
        limit_bytes: int | None,
        steps: Sequence[Step],
        *,
        read_bytes: Callable[[], int],
        monotonic: Callable[[], float],
        refused: Callable[[], int],
    ) -> None:
        self._limit_bytes = limit_bytes
        self._steps = tuple(steps)
        self._read_bytes = read_bytes
        self._monotonic = monotonic
        self._refused = refused
        self._depth = 0
        self._taken = dict.fromkeys((each.name for each in steps), 0)
        self._look_at = 0.0
        self._step_at = 0.0
        self._again_at = 0.0
        self._low_since: float | None = None
        self._log = structlog.get_logger("memory")

    def status(self) -> MemoryStatus:
        """How it is now."""
        names = tuple(each.name for each in self._steps[: self._depth])
        return MemoryStatus(self._limit_bytes, names, self._taken.copy(), self._refused())

    def turned(self) -> None:
        """The main loop goes round: look, if it is time to."""
        now = self._monotonic()
        if self._limit_bytes is None or now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        used = self._read_bytes()
        if used > self._limit_bytes:
            self._low_since = None
            self._save(now, used)
        elif used < self._limit_bytes * LOW and self._depth:
            self._low_since = now if self._low_since is None else self._low_since
            if now - self._low_since >= CALM_SECONDS:
                self._low_since = now
                self._take_back(used)
        else:
            self._low_since = None

    def _save(self, now: float, used: int) -> None:
        if self._depth < len(self._steps) and now >= self._step_at:
            step = self._steps[self._depth]
            self._depth += 1
            self._taken[step.name] += 1
            self._step_at = now + STEP_SECONDS
            self._log.warning("memory_short", step=step.name, used_bytes=used, limit_bytes=self._limit_bytes)
            step.begin()
            release()
            self._again_at = now + AGAIN_SECONDS
        elif now >= self._again_at:
            self._again_at = now + AGAIN_SECONDS
            release()

    def _take_back(self, used: int) -> None:
        self._depth -= 1
        step = self._steps[self._depth]
        step.end()
        self._log.info("memory_enough", step=step.name, used_bytes=used, limit_bytes=self._limit_bytes)


def keep_large_blocks_apart() -> None:
    """Have malloc(3) give a large block back to the kernel when it is freed.

    Left to itself glibc keeps blocks as large as the largest that was ever freed, and that for each thread, megabytes
    after each sweep of a full node (mallopt(3)). Other C libraries have no such switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def release() -> None:
    """Drop the caches of our own code, and give what is free then back to the kernel (malloc_trim(3), glibc)."""
    for each in gc.get_objects():
        # type(), since isinstance() asks an object for its __class__, and a dead weak proxy raises at every question.
        if type(each) is _CACHE and each.__module__.startswith(_OURS) and each.cache_parameters()["maxsize"] != 1:
            each.cache_clear()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def read_resident() -> int:
    """The resident memory of this process (proc_pid_statm(5)); 0 when it cannot be read."""
    try:
        fields = read_bounded("/proc/self/statm", 256, source="proc/statm").split()
        return int(fields[1]) * _PAGE_BYTES
    except (CollectorError, ValueError, IndexError):
        return 0


def soft_limit(configured: int | None, environment: Mapping[str, str], proc: str, sys: str) -> int | None:
    """What is configured, else ``SHARE_OF_CGROUP`` of the least limit that is known; ``None`` where there is none."""
    if configured is not None:
        return configured
    found = [*_of_variable(environment), *_of_cgroups(proc, sys)]
    return int(min(found) * SHARE_OF_CGROUP) if found else None


def _of_variable(environment: Mapping[str, str]) -> Iterator[int]:
    value = environment.get(LIMIT_VARIABLE, "")
    if value.isascii() and value.isdigit() and 0 < int(value) < _NO_LIMIT:
        yield int(value)


def _of_cgroups(proc: str, sys: str) -> Iterator[int]:
    """The limits of our own cgroup and those above it (cgroups(7)); none where the path begins elsewhere (``/..``)."""
    try:
        lines = read_bounded(f"{proc}/self/cgroup", 65_536, source="proc/cgroup").split(b"\n")
    except CollectorError:
        return
    for line in lines:
        _, controllers, path = (*line.split(b":", 2), b"", b"")[:3]
        if controllers == b"":
            top, name = f"{sys}/fs/cgroup", "memory.max"
        elif b"memory" in controllers.split(b","):
            top, name = f"{sys}/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = os.fsdecode(path).strip("/").split("/")
        if ".." in parts:
            continue
        for depth in range(len(parts), 0, -1):
            limit = _read_limit("/".join((top, *parts[:depth], name)))
            if limit is not None:
                yield limit


def _read_limit(path: str) -> int | None:
    try:
        text = read_bounded(path, 64, source="cgroup limit").strip()
    except CollectorError:
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None
