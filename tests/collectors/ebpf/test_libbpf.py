import contextlib
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import collectors.ebpf
from collectors.ebpf.call_watch import missing_programs
from collectors.ebpf.counters import COUNTERS
from collectors.ebpf.libbpf import BpfObject, possible_cpus
from collectors.ebpf.records import ROW_BYTES, TaskRecord, decode, decode_cgroup_rows, split_rows
from collectors.errors import CollectorError, Unsupported
from collectors.proc.cgroup import parse_cgroup

OBJECT = Path(collectors.ebpf.__file__).parent / "sensor.bpf.o"
PROGRAMS = (
    "on_exec",
    "on_fork",
    "on_exit",
    "on_call",
    "on_any_call",
    "on_cgroup",
    "on_cgroup_renamed",
    "on_cgroup_move",
    "each_task",
    "each_cgroup",
    "judge",
    "watch",
    "on_signal",
    "on_tcp_state",
    "on_io_uring",
    "on_io_uring_asked",
    "on_io_uring_asked_before",
    "on_change",
    "on_coarse_change",
)

BTF = Path("/sys/kernel/btf/vmlinux")

needs_bpf = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(),
    reason="loads eBPF programs: needs root and a kernel with BTF",
)


@pytest.fixture
def loaded() -> Iterator[BpfObject]:
    opened = BpfObject(OBJECT)
    opened.load(without=missing_programs(BTF))
    yield opened
    opened.close()


@needs_bpf
def test_knows_every_program_of_the_object() -> None:
    opened = BpfObject(OBJECT)
    assert set(opened.programs) == set(PROGRAMS)
    opened.close()


@needs_bpf
@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_loads_alone(program: str) -> None:
    if program in missing_programs(BTF):
        pytest.skip("this kernel has not got its tracepoint")
    opened = BpfObject(OBJECT)
    opened.load(without=set(PROGRAMS) - {program})
    opened.close()


@needs_bpf
def test_the_iterator_shows_ourselves_as_the_kernel_has_us(loaded: BpfObject) -> None:
    data = loaded.read_iterator("each_task")
    assert len(data) % ROW_BYTES == 0
    own = next(row for row in map(decode, split_rows(data)) if row.header.tid == os.getpid())
    assert isinstance(own, TaskRecord)
    assert own.vector.namespaces[0] == os.stat("/proc/self/ns/mnt").st_ino
    assert own.vector.root_inode == os.stat("/").st_ino
    assert own.header.parent_tgid == os.getppid()


@needs_bpf
def test_the_change_time_is_that_which_stat_shows_also_when_somebody_has_asked_for_it(
    loaded: BpfObject, tmp_path: Path
) -> None:
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "30"]) as child:  # noqa: S603  a copy of sleep
        try:
            for _ in range(2):
                rows = map(decode, split_rows(loaded.read_iterator("each_task")))
                row = next(each for each in rows if isinstance(each, TaskRecord) and each.header.tid == child.pid)
                assert row.program is not None
                assert row.program.changed_ns == program.stat().st_ctime_ns  # stat marks the time as asked for
        finally:
            child.kill()


@needs_bpf
def test_cgroups_are_named_as_proc_shows_them(loaded: BpfObject) -> None:
    loaded.map("settings").update(bytes(4), struct.pack("<4I", 0, 0, 1, 0))
    named = dict(decode_cgroup_rows(loaded.read_iterator("each_cgroup")))
    own = next(
        row for row in map(decode, split_rows(loaded.read_iterator("each_task"))) if row.header.tid == os.getpid()
    )
    assert isinstance(own, TaskRecord)
    shown = {line.hierarchy: line.path for line in parse_cgroup(Path("/proc/self/cgroup").read_bytes())}
    assert {key.hierarchy: named[key] for key in own.cgroups} == shown
    assert loaded.read_iterator("each_cgroup") == b""  # each set of cgroups is named once in a pass


def fingerprint(opened: BpfObject, pid: int) -> int:
    """What the iterator shows of the cgroups of a process."""
    rows = map(decode, split_rows(opened.read_iterator("each_task")))
    return next(row.vector.css_set for row in rows if isinstance(row, TaskRecord) and row.header.tid == pid)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """An empty cgroup of our own, of version 1 or 2."""
    controllers = Path("/sys/fs/cgroup/pids")
    made = (controllers if controllers.is_dir() else Path("/sys/fs/cgroup")) / f"hullwatch-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    yield made
    made.rmdir()


@needs_bpf
def test_a_task_in_another_cgroup_has_another_fingerprint(loaded: BpfObject, cgroup: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "30"]) as child:
        try:
            before = fingerprint(loaded, child.pid)
            assert before == fingerprint(loaded, os.getpid())
            (cgroup / "cgroup.procs").write_text(str(child.pid))
            assert fingerprint(loaded, child.pid) != before
        finally:
            child.kill()


@needs_bpf
def test_a_table_gives_what_was_put_until_it_is_deleted(loaded: BpfObject) -> None:
    sessions = loaded.map("sessions")
    assert sessions.read(b"\7\0\0\0") is None
    sessions.update(b"\7\0\0\0", (3).to_bytes(8, "little"))
    assert sessions.read(b"\7\0\0\0") == (3).to_bytes(8, "little")
    sessions.delete(b"\7\0\0\0")
    sessions.delete(b"\7\0\0\0")
    assert sessions.read(b"\7\0\0\0") is None


def links_of_ours() -> dict[int, str]:
    """The descriptors of eBPF links that this process holds."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {number: target for number, target in found.items() if "bpf_link" in target or "bpf-link" in target}


@needs_bpf
def test_a_program_that_somebody_detached_is_attached_again(loaded: BpfObject) -> None:
    loaded.attach("on_cgroup")
    before = links_of_ours()
    loaded.attach("on_fork")
    (victim,) = links_of_ours().keys() - before.keys()
    assert loaded.attach_lost() == ()
    os.close(victim)
    reused = os.open("/dev/null", os.O_RDONLY)  # whoever closed it gives the number to something else
    assert reused == victim
    assert loaded.attach_lost() == ("on_fork",)
    assert loaded.attach_lost() == ()
    assert os.readlink(f"/proc/self/fd/{reused}") == "/dev/null"
    os.close(reused)
    forks = COUNTERS.index("forks")
    counted = loaded.map("counters").read_sum(forks, possible_cpus())
    threading.Thread(target=int).start()
    assert loaded.map("counters").read_sum(forks, possible_cpus()) > counted


def test_refuses_an_object_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="is missing from this installation"):
        BpfObject(tmp_path / "none.bpf.o")


def test_an_error_has_libbpfs_own_words(tmp_path: Path) -> None:
    path = tmp_path / "no.bpf.o"
    path.write_bytes(b"this is no object file")
    with pytest.raises(CollectorError, match="libbpf"):
        BpfObject(path)
