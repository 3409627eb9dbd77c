import struct
from pathlib import Path
from typing import cast

import pytest

from collectors.ebpf import call_watch
from collectors.ebpf.acts import act_calls_by_number
from collectors.ebpf.calls import calls_by_number
from collectors.ebpf.libbpf import BpfMap, BpfObject
from collectors.errors import Denied, Gone

CALLS, ACTS = calls_by_number("x86_64"), act_calls_by_number("x86_64")


class Programs:
    """An object whose attachments are written down; it may refuse single tracepoints, or lack some."""

    def __init__(self, *, refuses: bool = False, lacks: str = "") -> None:
        self.attached: list[str] = []
        self._refuses = refuses
        self._lacks = lacks

    @property
    def link_count(self) -> int:
        return len(self.attached)

    def attach(self, name: str) -> None:
        self.attached.append(name)

    def attach_tracepoint(self, name: str, category: str, event: str) -> None:
        assert (name, category) == ("on_call", "syscalls")
        if self._refuses and len(self.attached) > len(call_watch.TRACEPOINTS) + 3:
            raise Denied("ebpf", "attach on_call to x: Permission denied: libbpf: said so")
        if self._lacks in event and self._lacks:
            raise Gone("ebpf", f"attach on_call to {event}: No such file or directory")
        self.attached.append(event)

    def detach_since(self, count: int) -> None:
        del self.attached[count:]


class Table:
    """A table that remembers what was put into it."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}

    def update(self, key: bytes, value: bytes) -> None:
        self.rows[struct.unpack("<I", key)[0]] = struct.unpack("<I", value)[0]


def attach(programs: Programs, without: frozenset[str] = frozenset()) -> str:
    return call_watch.attach(cast("BpfObject", programs), CALLS, ACTS, without=without)


def test_attaches_to_the_return_of_each_call() -> None:
    programs = Programs()
    assert "each watched system call" in attach(programs)
    assert {"sys_exit_setns", "sys_exit_umount", "sys_exit_openat", "on_signal"} <= set(programs.attached)
    assert "on_any_call" not in programs.attached


def test_attaches_to_all_calls_where_single_ones_are_refused_and_says_why() -> None:
    programs = Programs(refuses=True)
    assert attach(programs) == "one tracepoint for all system calls (those for single ones: Permission denied)"
    assert programs.attached == [*call_watch.TRACEPOINTS, "on_any_call"]


def test_goes_without_a_call_that_the_kernel_has_not_got_and_says_so() -> None:
    programs = Programs(lacks="kexec")
    assert attach(programs).endswith("this kernel has not got kexec_load, kexec_file_load")
    assert "sys_exit_reboot" in programs.attached


def test_attaches_to_all_calls_where_there_is_no_tracefs() -> None:
    programs = Programs(lacks="sys_exit")
    assert attach(programs) == "one tracepoint for all system calls (those for single ones: none is there)"
    assert programs.attached == [*call_watch.TRACEPOINTS, "on_any_call"]


def test_leaves_out_what_the_kernel_has_not_got() -> None:
    programs = Programs()
    attach(programs, frozenset({"on_change"}))
    assert "on_change" not in programs.attached
    assert "on_coarse_change" in programs.attached


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (
            (b"ctime_ns_xchg", b"inode_set_ctime_to_ts", b"io_uring_complete", b"io_uring_submit_req"),
            {"on_io_uring_asked_before"},
        ),
        ((b"io_uring_complete", b"io_uring_submit_sqe"), {"on_change", "on_coarse_change", "on_io_uring_asked"}),
    ],
)
def test_knows_what_the_kernel_has_not_got(tmp_path: Path, names: tuple[bytes, ...], missing: set[str]) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\0" + b"".join(b"btf_trace_" + name + b"\0" for name in names))
    assert call_watch.missing_programs(tmp_path / "vmlinux") == missing


def test_every_number_has_its_meaning_and_32_bit_ones_lead_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_watch, "translate", lambda native: {346: native["setns"]})
    tables = {"calls": Table(), "foreign_calls": Table()}
    call_watch.fill({name: cast("BpfMap", table) for name, table in tables.items()}, CALLS, ACTS)
    meanings = {number: int(call.meaning) for number, call in CALLS.items()}
    assert tables["calls"].rows == meanings | {number: int(call.way) for number, call in ACTS.items()}
    assert tables["foreign_calls"].rows == {346: 309}
