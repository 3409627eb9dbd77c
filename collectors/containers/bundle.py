"""The OCI bundle: what the runtime was told to build (runtime-spec ``config.md`` and ``config-linux.md``, 1.0 to 1.2).

``parse_bundle`` is pure; only fields that ``Declared`` holds are decoded, the rest is skipped over (a seccomp profile
is most of a bundle). Values are as the runtime would take them: absent capabilities are empty sets, ``null`` is absent.
A capability or namespace that this table does not know is *ignored*, as runc since 1.1 does, and named in a remark:
no capability and no namespace that hullwatch compares depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from collectors.capabilities import NUMBERS
from collectors.containers.state_directory import read_below
from collectors.errors import Malformed, TooLarge
from collectors.facts import Capabilities, Declared, DeclaredMount, DeclaredNamespace, DeviceRule
from collectors.flyweight import flyweight

MAX_BUNDLE_BYTES = 16 << 20
MAX_TEXTS = 256
MAX_TEXT_CHARACTERS = 4096
"""Arguments, environment and annotations are kept up to these bounds: they explain, they do not confine."""

MAX_REMARKS = 16

_NAMESPACE_KINDS = {
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}


class _Spec(msgspec.Struct, rename="camel", gc=False):
    """The base of what is decoded: the specification's camelCase names."""


class _User(_Spec):
    uid: int = 0
    gid: int = 0


class _Capabilities(_Spec):
    inheritable: tuple[str, ...] | None = None
    permitted: tuple[str, ...] | None = None
    effective: tuple[str, ...] | None = None
    bounding: tuple[str, ...] | None = None
    ambient: tuple[str, ...] | None = None


class _Process(_Spec):
    user: _User | None = None
    args: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    cwd: str = "/"
    terminal: bool | None = None
    capabilities: _Capabilities | None = None
    no_new_privileges: bool | None = None
    apparmor_profile: str | None = None
    selinux_label: str | None = None


class _Root(_Spec):
    path: str = ""
    readonly: bool | None = None


class _Mount(_Spec):
    destination: str
    source: str | None = None
    type: str | None = None
    options: tuple[str, ...] | None = None


class _Hook(_Spec):
    path: str


class _Namespace(_Spec):
    type: str
    path: str | None = None


class _Device(_Spec):
    allow: bool
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class _Resources(_Spec):
    devices: tuple[_Device, ...] | None = None


class _Seccomp(_Spec):
    """Only that it is there, and an object."""


class _Linux(_Spec):
    namespaces: tuple[_Namespace, ...] | None = None
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    resources: _Resources | None = None
    seccomp: _Seccomp | None = None
    sysctl: dict[str, str] | None = None
    cgroups_path: str | None = None


class _Config(_Spec):
    process: _Process
    root: _Root
    mounts: tuple[_Mount, ...] | None = None
    hooks: dict[str, tuple[_Hook, ...] | None] | None = None
    annotations: dict[str, str] | None = None
    linux: _Linux | None = None


_DECODER = msgspec.json.Decoder(_Config)

_intern = flyweight(256)
_intern_mount = flyweight(1024)


def parse_bundle(data: bytes, source: str) -> Declared:
    """What a ``config.json`` declares; raises ``Malformed`` (which names the key path) or ``TooLarge``.

    ``root_path`` is as written: relative to the bundle, unless it begins with a slash.
    """
    return parse_bundle_with_remarks(data, source)[0]


