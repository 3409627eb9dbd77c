import os

from collectors.ebpf.processes import Naming, as_process
from collectors.ebpf.records import CgroupKey, TaskRecord, decode
from collectors.facts import (
    NOT_READ,
    Capabilities,
    CgroupMembership,
    Executable,
    FileId,
    Ids,
    Place,
    ProcessKey,
    Seccomp,
    SeccompMode,
    Unknown,
)
from tests.support.ebpf_records import task_bytes

DEVICE = os.makedev(8, 1)
CGROUPS = (CgroupMembership(0, b"", b"/docker/abc"),)


def cgroups_of(_keys: tuple[CgroupKey, ...]) -> tuple[CgroupMembership, ...] | Unknown:
    return CGROUPS


NAMING = Naming(cgroups_of, lambda file: file, 100)


def record(**fields: object) -> TaskRecord:
    decoded = decode(task_bytes(**fields))  # type: ignore[arg-type]
    assert isinstance(decoded, TaskRecord)
    return decoded


def test_makes_a_whole_process_of_a_record() -> None:
    process = as_process(
        record(tid=7, tgid=7, parent_tgid=5, start_ns=12_340_000_000, path=(b"sh", b"bin"), arguments=b"sh\0"),
        77,
        NAMING,
    )
    assert process.key == ProcessKey(7, 1234)
    assert (process.parent_pid, process.thread_of, process.arguments) == (5, None, b"sh\0")
    assert process.executable == Executable(b"/bin/sh", Place(FileId(DEVICE, 501), 41), 0o100755, 3, 1, 77)
    confined = process.confinement
    assert confined.namespaces.mnt == 11
    assert confined.namespaces.time == 18
    assert confined.root == Place(FileId(DEVICE, 2), 30)
    assert confined.uids == Ids(real=1, effective=5, saved=3, fs=7)
    assert confined.gids == Ids(real=2, effective=6, saved=4, fs=8)
    assert confined.capabilities == Capabilities(0, 21, 22, 23, 24)
    assert confined.seccomp == Seccomp(SeccompMode.FILTER, 1)
    assert confined.no_new_privs is True
    assert confined.cgroups == CGROUPS
    assert confined.lsm_label is NOT_READ


def test_a_thread_names_its_process() -> None:
    process = as_process(record(tid=8, tgid=7, start_ns=20_000_000_000, leader_start_ns=10_000_000_000), 0, NAMING)
    assert process.key == ProcessKey(8, 2000)
    assert process.thread_of == ProcessKey(7, 1000)


def test_a_controlling_terminal_has_the_number_that_stat_shows() -> None:
    assert as_process(record(), 0, NAMING).tty == 0
    assert as_process(record(terminal=136 << 20 | 300), 0, NAMING).tty == os.makedev(136, 300)


def test_what_an_ending_task_has_lost_is_unknown() -> None:
    process = as_process(record(namespaces=(0, 12, 0, 0, 0, 16, 0, 0), exe_inode=0), 0, NAMING)
    assert process.confinement.namespaces.mnt == Unknown("gone: the task had ended")
    assert process.confinement.namespaces.pid == 12
    assert isinstance(process.executable, Unknown)
    assert isinstance(process.image_mark, Unknown)


def test_a_file_has_the_number_that_stat_shows() -> None:
    naming = NAMING._replace(file=lambda file: FileId(99, file.inode))
    process = as_process(record(), 0, naming)
    assert process.confinement.root == Place(FileId(99, 2), 30)
