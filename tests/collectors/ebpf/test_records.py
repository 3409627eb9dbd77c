import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.ebpf import records
from collectors.ebpf.records import (
    KIND_CGROUP,
    KIND_CHANGE,
    KIND_EXEC,
    KIND_EXIT,
    KIND_ROW,
    ROW_BYTES,
    CgroupKey,
    CgroupRecord,
    ExitRecord,
    Program,
    TaskRecord,
    decode,
    decode_cgroup_rows,
    split_rows,
)
from collectors.errors import Malformed
from tests.support.ebpf_records import header_bytes, task_bytes

SOURCES = Path(records.__file__).parent / "kernel"


def test_parses_a_task_with_everything_in_it() -> None:
    record = decode(
        task_bytes(
            KIND_EXEC,
            tid=70,
            tgid=69,
            path=(b"sh", b"bin", b"usr"),
            arguments=b"sh\0-c\0",
            cgroups=((9, 33), (0, 1)),
            name=b"sh",
        ),
    )
    assert isinstance(record, TaskRecord)
    assert (record.header.tid, record.header.tgid) == (70, 69)
    assert record.path == b"/usr/bin/sh"
    assert record.arguments == b"sh\0-c\0"
    assert record.name == b"sh"
    assert record.cgroups == (CgroupKey(9, 33), CgroupKey(0, 1))
    assert record.vector.namespaces == (11, 12, 13, 14, 15, 16, 17, 18)
    assert record.vector.ids == (1, 2, 3, 4, 5, 6, 7, 8)
    assert record.vector.capabilities == (0, 21, 22, 23, 24)
    assert record.program == Program(501, 77, 0x800001, 41, 0o100755, 3, 1, (7, 8, 9))


def test_parses_a_row_which_ends_before_the_strings() -> None:
    row = task_bytes(KIND_ROW)[:ROW_BYTES]
    record = decode(row)
    assert isinstance(record, TaskRecord)
    assert (record.path, record.arguments) == (b"", b"")
    assert split_rows(row + row) == [row, row]


def test_parses_a_task_without_a_program() -> None:
    record = decode(task_bytes(KIND_CHANGE, exe_inode=0))
    assert isinstance(record, TaskRecord)
    assert record.program is None


def test_parses_an_exit() -> None:
    record = decode(header_bytes(KIND_EXIT, 56, tid=5, tgid=5))
    assert isinstance(record, ExitRecord)
    assert record.header.tid == 5


def test_parses_a_new_cgroup() -> None:
    data = header_bytes(KIND_CGROUP, 584) + struct.pack("<QII", 400, 8, 0) + b"/docker/abc".ljust(512, b"\0")
    assert decode(data) == CgroupRecord(records.decode_header(data), CgroupKey(8, 400), b"/docker/abc")


def cgroup_row(hierarchy: int, number: int, components: bytes, path_size: int | None = None) -> bytes:
    size = len(components) if path_size is None else path_size
    return struct.pack("<QIIII512s", number, hierarchy, 0, size, 0, components)


def test_parses_names_of_cgroups() -> None:
    rows = cgroup_row(8, 400, b"abc\0docker\0") + cgroup_row(0, 1, b"")
    assert list(decode_cgroup_rows(rows)) == [(CgroupKey(8, 400), b"/docker/abc"), (CgroupKey(0, 1), b"/")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(cgroup_row(8, 400, b"abc\0")[:-1], id="half-a-row"),
        pytest.param(cgroup_row(8, 400, b"abc\0", path_size=513), id="path-too-long"),
    ],
)
def test_refuses_names_of_cgroups_that_the_programs_do_not_send(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(decode_cgroup_rows(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(header_bytes(99, 56), id="kind-unknown"),
        pytest.param(header_bytes(KIND_EXEC, 56), id="header-alone"),
        pytest.param(task_bytes(KIND_EXEC)[:ROW_BYTES], id="strings-missing"),
        pytest.param(task_bytes(KIND_EXEC, path=(b"long",) * 9)[:-4], id="path-cut"),
        pytest.param(task_bytes(KIND_EXEC, cgroup_count=17), id="too-many-cgroups"),
        pytest.param(task_bytes(KIND_EXEC, arguments_size=257), id="arguments-too-long"),
    ],
)
def test_refuses_what_the_programs_do_not_send(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_refuses_half_a_row() -> None:
    with pytest.raises(Malformed):
        split_rows(bytes(ROW_BYTES + 1))


@given(st.binary(max_size=2000), st.integers(1, 7))
def test_raises_nothing_but_malformed(data: bytes, kind: int) -> None:
    for candidate in (data, data[:4] + kind.to_bytes(2, "little") + data[6:]):
        try:
            decode(candidate)
        except Malformed:
            continue


def test_kinds_are_those_of_the_header_file() -> None:
    text = (SOURCES / "records.h").read_text()
    names = dict(re.findall(r"\b(KIND_[A-Z]+|CAUSE_[A-Z]+|FLAG_[A-Z_]+) = (-?\d+)", text))
    assert names
    assert {name: getattr(records, name) for name in names} == {name: int(value) for name, value in names.items()}
