"""Records as the eBPF programs write them (``collectors/ebpf/kernel/records.h``), made by hand for tests."""

import struct

from collectors.ebpf.records import KIND_EXEC


def header_bytes(kind: int, size: int, **fields: int) -> bytes:
    """The header; what is not given is 0."""
    names = (
        "flags",
        "boot_ns",
        "start_ns",
        "leader_start_ns",
        "tid",
        "tgid",
        "parent_tgid",
        "session",
        "call",
        "result",
    )
    return struct.pack("<IHHQQQIIIIii", size, kind, *(fields.get(name, 0) for name in names))


def task_bytes(
    kind: int = KIND_EXEC,
    *,
    path: tuple[bytes, ...] = (),
    arguments: bytes = b"",
    arguments_size: int | None = None,
    name: bytes = b"",
    cgroups: tuple[tuple[int, int], ...] = (),
    cgroup_count: int | None = None,
    exe_inode: int = 501,
    namespaces: tuple[int, ...] = (11, 12, 13, 14, 15, 16, 17, 18),
    css_set: int = 99,
    ran_ns: int = 1000,
    terminal: int = 0,
    **fields: int,
) -> bytes:
    """A whole record. ``path`` goes from the file up, ``cgroups`` are (hierarchy, id)."""
    vector = struct.pack(
        "<8IQ4I8I5QIIQ",
        *namespaces,
        *(2, 0x800001, 30, 31, 1),
        *range(1, 9),
        *(0, 21, 22, 23, 24),
        *(2, 1, css_set),
    )
    count = len(cgroups) if cgroup_count is None else cgroup_count
    task = struct.pack("<QIIQ16sII", 3, 0x800001, 31, ran_ns, name, 4, count)
    program = struct.pack("<QQIIIIII3Q", exe_inode, 77, 0x800001, 41, 0o100755, 3, 1, terminal, 7, 8, 9)
    listed = b"".join(struct.pack("<QII", number, hierarchy, 0) for hierarchy, number in cgroups).ljust(256, b"\0")
    joined = b"".join(part + b"\0" for part in path)
    strings = struct.pack("<II", len(arguments) if arguments_size is None else arguments_size, len(joined))
    body = vector + task + program + listed + strings + arguments.ljust(256, b"\0") + joined
    return header_bytes(kind, 56 + len(body), **fields) + body
