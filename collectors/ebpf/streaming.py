"""What the kernel tells for who watches (``kernel/streaming.h``), as the events that it is. Pure."""

from __future__ import annotations

from collectors.ebpf.membership import Memberships
from collectors.ebpf.processes import Naming, as_process
from collectors.ebpf.records import KIND_STREAM_EXEC, TaskRecord
from collectors.events import Exec, Exit
from collectors.streamed import Streamed


def streamed(record: TaskRecord, at_ns: int, memberships: Memberships, naming: Naming) -> Streamed:
    """The exec or the end of a process of a container; of no container where its mark is of a session that is over."""
    process = as_process(record, at_ns, naming)
    session = memberships.session(record.header.session)
    event = Exec(at_ns, process) if record.header.kind == KIND_STREAM_EXEC else Exit(at_ns, process.key)
    return Streamed(at_ns, event, session.container_id if session is not None else None, process)
