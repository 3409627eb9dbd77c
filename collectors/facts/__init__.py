"""The values everything else speaks in: processes, files, mounts, containers, pods, and what we could not tell.

All are frozen and hashable. Nothing here does I/O. Names are the kernel's, the OCI runtime
specification's and Kubernetes' own. Bytes stay bytes: whatever a container can name is hostile, and text
is made of it only at the edge (``agent.text``). The order of confinements lives in ``collectors.confinement``.
"""

from __future__ import annotations

from collectors.facts.confinement import (
    NAMESPACE_KINDS,
    Capabilities,
    CgroupMembership,
    Confinement,
    Ids,
    Namespaces,
    Seccomp,
    SeccompMode,
)
from collectors.facts.container import Container, FileKind, MountSource, Pod, Reach, Reached
from collectors.facts.declared import Declared, DeclaredMount, DeclaredNamespace, DeviceRule
from collectors.facts.host import HostBaseline
from collectors.facts.identity import NOT_READ, FileId, Place, ProcessKey, Unknown
from collectors.facts.mount import Mount
from collectors.facts.process import Connection, Descriptor, DescriptorKind, Executable, Layer, Process

__all__ = [
    "NAMESPACE_KINDS",
    "NOT_READ",
    "Capabilities",
    "CgroupMembership",
    "Confinement",
    "Connection",
    "Container",
    "Declared",
    "DeclaredMount",
    "DeclaredNamespace",
    "Descriptor",
    "DescriptorKind",
    "DeviceRule",
    "Executable",
    "FileId",
    "FileKind",
    "HostBaseline",
    "Ids",
    "Layer",
    "Mount",
    "MountSource",
    "Namespaces",
    "Place",
    "Pod",
    "Process",
    "ProcessKey",
    "Reach",
    "Reached",
    "Seccomp",
    "SeccompMode",
    "Unknown",
]
