"""Builds the small C programs of `tools/`: the acts that no ordinary program performs. Static, so they run anywhere."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.patience import patient

SOURCES = Path(__file__).with_name("tools")
FLAGS = ("-static", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")


class ToolboxUnavailableError(RuntimeError):
    """The programs cannot be built here; the message says why."""


def build() -> Path:
    """The directory of the built programs, one a source file, kept from run to run while the sources stay the same."""
    sources = sorted(SOURCES.glob("*.c"))
    digest = hashlib.sha256(repr(FLAGS).encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    directory = _cache() / f"tools-{digest.hexdigest()[:16]}"
    if not directory.is_dir():
        _build_into(directory, sources)
    return directory


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hullwatch-tests"


def _build_into(directory: Path, sources: list[Path]) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise ToolboxUnavailableError("no C compiler is installed (packages gcc and libc6-dev)")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Built beside and renamed: another run of the tests never sees half of it.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="building-") as building:
        for source in sources:
            command = (compiler, *FLAGS, "-o", f"{building}/{source.stem}", str(source))
            finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=patient(120))
            if finished.returncode:
                raise ToolboxUnavailableError(f"{source.name}: {finished.stderr.strip()}")
        Path(building).chmod(0o755)
        made = Path(f"{building}.made")
        shutil.copytree(building, made)
    try:
        made.rename(directory)
    except OSError:
        # Another run was faster with the same sources.
        shutil.rmtree(made)
