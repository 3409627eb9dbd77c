import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.ebpf import acts, records
from collectors.ebpf.acts import (
    ACT_CALLS,
    Act,
    ActRecord,
    Context,
    How,
    Way,
    act_calls_by_number,
    as_raw_socket,
    decode_act,
    event_of,
)
from collectors.ebpf.records import CAUSE_FOREIGN_CALL, CAUSE_SIGNAL, KIND_ACT, KIND_EXIT, TaskRecord
from collectors.errors import Malformed
from collectors.events import CallMade, FileTouched, ProcessReached, Touch, Watched, WatchKind
from collectors.facts import FileId
from tests.support import build
from tests.support.ebpf_records import header_bytes, task_bytes

HEADER = Path(acts.__file__).parent / "kernel" / "techniques.h"
SHADOW = Watched("/etc/shadow", WatchKind.SECRET)
OBJECTS = ((), (SHADOW,))
NEWER = {"fchmodat2", "setxattrat"}  # Linux 6.6 and 6.13
NUMBERS = {call.name: number for number, call in act_calls_by_number("x86_64").items()}


def act_bytes(
    call: int, result: int = 0, *, path: tuple[bytes, ...] = (), kind: int = KIND_ACT, **fields: int
) -> bytes:
    """A whole record of an act; ``fields`` are those of ``struct act``, ``a0`` to ``a3`` its arguments."""
    names = ("a0", "a1", "a2", "a3", "inode", "file_system", "start_ns")
    short = ("device", "mode", "target", "session", "signal", "how", "watched")
    joined = b"".join(part + b"\0" for part in path)
    mark, parent = fields.get("mark", 0), fields.get("parent", 1)
    task = task_bytes(kind, call=call, result=result, tid=70, tgid=70, session=mark, parent_tgid=parent)
    own = struct.pack("<7Q", *(fields.get(name, 0) for name in names))
    own += struct.pack("<8I", *(fields.get(name, 0) for name in short), len(joined))
    return task.ljust(records.TASK_BYTES, b"\0") + own + joined.ljust(512, b"\0")


def event(data: bytes, own_pid: int = 1) -> CallMade | ProcessReached | FileTouched:
    context = Context(act_calls_by_number("x86_64"), own_pid, lambda index: OBJECTS[index], lambda file: file)
    made = event_of(decode_act(data), context)(build.NOW_NS, build.process())
    assert isinstance(made, CallMade | ProcessReached | FileTouched)
    return made


def test_parses_an_act_with_everything_in_it() -> None:
    record = decode_act(
        act_bytes(
            NUMBERS["open_by_handle_at"],
            5,
            path=(b"shadow", b"etc"),
            **dict(zip(("a0", "a1", "a2", "a3"), (1, 2, 3, 4), strict=True)),
            inode=77,
            file_system=0xEF53,
            start_ns=9,
            device=0x800001,
            mode=0o100600,
            target=6,
            session=7,
            signal=9,
            how=0,
            watched=1,
        )
    )
    assert isinstance(record.task, TaskRecord)
    assert record.act == Act((1, 2, 3, 4), 77, 0xEF53, 9, 0x800001, 0o100600, 6, 7, 9, 0, 1, b"/etc/shadow")


def test_a_call_becomes_an_event_with_its_error() -> None:
    made = event(act_bytes(NUMBERS["init_module"], -1, a1=5))
    assert isinstance(made, CallMade)
    assert (made.call, made.error, made.arguments, made.is_foreign) == ("init_module", 1, (0, 5, 0, 0), False)


def test_a_file_that_was_opened_has_the_device_that_stat_shows() -> None:
    made = event(act_bytes(NUMBERS["open_by_handle_at"], 5, inode=2, device=8 << 20 | 1, mode=0o40755))
    assert isinstance(made, CallMade)
    assert made.device == 0x801


def test_a_node_that_was_made_has_the_number_that_was_asked_for() -> None:
    made = event(act_bytes(NUMBERS["mknod"], device=0x801, mode=0o60600))
    assert isinstance(made, CallMade)
    assert (made.device, made.mode) == (0x801, 0o60600)


def test_a_process_that_was_reached_for_is_named() -> None:
    assert event(act_bytes(NUMBERS["ptrace"], target=800)) == ProcessReached(
        build.NOW_NS, build.process(), "ptrace", 0, 800
    )
    refused = event(act_bytes(NUMBERS["pidfd_getfd"], -1, target=800))
    assert isinstance(refused, ProcessReached)
    assert refused.error == 1


