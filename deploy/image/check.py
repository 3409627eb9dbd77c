"""Tries the image out while it is built, inside its own root: what is missing, or too much, ends the build."""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
import socket
import sqlite3
import ssl
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

OURS = ("agent", "collectors", "detectors")
# What is imported only where it is needed, or by libraries when they are used.
LAZY = ("docker", "kubernetes.client", "kubernetes.config", "kubernetes.watch", "msgpack._cmsgpack", "pyroute2")
PROGRAMS = {"python3.11"}
UNWANTED = ("ensurepip", "pip", "setuptools", "wheel", "hatchling")


def problems() -> list[str]:
    """What is wrong with the image, a line each."""
    found = list(_import_everything())
    ctypes.CDLL("libbpf.so.1")
    with sqlite3.connect(":memory:") as database:
        database.execute("PRAGMA user_version")
    if not ssl.create_default_context().get_ca_certs():
        found.append("no certificate authority is known")
    if socket.getprotobyname("tcp") != socket.IPPROTO_TCP:
        found.append("/etc/protocols is not read")
    programs = {path.name for place in ("/bin", "/sbin") for path in Path(place).iterdir()}
    if programs != PROGRAMS:
        found.append(f"the programs are {sorted(programs)}, and should be {sorted(PROGRAMS)}")
    found += [f"{name} is there" for name in UNWANTED if importlib.util.find_spec(name) is not None]
    found += [
        f"{source} has no bytecode"
        for place in (Path(sys.prefix) / "lib", Path("/usr/lib/python3.11"))
        for source in place.rglob("*.py")
        if not Path(cache_from_source(str(source))).is_file()
    ]
    return found


def _import_everything() -> list[str]:
    """Each module of ours, each lazy library and each compiled module of Python that cannot be imported."""
    names = [*OURS, *LAZY]
    for package in OURS:
        parts = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        names += [module.name for module in parts if not module.name.endswith("__main__")]
    compiled = Path("/usr/lib/python3.11/lib-dynload").iterdir()
    names += [path.name.split(".")[0] for path in compiled if path.suffix == ".so"]
    found = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            found.append(f"{name} cannot be imported: {error}")
    return found


if __name__ == "__main__":
    said = problems()
    subprocess.run([Path(sys.prefix) / "bin/hullwatch", "--version"], check=True)
    sys.exit("\n".join(said) or 0)