def parse_bundle_with_remarks(data: bytes, source: str) -> tuple[Declared, tuple[str, ...]]:
    """As ``parse_bundle``, and what was ignored: ``process.capabilities.bounding[3]: unknown capability 'CAP_X'``."""
    if len(data) > MAX_BUNDLE_BYTES:
        raise TooLarge(source, f"{len(data)} bytes, more than the {MAX_BUNDLE_BYTES} that are read")
    try:
        config = _DECODER.decode(data)
    except RecursionError as error:
        raise Malformed(source, "nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(source, _explain(str(error))) from error
    remarks: list[str] = []
    process = config.process
    user = process.user or _User()
    linux = config.linux or _Linux()
    resources = linux.resources or _Resources()
    declared = Declared(
        namespaces=_intern(_namespaces(linux.namespaces or (), remarks)),
        capabilities=_capabilities(process.capabilities or _Capabilities(), remarks),
        no_new_privs=bool(process.no_new_privileges),
        seccomp=linux.seccomp is not None,
        apparmor_profile=process.apparmor_profile or None,
        selinux_label=process.selinux_label or None,
        mounts=tuple(
            _intern_mount(DeclaredMount(each.destination, each.source or "", each.type or "", each.options or ()))
            for each in config.mounts or ()
        ),
        masked_paths=_intern(linux.masked_paths or ()),
        readonly_paths=_intern(linux.readonly_paths or ()),
        device_rules=_intern(tuple(_device_rule(each) for each in resources.devices or ())),
        uid=user.uid,
        gid=user.gid,
        arguments=_bounded(process.args or ()),
        environment=_bounded(process.env or ()),
        working_directory=process.cwd,
        root_path=config.root.path,
        root_readonly=bool(config.root.readonly),
        terminal=bool(process.terminal),
        cgroups_path=linux.cgroups_path or "",
        hooks=tuple(hook.path for hooks in (config.hooks or {}).values() for hook in hooks or ()),
        sysctls=tuple((linux.sysctl or {}).items()),
        annotations=_bounded_pairs((config.annotations or {}).items()),
        container_hooks=tuple(hook.path for hook in (config.hooks or {}).get("createContainer") or ()),
    )
    return declared, tuple(remarks[:MAX_REMARKS])


def read_bundle(directory: str, path: str) -> tuple[Declared, tuple[str, ...]]:
    """The ``config.json`` in the bundle ``path`` below the trusted ``directory``, and remarks; may raise.

    ``root_path`` is made absolute: the root file system as a path of the host. It is never opened here.
    """
    name = f"{path}/config.json" if path else "config.json"
    data = read_below(directory, name, MAX_BUNDLE_BYTES)
    declared, remarks = parse_bundle_with_remarks(data, f"{directory}/{name}")
    if not declared.root_path.startswith("/"):
        declared = replace(declared, root_path=f"{directory.rstrip('/')}/{path}/{declared.root_path}")
    return declared, remarks


def _explain(message: str) -> str:
    """Puts the key path of msgspec's "Expected `str`, got `int` - at `$.mounts[0].type`" first."""
    text, separator, where = message.partition(" - at `$")
    if not separator:
        return message
    path = where.removesuffix("`").removeprefix(".")
    return f"{path or 'document'}: {text[:1].lower()}{text[1:]}"


def _namespaces(declared: Iterable[_Namespace], remarks: list[str]) -> tuple[DeclaredNamespace, ...]:
    found: dict[str, DeclaredNamespace] = {}
    for index, each in enumerate(declared):
        kind = _NAMESPACE_KINDS.get(each.type)
        if kind is None:
            remarks.append(f"linux.namespaces[{index}].type: unknown namespace {each.type[:64]!r}")
        else:
            found.setdefault(kind, DeclaredNamespace(kind, each.path or None))
    return tuple(found.values())


def _capabilities(declared: _Capabilities, remarks: list[str]) -> Capabilities:
    def mask(kind: str, names: tuple[str, ...] | None) -> int:
        bits = 0
        for index, name in enumerate(names or ()):
            number = NUMBERS.get(name.upper())
            if number is None:
                remarks.append(f"process.capabilities.{kind}[{index}]: unknown capability {name[:64]!r}")
            else:
                bits |= 1 << number
        return bits

    return Capabilities(
        inheritable=mask("inheritable", declared.inheritable),
        permitted=mask("permitted", declared.permitted),
        effective=mask("effective", declared.effective),
        bounding=mask("bounding", declared.bounding),
        ambient=mask("ambient", declared.ambient),
    )


def _device_rule(device: _Device) -> DeviceRule:
    # The specification lets a number be absent, runc writes -1: both mean any.
    major = None if device.major is None or device.major < 0 else device.major
    minor = None if device.minor is None or device.minor < 0 else device.minor
    return DeviceRule(device.allow, device.type or "a", major, minor, device.access or "")


def _bounded(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text[:MAX_TEXT_CHARACTERS] for text in texts[:MAX_TEXTS])


def _bounded_pairs(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((key[:MAX_TEXT_CHARACTERS], value[:MAX_TEXT_CHARACTERS]) for key, value in list(pairs)[:MAX_TEXTS])