def test_a_signal_is_told_with_its_number_and_whether_it_meets_us() -> None:
    data = act_bytes(CAUSE_SIGNAL, target=800, signal=9)
    assert event(data) == ProcessReached(build.NOW_NS, build.process(), "signal", 0, 800, 9)
    assert event(data, own_pid=800) == ProcessReached(build.NOW_NS, build.process(), "signal", 0, 800, 9, is_agent=True)


def test_a_file_is_told_with_what_the_host_knows_it_by() -> None:
    data = act_bytes(
        NUMBERS["openat"],
        3,
        path=(b"shadow", b"host"),
        inode=77,
        device=8 << 20 | 1,
        mode=0o100600,
        file_system=0xEF53,
        how=How.READ,
        watched=1,
    )
    assert event(data) == FileTouched(
        build.NOW_NS, build.process(), Touch.READ, b"/host/shadow", FileId(0x801, 77), 0o100600, 0xEF53, (SHADOW,)
    )


def test_a_mode_set_by_path_has_no_file() -> None:
    made = event(act_bytes(NUMBERS["chmod"], path=(b"/tmp/x",), mode=0o4755, how=How.MODE))
    assert isinstance(made, FileTouched)
    assert (made.touch, made.path, made.file, made.mode) == (Touch.PRIVILEGED, b"/tmp/x", None, 0o4755)


@pytest.mark.parametrize(("how", "name"), [(How.MEMORY, "memory"), (How.ENVIRON, "environ")])
def test_a_process_file_reaches_for_the_process(how: How, name: str) -> None:
    made = event(act_bytes(NUMBERS["openat"], 3, target=800, how=how))
    assert made == ProcessReached(build.NOW_NS, build.process(), name, 0, 800)


def test_hows_are_those_of_the_header_file() -> None:
    names = dict(re.findall(r"\bHOW_([A-Z_]+) = (\d+)", HEADER.read_text()))
    assert {how.name: str(int(how)) for how in How} == names


def test_a_call_of_32_bits_is_told_as_one() -> None:
    made = event(act_bytes(CAUSE_FOREIGN_CALL, a0=20))
    assert isinstance(made, CallMade)
    assert made.is_foreign


@pytest.mark.parametrize(("family", "expected"), [(17, ("packet", 0)), (2, ("raw", 255)), (10, ("raw", 255))])
def test_names_raw_sockets(family: int, expected: tuple[str, int]) -> None:
    record = decode_act(act_bytes(NUMBERS["socket"], 3, a0=family, a1=3, a2=255))
    assert as_raw_socket(record.act) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(task_bytes(KIND_ACT), id="task-alone"),
        pytest.param(header_bytes(KIND_EXIT, 56).ljust(4096, b"\0"), id="another-kind"),
        pytest.param(act_bytes(1, path=(b"x" * 600,)), id="path-too-long"),
    ],
)
def test_refuses_what_the_programs_do_not_send(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_act(data)


@given(st.binary(max_size=3000))
def test_raises_nothing_but_malformed(data: bytes) -> None:
    for candidate in (data, act_bytes(101)[:-700] + data[:700], data[:1400].ljust(2400, b"\1")):
        try:
            record = decode_act(candidate)
        except Malformed:
            continue
        assert isinstance(record, ActRecord)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_two_calls_have_one_number(machine: str) -> None:
    numbers = act_calls_by_number(machine)
    assert len(numbers) == sum(
        1 for call in ACT_CALLS if (call.x86_64 if machine == "x86_64" else call.arm64) is not None
    )


def test_knows_no_call_of_another_machine() -> None:
    assert act_calls_by_number("mips") == {}


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    path = Path(header)
    if not path.exists():
        pytest.skip(f"{header} is not installed")
    words = (line.split() for line in path.read_text().splitlines() if line.startswith("#define __NR"))
    known = {word[1].removeprefix("__NR3264_").removeprefix("__NR_"): word[2] for word in words if len(word) == 3}
    for number, call in act_calls_by_number(machine).items():
        assert known.get(call.name, str(number)) == str(number)
        assert call.name in known or call.name in NEWER


def test_ways_are_those_of_the_header_file() -> None:
    names = dict(re.findall(r"\bCALL_([A-Z_]+) = (\d+)", HEADER.read_text()))
    assert {way.name: str(int(way)) for way in Way} == names
