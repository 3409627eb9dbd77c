"""The eBPF programs are byte code for any machine: what is compiled for arm64 is what is compiled for amd64."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
SOURCE = TOP / "collectors/ebpf/kernel/sensor.bpf.c"


def flags() -> tuple[str, ...]:
    """Those of the build, which cannot be imported without its tools."""
    tree = ast.parse((TOP / "hatch_build.py").read_text())
    (value,) = (
        each.value for each in tree.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "FLAGS"
    )
    return tuple(ast.literal_eval(value))


def compiled(target: Path, *more: str) -> bytes:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("there is no clang")
    command = [clang, *flags(), *more, "-c", str(SOURCE), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603  (a fixed command)
    return target.read_bytes()


def test_is_the_same_for_arm64_as_for_amd64(tmp_path: Path) -> None:
    """With what libbpf's headers tell machines apart by: no program may come to hang on it."""
    amd64 = compiled(tmp_path / "amd64.o", "-D__TARGET_ARCH_x86")
    arm64 = compiled(tmp_path / "arm64.o", "-D__TARGET_ARCH_arm64")
    assert amd64 == arm64 == compiled(tmp_path / "any.o")
    assert arm64[:6] == b"\x7fELF\x02\x01"  # 64 bits, little-endian, which both machines are


def test_the_image_is_built_for_the_machine_that_is_asked_for() -> None:
    """Nothing in the build names a machine, so each platform's stage fetches and compiles for its own."""
    for name in ("Dockerfile", "deploy/image/assemble", "deploy/image/packages", "deploy/image/finish"):
        text = (TOP / name).read_text()
        code = "\n".join(line.split("#")[0] for line in text.splitlines())
        assert not [word for word in ("amd64", "x86_64", "aarch64", "arm64", "--platform") if word in code], name
