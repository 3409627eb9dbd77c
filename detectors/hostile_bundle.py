"""A container's bundle holds what nobody asks for honestly: the configuration itself is the exploit.

A working directory below ``/proc/self/fd`` is a directory of the host that the runtime left open (CVE-2024-21626); a
sysctl value with ``+`` or ``=`` smuggles a second sysctl past CRI-O (CVE-2022-0811); an image whose ``/dev`` is a link
has the runtime make devices on the host (CVE-2026-41579); a hook is a program that the runtime runs on the host as
root, and one that runs with the container's environment obeys its ``LD_PRELOAD`` (CVE-2025-23266).

*Fires on:* one of these, by declaration: a working directory below ``/proc/*/fd``, ``cwd`` or ``root``; a sysctl with
``+``, ``=``, ``&`` or ``?``; ``/dev`` of the root file system as a symbolic link; a hook outside the directories where
distributions install programs (docker's own, ``/proc/PID/exe``, is silent); ``LD_PRELOAD`` together with
createContainer hooks (medium and likely: honest images preload allocators).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from collectors.declarations import in_own_user_namespace
from collectors.events import ContainerSeen
from collectors.facts import Declared, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Tier,
)

WORKING_DIRECTORY = "working directory in a descriptor of the runtime"
SYSCTL = "sysctl that holds a second one"
LINKED_DEV = "/dev of the image is a symbolic link"
HOOK = "hook outside the system's directories"
PRELOAD = "LD_PRELOAD for a hook"

OPENS = {
    WORKING_DIRECTORY: "starts in a directory of the host",
    SYSCTL: "sets core_pattern, whose program the kernel runs as root on the host",
    LINKED_DEV: "has the runtime make devices in a directory of the host",
    HOOK: "has the runtime run a program of its choice on the host",
    PRELOAD: "has a hook of the runtime load a library of the image on the host",
}

_MAGIC_LINK = re.compile(r"/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/(?:fd|cwd|root|exe)(?:/|\Z)")
_SEPARATORS = re.compile(r"[+=&?]")  # pinns of CRI-O splits at +, and at = (CVE-2022-0811)
_ENGINES_HOOK = re.compile(r"/proc/\d+/exe")
_INSTALLED = (
    "/bin/",
    "/home/kubernetes/bin/",
    "/lib/",
    "/lib64/",
    "/nix/store/",
    "/opt/",
    "/sbin/",
    "/snap/",
    "/usr/",
    "/var/lib/k0s/bin/",
    "/var/lib/rancher/",
)


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List what is hostile in the bundle."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    is_apart = in_own_user_namespace(declared, view.first_process(container.id), view.host)
    found = list(_hostile(declared, is_apart=is_apart))
    if isinstance(container.has_linked_dev, Unknown):
        yield Blind(container.has_linked_dev.why)
    elif container.has_linked_dev:
        found.append((LINKED_DEV, declared.root_path))
    if found:
        is_doubtful = {kind for kind, _ in found} == {PRELOAD}
        yield Finding(
            "was started from a bundle that is an exploit: " + ", ".join(dict.fromkeys(kind for kind, _ in found)),
            container.id,
            evidence=(
                ("parts", tuple(f"{kind}: {text}" for kind, text in found)),
                ("opens", tuple(dict.fromkeys(OPENS[kind] for kind, _ in found))),
            ),
            severity=Severity.MEDIUM if is_doubtful else None,
            confidence=Confidence.LIKELY if is_doubtful else Confidence.CERTAIN,
        )


def _hostile(declared: Declared, *, is_apart: bool) -> Iterator[tuple[str, str]]:
    """(what it is, the text that shows it)."""
    if _passes_magic_link(declared.working_directory):
        yield WORKING_DIRECTORY, declared.working_directory
    for name, value in declared.sysctls:
        if _SEPARATORS.search(name) or _SEPARATORS.search(value):
            yield SYSCTL, f"{name}={value}"
    for hook in dict.fromkeys(declared.hooks):
        path = posixpath.normpath(hook)
        if not is_apart and not path.startswith(_INSTALLED) and not _ENGINES_HOOK.fullmatch(path):
            yield HOOK, hook
    preload = next((each for each in declared.environment if each.startswith("LD_PRELOAD=")), None)
    if preload is not None and declared.container_hooks:
        yield PRELOAD, preload


def _passes_magic_link(path: str) -> bool:
    """A path goes through a descriptor, at any component: a ``..`` after it is the descriptor's."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return any(_MAGIC_LINK.match(posixpath.normpath("/" + "/".join(parts[:end]))) for end in range(1, len(parts) + 1))


DETECTOR = Detector(
    id="HW-311",
    name="hostile_bundle",
    family=Family.EXPOSURE,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container's bundle holds settings that only an exploit of the runtime has a use for.",
    benign=(
        "docker's own prestart hook, which is /proc/PID/exe of the engine.",
        "Hooks of GPU toolkits, podman, CRI-O and nerdctl where they are installed: below /usr, /opt and their like.",
        "Hooks in a user's home where the engine is that user's own (rootless).",
        "Images that preload an allocator, on nodes with createContainer hooks (GPUs): medium and likely; except them.",
    ),
    misses=(
        "A link of the image on the way of the working directory: only its text is known here, HW-104 sees the rest.",
        "Arguments and environment of hooks, and a hook that was replaced where it stands: HW-219.",
        "/dev of a root file system on FUSE, or one that is gone already (counted as blind).",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Stop the container, and look for who asked for it: the image's WORKDIR and ENV, or the pod's sysctls.",
        "Update runc (1.1.12 and later), CRI-O (1.19.6, 1.20.7, 1.21.6, 1.22.3, 1.23.2) and the GPU toolkit (1.17.8).",
    ),
    references=(
        "https://github.com/opencontainers/runc/security/advisories/GHSA-xr7r-f8xq-vfvv",
        "https://nvd.nist.gov/vuln/detail/CVE-2022-0811",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-23266",
        "https://github.com/opencontainers/runc/security/advisories/GHSA-xjvp-4fhw-gc47",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
