"""The modules that the kernel has loaded and that are none of its own: own ones come and go with devices.

Sources: ``/proc/modules`` (proc(5)), ``modules.dep`` and ``modules.builtin`` of the running kernel (modules.dep(5)),
below the host's root. Both are bounded in bytes. Whoever calls ``look`` owns it.
"""

from __future__ import annotations

import os

from collectors.bounded import read_bounded
from collectors.errors import CollectorError
from collectors.host import Roots
from collectors.hosttree import read_below

SOURCE = "kernel value"
MAX_MODULES_BYTES = 1 << 20
MAX_DEPENDENCIES_BYTES = 16 << 20


class ForeignModules:
    """Remembers what was loaded at the last look: only what was added is looked up among the kernel's own."""

    def __init__(self, roots: Roots) -> None:
        self._path = f"{roots.proc}/modules"
        self._host = roots.host
        self._loaded: frozenset[bytes] | None = None
        self._foreign: frozenset[bytes] = frozenset()

    def are_there(self) -> bool:
        """This kernel can load modules."""
        return os.path.exists(self._path)

    def look(self) -> frozenset[bytes]:
        """The names of the foreign ones. What was loaded at the first look is taken as it is. May raise."""
        lines = read_bounded(self._path, MAX_MODULES_BYTES, source=SOURCE).rstrip(b"\n").split(b"\n")
        names = frozenset(line.split(b" ", 1)[0] for line in lines)
        if names != self._loaded:
            added = names - self._loaded if self._loaded is not None else frozenset[bytes]()
            self._loaded = names
            # What was there at the start, and an update of the same, is compared with itself.
            own = self._own() if added else frozenset[bytes]()
            self._foreign = (self._foreign & names) | (added - own)
        return self._foreign

    def _own(self) -> frozenset[bytes]:
        """The names of the modules that are installed for the running kernel, as /proc names them."""
        directory = b"/lib/modules/" + os.fsencode(os.uname().release) + b"/"
        found: set[bytes] = set()
        for name in (b"modules.dep", b"modules.builtin"):
            try:
                data = read_below(self._host, directory + name, MAX_DEPENDENCIES_BYTES)
            except CollectorError:
                continue
            found.update(_module_name(line) for line in data.split(b"\n") if line)
        return frozenset(found)


def _module_name(line: bytes) -> bytes:
    """The module that a line of ``modules.dep`` or ``modules.builtin`` is about."""
    name = line.split(b":", 1)[0].rsplit(b"/", 1)[-1].split(b".", 1)[0]
    return name.replace(b"-", b"_")
