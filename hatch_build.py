"""Compiles the eBPF programs when a wheel is built, also an editable one (docs/adr/0009).

The object holds byte code for any little-endian machine, so the wheel stays one for all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("collectors/ebpf/kernel")
OBJECT = Path("collectors/ebpf/sensor.bpf.o")
FLAGS = ("-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Werror")


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the object into the wheel; an object that was built elsewhere serves where there is no clang."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (hatchling's interface)
        """Compile, or say what is missing."""
        root = Path(self.root)
        clang = os.environ.get("CLANG") or shutil.which("clang")
        if clang is not None:
            _compile(clang, root)
        elif not (root / OBJECT).is_file():
            raise RuntimeError(
                f"clang was not found, and there is no {OBJECT} that was built before. The eBPF sensor is compiled "
                "when hullwatch is built: install clang and libbpf-dev (headers), or put a built object there."
            )
        build_data["artifacts"].append(str(OBJECT))


def _compile(clang: str, root: Path) -> None:
    """The new object takes the place of the old one only when it is whole."""
    target = root / OBJECT
    unfinished = target.with_suffix(".tmp")
    command = [clang, *FLAGS, "-c", str(root / SOURCES / "sensor.bpf.c"), "-o", str(unfinished)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (a fixed command)
    if finished.returncode:
        raise RuntimeError(f"the eBPF sensor does not compile (are libbpf's headers there?):\n{finished.stderr}")
    unfinished.replace(target)
