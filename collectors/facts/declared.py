"""What a bundle told the runtime to build (OCI runtime specification, ``config.json``)."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.facts.confinement import Capabilities


@dataclass(frozen=True, slots=True)
class DeclaredMount:
    """One entry of ``mounts`` in the OCI bundle."""

    destination: str
    source: str
    fs_type: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclaredNamespace:
    """One entry of ``linux.namespaces``; ``path`` is set when the container joins an existing namespace."""

    kind: str  # as in NAMESPACE_KINDS
    path: str | None


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """One entry of ``linux.resources.devices``: what the device cgroup allows or denies; ``None`` is any number."""

    allow: bool
    kind: str  # a, b, c
    major: int | None
    minor: int | None
    access: str


@dataclass(frozen=True, slots=True)
class Declared:
    """The declared confinement: what the OCI bundle (``config.json``) told the runtime to build.

    A namespace kind that ``namespaces`` does not name is shared with the runtime, so with the host.
    ``seccomp`` says whether a filter is asked for. ``root_path`` is the root file system on the host.
    ``container_hooks`` are those of ``hooks`` that run in the container's namespaces (``createContainer``).
    """

    namespaces: tuple[DeclaredNamespace, ...]
    capabilities: Capabilities
    no_new_privs: bool
    seccomp: bool
    apparmor_profile: str | None
    selinux_label: str | None
    mounts: tuple[DeclaredMount, ...]
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    device_rules: tuple[DeviceRule, ...]
    uid: int
    gid: int
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_directory: str
    root_path: str
    root_readonly: bool
    terminal: bool
    cgroups_path: str
    hooks: tuple[str, ...]
    sysctls: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    container_hooks: tuple[str, ...] = ()

    def namespace(self, kind: str) -> DeclaredNamespace | None:
        """The declared namespace of that kind, ``None`` when it is shared with the host."""
        return next((each for each in self.namespaces if each.kind == kind), None)
