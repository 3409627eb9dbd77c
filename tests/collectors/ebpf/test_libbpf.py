import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import collectors.ebpf
from collectors.ebpf.libbpf import BpfObject
from collectors.ebpf.records import ROW_BYTES, TaskRecord, decode, split_rows
from collectors.errors import CollectorError, Unsupported

OBJECT = Path(collectors.ebpf.__file__).parent / "sensor.bpf.o"
PROGRAMS = (
    "on_exec",
    "on_fork",
    "on_exit",
    "on_call",
    "on_any_call",
    "on_cgroup",
    "on_cgroup_move",
    "each_task",
    "judge",
    "watch",
    "on_signal",
    "on_change",
    "on_coarse_change",
)

needs_bpf = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/sys/kernel/btf/vmlinux").exists(),
    reason="loads eBPF programs: needs root and a kernel with BTF",
)


@pytest.fixture
def loaded() -> Iterator[BpfObject]:
    opened = BpfObject(OBJECT)
    opened.load()
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
    opened = BpfObject(OBJECT)
    opened.load(without=set(PROGRAMS) - {program})
    opened.close()


@needs_bpf
def test_the_iterator_shows_ourselves_as_the_kernel_has_us(loaded: BpfObject) -> None:
    fd = loaded.open_iterator("each_task")
    data = b""
    while part := os.read(fd, 1 << 20):
        data += part
    os.close(fd)
    assert len(data) % ROW_BYTES == 0
    own = next(row for row in map(decode, split_rows(data)) if row.header.tid == os.getpid())
    assert isinstance(own, TaskRecord)
    assert own.vector.namespaces[0] == os.stat("/proc/self/ns/mnt").st_ino
    assert own.vector.root_inode == os.stat("/").st_ino
    assert own.header.parent_tgid == os.getppid()


def test_refuses_an_object_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="is missing from this installation"):
        BpfObject(tmp_path / "none.bpf.o")


def test_an_error_has_libbpfs_own_words(tmp_path: Path) -> None:
    path = tmp_path / "no.bpf.o"
    path.write_bytes(b"this is no object file")
    with pytest.raises(CollectorError, match="libbpf"):
        BpfObject(path)
