"""How the Docker daemon is configured: ``daemon.json`` and the arguments that it was started with.

Source: the reference of dockerd, "Daemon configuration file". An option must not stand in both places: the daemon
refuses to start. So whoever says it, says it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from collectors.errors import Malformed
from collectors.node.arguments import is_true, parse_flags
from collectors.node_facts import DockerDaemon

SOURCE = "daemon.json"
DEFAULT_CONFIG = "/etc/docker/daemon.json"
MAX_BYTES = 1 << 20

_SHORT = {"H": "host", "D": "debug", "G": "group", "s": "storage-driver", "b": "bridge", "g": "graph", "l": "log-level"}
_SWITCHES = frozenset({"tls", "tlsverify", "icc", "live-restore", "no-new-privileges", "debug", "experimental"})
_DEFAULT_HOSTS = ("unix:///var/run/docker.sock",)


class _Config(msgspec.Struct, rename="kebab"):
    hosts: tuple[str, ...] | None = None
    tlsverify: bool | None = None
    userns_remap: str | None = None
    icc: bool | None = None
    live_restore: bool | None = None
    no_new_privileges: bool | None = None
    seccomp_profile: str | None = None


_DECODER = msgspec.json.Decoder(_Config)


def config_path(arguments: Sequence[bytes]) -> str:
    """The configuration file that a daemon with these arguments reads."""
    given = _flags(arguments).get("config-file")
    return given[-1] if given else DEFAULT_CONFIG


def parse_docker_daemon(arguments: Sequence[bytes], config: bytes) -> DockerDaemon:
    """The daemon's settings; ``config`` is its file, empty when there is none. Raises ``Malformed``."""
    flags = _flags(arguments)
    try:
        read = _DECODER.decode(config) if config.strip() else _Config()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(SOURCE, str(error)) from error

    def switch(name: str, *, configured: bool | None, default: bool) -> bool:
        if given := flags.get(name):
            return is_true(given[-1])
        return default if configured is None else configured

    def text(name: str, configured: str | None) -> str:
        given = flags.get(name)
        return given[-1] if given else configured or ""

    return DockerDaemon(
        hosts=(*flags.get("host", ()), *(read.hosts or ())) or _DEFAULT_HOSTS,
        verifies_tls=switch("tlsverify", configured=read.tlsverify, default=False),
        userns_remap=text("userns-remap", read.userns_remap),
        icc=switch("icc", configured=read.icc, default=True),
        live_restore=switch("live-restore", configured=read.live_restore, default=False),
        no_new_privileges=switch("no-new-privileges", configured=read.no_new_privileges, default=False),
        seccomp_profile=text("seccomp-profile", read.seccomp_profile),
    )


def _flags(arguments: Sequence[bytes]) -> dict[str, list[str]]:
    return parse_flags(arguments, short=_SHORT, switches=_SWITCHES)
