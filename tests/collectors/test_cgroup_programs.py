"""Device programs of a real cgroup v2, attached and taken off by bpf(2), in a mount namespace of our own."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.cgroup_programs import read_device_programs
from collectors.errors import CollectorError, Gone, Unsupported
from tests.support.device_program import DeviceProgram
from tests.support.namespaces import namespace_shell
from tests.support.stage import unique_name


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Path]:
    """An empty cgroup of our own, seen through the mount namespace of a shell."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with namespace_shell() as shell:
        try:
            shell.run(f"mount -t cgroup2 none {tmp_path}")
        except AssertionError:
            pytest.skip("cgroup v2 cannot be mounted here")
        path = Path(f"/proc/{shell.pid}/root{tmp_path}") / unique_name()
        path.mkdir()
        try:
            read_device_programs(str(path))
        except CollectorError as error:
            path.rmdir()
            pytest.skip(f"programs cannot be asked for here: {error}")
        try:
            yield path
        finally:
            path.rmdir()


def test_tells_of_programs_as_they_come_and_go(group: Path) -> None:
    assert read_device_programs(str(group)) == ()
    with DeviceProgram(group) as first:
        one = read_device_programs(str(group))
        assert len(one) == 1
        with DeviceProgram(group):
            two = read_device_programs(os.fsencode(group))
            assert len(two) == 2
            assert set(one) < set(two)
            first.detach()
            assert read_device_programs(str(group)) == tuple(sorted(set(two) - set(one)))
    assert read_device_programs(str(group)) == ()


def test_a_program_of_the_parent_is_not_told(group: Path) -> None:
    child = group / "child"
    child.mkdir()
    try:
        with DeviceProgram(group):
            assert read_device_programs(str(child)) == ()
    finally:
        child.rmdir()


def test_a_real_runtime_guards_its_container(tmp_path: Path) -> None:
    """Runc in a mount namespace where /sys/fs/cgroup is version 2: its program is there, and another may be added."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    runc, busybox, name = shutil.which("runc"), shutil.which("busybox"), unique_name()
    if runc is None or busybox is None:
        pytest.skip("runc or busybox is not installed")
    bundle, root = tmp_path / "bundle", tmp_path / "root"
    (bundle / "rootfs").mkdir(parents=True)
    shutil.copy(busybox, bundle / "rootfs/busybox")
    subprocess.run((runc, "spec", "--bundle", str(bundle)), check=True, timeout=30)  # noqa: S603 (the installed runtime)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"] |= {"terminal": False, "args": ["/busybox", "sleep", "60"]}
    spec["linux"]["cgroupsPath"] = f"/{name}"
    (bundle / "config.json").write_text(json.dumps(spec))
    command = f"{runc} --root {root}"
    with namespace_shell() as shell:
        try:
            shell.run("mount -t cgroup2 none /sys/fs/cgroup")
        except AssertionError:
            pytest.skip("cgroup v2 cannot be mounted here")
        shell.run(f"{command} run --detach --bundle {bundle} {name} < /dev/null > /dev/null 2>&1")
        try:
            group = Path(f"/proc/{shell.pid}/root/sys/fs/cgroup/{name}")
            guards = read_device_programs(str(group))
            assert len(guards) == 1
            with DeviceProgram(group):
                assert set(guards) < set(read_device_programs(str(group)))
        finally:
            shell.run(f"{command} delete --force {name} > /dev/null 2>&1")
        assert not group.exists()


def test_a_cgroup_that_is_gone() -> None:
    with pytest.raises(Gone):
        read_device_programs("/nowhere/at/all")


def test_what_is_no_cgroup_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CollectorError):
        read_device_programs(str(tmp_path))


def test_an_unknown_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(Unsupported, match="bpf\\(2\\) on s390x is not known"):
        read_device_programs("/")
