"""The test image, made from this machine: busybox with all applets, the toolbox, a few dynamic programs, some users.

Nothing is downloaded. In `/opt/tools` are the programs of `tools/`; `/opt/tools/setuid_run` is set-uid root and
`/bin/ping` holds CAP_NET_RAW as a file capability (vfs_cap_data, include/uapi/linux/capability.h).
"""

import io
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.engine import Engine, EngineUnavailableError
from tests.support.patience import patient

NAME = "hullwatch-live"
CAP_NET_RAW = 13
VFS_CAP_REVISION_2 = 0x02000000
VFS_CAP_EFFECTIVE = 1
DIRECTORIES = (
    *("bin", "usr", "usr/bin", "etc", "opt", "opt/tools", "proc", "sys", "dev", "jail", "jail/bin"),
    *("root", "home", "srv", "mnt", "var", "var/log", "var/spool"),
)
WORLD_WRITABLE = ("tmp", "var/tmp")
MODES = {"setuid_run": 0o4755}
DYNAMIC_PROGRAMS = ("sleep", "sort", "nsenter")
FILES = {
    "etc/passwd": "root::0:0::/root:/bin/sh\nworker::1000:1000::/home:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": "root:x:0:\nworker:x:1000:\nnogroup:x:65534:\n",
    "etc/shadow": "root::19000:0:99999:7:::\nworker::19000:0:99999:7:::\n",
    "etc/image-release": "a file of the image\n",
}


def import_into(engine: Engine, tools: Path, names: Mapping[str, str] | None = None, busybox: bytes = b"") -> str:
    """Make the image in an engine; its name. The engine's containers use it unless told otherwise.

    With `names`, applets and tools have these names instead of their own, and `busybox` answers to them.
    """
    name = f"{NAME}:{engine.session}{'-renamed' if names else ''}"
    engine.docker("import", "-", name, text_in=_archive(tools, names or {}, busybox), timeout_seconds=120)
    engine.image = name
    return name


def _archive(tools: Path, names: Mapping[str, str], renamed: bytes) -> bytes:
    busybox = shutil.which("busybox")
    if not busybox:
        raise EngineUnavailableError("busybox is not installed (package busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in DIRECTORIES:
            _add_directory(archive, path, 0o755)
        for path in WORLD_WRITABLE:
            _add_directory(archive, path, 0o1777)
        for path, text in FILES.items():
            _add_bytes(archive, path, text.encode(), 0o644)
        program = renamed or Path(busybox).read_bytes()

        def called(name: str) -> str:
            return names.get(name, name)

        _add_bytes(archive, f"bin/{called('busybox')}", program, 0o755)
        _add_bytes(archive, f"jail/bin/{called('sleep')}", program, 0o755)
        _add_bytes(archive, f"bin/{called('su')}", program, 0o4755)
        _add_bytes(archive, f"bin/{called('ping')}", program, 0o755, capability=CAP_NET_RAW)
        for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
            if applet not in ("busybox", "su", "ping"):
                _add_link(archive, f"bin/{called(applet)}", f"/bin/{called('busybox')}")
        for tool in sorted(tools.iterdir()):
            _add_bytes(archive, f"opt/tools/{called(tool.name)}", tool.read_bytes(), MODES.get(tool.name, 0o755))
        _add_dynamic_programs(archive)
    return buffer.getvalue()


def _add_dynamic_programs(archive: tarfile.TarFile) -> None:
    """Programs with shared libraries, as `/usr/bin/dynamic-NAME`; none where the machine's own are static."""
    libraries: set[str] = set()
    for name in DYNAMIC_PROGRAMS:
        path = shutil.which(name, path="/usr/bin:/bin")
        if path:
            _add_bytes(archive, f"usr/bin/dynamic-{name}", Path(path).read_bytes(), 0o755)
            listed = subprocess.run(
                ["ldd", path], check=False, capture_output=True, text=True, timeout=patient(20)
            ).stdout
            libraries.update(word for word in listed.split() if word.startswith("/"))
    made: set[str] = set()
    for library in sorted(libraries):
        for parent in reversed(Path(library).parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                _add_directory(archive, str(parent).lstrip("/"), 0o755)
        _add_bytes(archive, library.lstrip("/"), Path(library).read_bytes(), 0o755)


def _add_directory(archive: tarfile.TarFile, path: str, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _add_link(archive: tarfile.TarFile, path: str, target: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _add_bytes(archive: tarfile.TarFile, path: str, content: bytes, mode: int, capability: int | None = None) -> None:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.size = mode, len(content)
    if capability is not None:
        value = struct.pack("<5I", VFS_CAP_REVISION_2 | VFS_CAP_EFFECTIVE, 1 << capability, 0, 0, 0)
        entry.pax_headers = {"SCHILY.xattr.security.capability": value.decode("latin-1")}
    archive.addfile(entry, io.BytesIO(content))
