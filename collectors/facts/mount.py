"""One row of a mount table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5)); octal escapes are undone, bytes stay bytes."""

    mnt_id: int
    parent_id: int
    device: int  # major:minor as st_dev encodes it
    root: bytes
    point: bytes
    options: tuple[bytes, ...]
    shared: int | None  # peer group it propagates in
    master: int | None  # peer group it receives from
    fs_type: bytes
    source: bytes
    super_options: tuple[bytes, ...]

    @property
    def is_read_only(self) -> bool:
        """The mount refuses writes (the per-mount flag; the file system below may still be written elsewhere)."""
        return b"ro" in self.options
