"""What the sensor tiers need, each really tried: the process connector, the eBPF programs, and what they stand on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from agent.doctor.base import Answer, Surroundings, Verdict, kernel_version, off, ok
from collectors.bounded import read_bounded
from collectors.ebpf.sensor import BTF, OBJECT
from collectors.errors import CollectorError
from collectors.listening import SHARE, watch_limit

AREA = "sensors"
LEAST_KERNEL = (5, 8)
ENOUGH_WATCHES = 1024
_PARANOID_FOR_ROOT = 2  # Documentation/admin-guide/sysctl/kernel.rst; Debian and Ubuntu know 3 and 4
_TRACEPOINTS = ("kernel/tracing", "kernel/debug/tracing")


def check(surroundings: Surroundings) -> Iterator[Answer]:
    """From what eBPF needs up to its trial, which decides what ``auto`` takes; then what it steps down to."""
    worst = Verdict.FAILED if surroundings.config.sensor == "ebpf" else Verdict.WARNING
    yield _kernel(surroundings, worst)
    yield _btf(surroundings, worst)
    yield _object(worst)
    yield _library(surroundings, worst)
    yield _lockdown(surroundings, worst)
    yield _single_tracepoints(surroundings)
    yield _trial(surroundings, worst)
    yield _netlink(surroundings)
    yield _object_watches(surroundings)


def _netlink(surroundings: Surroundings) -> Answer:
    if surroundings.config.sensor == "poll":
        return off(AREA, "process connector", "the configuration asks for polling")
    try:
        return ok(AREA, "process connector", surroundings.try_connector())
    except CollectorError as error:
        is_wanted = surroundings.config.sensor == "netlink"
        costs = "Without process events the sensor polls: what ends between two sweeps is not seen."
        mend = "It needs the host's pid and net namespace, CAP_NET_ADMIN before kernel 6.6, and CONFIG_PROC_EVENTS."
        verdict = Verdict.FAILED if is_wanted else Verdict.WARNING
        return Answer(AREA, "process connector", verdict, str(error), costs, mend)


def _object_watches(surroundings: Surroundings) -> Answer:
    """Of the files of the host, for the tiers that do not see one opened (``collectors.listening``)."""
    name = "inotify watches"
    if surroundings.config.sensor == "ebpf":
        return off(AREA, name, "the eBPF tier needs none")
    limit = watch_limit(surroundings.roots.proc)
    try:
        found = surroundings.try_inotify()
    except CollectorError as error:
        costs = "Below the eBPF tier: who holds a watched file of the host is seen at sweeps only."
        mend = "sysctl fs.inotify.max_user_instances: each process of root that watches files takes one."
        return Answer(AREA, name, Verdict.WARNING, str(error), costs, mend)
    if limit >= ENOUGH_WATCHES:
        return ok(AREA, name, f"{found}, {limit} may be taken")
    costs = "Below the eBPF tier: what is changed in some directories of the host is not looked for."
    mend = f"sysctl fs.inotify.max_user_watches={ENOUGH_WATCHES * SHARE} or more: an eighth of it is taken."
    return Answer(AREA, name, Verdict.WARNING, f"{limit} may be taken", costs, mend)


def _kernel(surroundings: Surroundings, worst: Verdict) -> Answer:
    number = kernel_version(surroundings.kernel)
    if number is not None and number >= LEAST_KERNEL:
        return ok(AREA, "kernel", surroundings.kernel)
    costs = "The eBPF tier needs 5.8 (ring buffer, task iterator)."
    return Answer(AREA, "kernel", worst, surroundings.kernel, costs, "Upgrade the kernel, or be content with netlink.")


def _btf(surroundings: Surroundings, worst: Verdict) -> Answer:
    path = f"{surroundings.roots.sys}/{BTF.relative_to('/sys')}"
    if os.path.exists(path):
        return ok(AREA, "BTF", path)
    costs = "eBPF programs can't be fitted to this kernel: no eBPF tier."
    return Answer(AREA, "BTF", worst, f"{path} is not there", costs, "Use a kernel with CONFIG_DEBUG_INFO_BTF.")


def _object(worst: Verdict) -> Answer:
    if OBJECT.exists():
        return ok(AREA, "eBPF programs", f"{OBJECT.name}, {OBJECT.stat().st_size >> 10} KiB")
    costs = "There is nothing to load: no eBPF tier."
    mend = "Install the package built with clang and bpftool, or the published wheel."
    return Answer(AREA, "eBPF programs", worst, f"{OBJECT.name} is not in this installation", costs, mend)


def _library(surroundings: Surroundings, worst: Verdict) -> Answer:
    try:
        return ok(AREA, "libbpf", surroundings.try_library())
    except CollectorError as error:
        costs = "The programs can't be loaded: no eBPF tier."
        return Answer(AREA, "libbpf", worst, error.detail, costs, "Install libbpf 1.0 or later (Debian: libbpf1).")


def _lockdown(surroundings: Surroundings, worst: Verdict) -> Answer:
    data = _value(f"{surroundings.roots.sys}/kernel/security/lockdown")
    mode = re.search(r"\[(\w+)\]", data or "")
    if data is None:
        return ok(AREA, "lockdown", "not in this kernel, or its file can't be read; the trial decides")
    if mode is None or mode[1] != "confidentiality":
        return ok(AREA, "lockdown", mode[1] if mode is not None else data)
    costs = "The kernel refuses eBPF programs to read its memory: no eBPF tier."
    return Answer(AREA, "lockdown", worst, mode[1], costs, "Boot with lockdown=integrity.")


def _single_tracepoints(surroundings: Surroundings) -> Answer:
    """They cost other system calls nothing; the pair for all of them stands in, with a filter in the kernel."""
    name = "single tracepoints"
    paranoid = _value(f"{surroundings.roots.proc}/sys/kernel/perf_event_paranoid")
    if not any(os.path.isdir(f"{surroundings.roots.sys}/{each}/events/syscalls") for each in _TRACEPOINTS):
        costs = (
            "The eBPF tier watches all system calls at one tracepoint, with a filter that each call of anybody passes."
        )
        mend = "Mount tracefs at /sys/kernel/tracing, and build the kernel with CONFIG_FTRACE_SYSCALLS."
        return Answer(AREA, name, Verdict.WARNING, "tracefs shows no system calls", costs, mend)
    is_strict = paranoid is not None and paranoid.lstrip("-").isdigit() and int(paranoid) > _PARANOID_FOR_ROOT
    if is_strict and not surroundings.can("CAP_SYS_ADMIN"):
        costs = "As above: one tracepoint for all system calls."
        mend = "sysctl kernel.perf_event_paranoid=2, or CAP_SYS_ADMIN."
        return Answer(AREA, name, Verdict.WARNING, f"perf_event_paranoid is {paranoid}", costs, mend)
    return ok(AREA, name, f"to be had (perf_event_paranoid {paranoid or 'not known'})")


def _trial(surroundings: Surroundings, worst: Verdict) -> Answer:
    try:
        return ok(AREA, "eBPF trial", f"loaded and attached: {surroundings.try_ebpf()}")
    except CollectorError as error:
        costs = "What lives a moment only is not seen as it was; the netlink tier reads /proc after the fact."
        return Answer(AREA, "eBPF trial", worst, str(error), costs, "See what is missing above.")


def _value(path: str) -> str | None:
    try:
        return read_bounded(path, 4096, source=path).decode("ascii", "replace").strip()
    except CollectorError:
        return None
