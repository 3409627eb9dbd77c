"""Both vectors of a drift in the native document, and what they share with many others. Pure.

The first process of a container, its ancestors and the node are the same objects in alert after alert, and so are sets
of capabilities: their JSON is made once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from agent import describe
from agent.formats.ecs_document import CapabilityNames, ThreadCapabilities, Vector
from agent.text import clipped, visible
from collectors.capabilities import names
from collectors.facts import NAMESPACE_KINDS, Capabilities, Confinement, HostBaseline, Unknown

MAX_TEXT = 4096
MAX_CGROUPS = 64
CACHED = 128

T = TypeVar("T")
U = TypeVar("U")


class Same(Generic[T, U]):
    """Two values by their identity, as the key of a cache: they are frozen, and to hash them whole is too dear."""

    __slots__ = ("_hash", "beside", "value")

    def __init__(self, value: T, beside: U) -> None:
        self.value, self.beside = value, beside
        self._hash = id(value) ^ id(beside)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value and self.beside is other.beside


def raw_json(part: msgspec.Struct | Mapping[str, object] | tuple[str, ...]) -> Raw:
    """A part as JSON that goes into documents as it is."""
    return Raw(msgspec.json.encode(part))


def vector(confinement: Confinement, node: HostBaseline) -> Raw:
    """The whole vector; namespaces that are the host's are named beside it."""
    return _vector(confinement, Same(node, None))


@lru_cache(CACHED)
def _vector(confinement: Confinement, same_node: Same[HostBaseline, None]) -> Raw:
    """By value: what one process in the host's namespaces is allowed, so is the next."""
    node = same_node.value
    capabilities = confinement.capabilities
    return raw_json(
        Vector(
            namespaces={kind: describe.value(getattr(confinement.namespaces, kind)) for kind in NAMESPACE_KINDS},
            host_namespaces=list(describe.shared_with_host(confinement, node)),
            root=describe.value(confinement.root),
            root_is_host=describe.is_host_root(confinement.root, node),
            cwd=describe.value(confinement.cwd),
            uids=describe.value(confinement.uids),
            gids=describe.value(confinement.gids),
            capabilities=_sets(capabilities) if isinstance(capabilities, Capabilities) else None,
            capabilities_unknown=clipped(visible(capabilities.why), MAX_TEXT)
            if isinstance(capabilities, Unknown)
            else None,
            no_new_privs=describe.value(confinement.no_new_privs),
            seccomp=describe.value(confinement.seccomp),
            lsm_label=clipped(describe.value(confinement.lsm_label), MAX_TEXT),
            cgroups=_cgroups(confinement),
        )
    )


def thread_capabilities(confinement: Confinement) -> ThreadCapabilities | None:
    """``process.thread.capabilities``; ``None`` where they are not known."""
    known = confinement.capabilities
    if isinstance(known, Unknown):
        return None
    return ThreadCapabilities(_names(known.effective), _names(known.permitted))


@lru_cache(CACHED)
def _names(mask: int) -> Raw:
    return raw_json(tuple(names(mask)))


def _sets(capabilities: Capabilities) -> CapabilityNames | None:
    found = {kind: _names(mask) for kind in describe.CAPABILITY_SETS if (mask := int(getattr(capabilities, kind)))}
    return CapabilityNames(**found) if found else None


def _cgroups(confinement: Confinement) -> list[str]:
    if isinstance(confinement.cgroups, Unknown):
        return [describe.value(confinement.cgroups)]
    return [clipped(describe.cgroup(each), MAX_TEXT) for each in confinement.cgroups[:MAX_CGROUPS]]
