"""What can go wrong when a collector reads the node: one exception and its five kinds.

Exceptions live inside a collector; at its edge they become ``Unknown(why)`` (see ``collectors.facts``).
``errno`` becomes one of these kinds in exactly one place: ``from_os_error``.
"""

from __future__ import annotations

import errno


class CollectorError(Exception):
    """A source could not be read or understood; ``source`` names it, ``detail`` says what was wrong."""

    kind = "error"

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"{source}: {detail}")
        self.source = source
        self.detail = detail


class Gone(CollectorError):
    """The process, file or container ended while it was being read."""

    kind = "gone"


class Denied(CollectorError):
    """The kernel refused: a capability is missing, or an LSM is in the way."""

    kind = "denied"


class Malformed(CollectorError):
    """The bytes are not what the kernel, the runtime or the specification writes."""

    kind = "malformed"


class TooLarge(CollectorError):
    """The source is larger than the bound we read; nothing of it is used."""

    kind = "too_large"


class Unsupported(CollectorError):
    """This kernel or runtime has no such source."""

    kind = "unsupported"


_KINDS: dict[int, type[CollectorError]] = {
    errno.ENOENT: Gone,
    errno.ESRCH: Gone,
    errno.ENOTDIR: Gone,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.ENOSYS: Unsupported,
    errno.EOPNOTSUPP: Unsupported,
    errno.EINVAL: Unsupported,
}


def from_os_error(source: str, error: OSError) -> CollectorError:
    """The kind that stands for ``error``; an errno without a kind of its own is a plain ``CollectorError``."""
    kind = _KINDS.get(error.errno or 0, CollectorError)
    return kind(source, error.strerror or str(error))
