from __future__ import annotations

import pytest

from collectors.container_paths import AMONG_LAYERS, THROUGH_A_PROCESS, owner_of_path
from collectors.facts import Container, DeclaredMount, Mount
from tests.support import build

LAYER = b"/var/lib/docker/overlay2/" + build.container_id().encode() + b"/diff"
VOLUME = "/var/lib/docker/volumes/data/_data"


def containers() -> list[tuple[Container, Mount | None]]:
    mounts = (DeclaredMount("/data", VOLUME, "bind", ("rbind",)), DeclaredMount("/opt", "/opt/cni", "bind", ("rbind",)))
    container = build.container(declared=build.declared(mounts=mounts))
    return [(container, build.mount_table()[0]), (build.container(2, declared=build.declared(root_path="/")), None)]


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        pytest.param(LAYER + b"/x", (build.container_id(), "it lies in the layer of the container"), id="layer"),
        pytest.param(
            b"/var/lib/docker/overlay2/0001/merged/x",
            (build.container_id(), "it lies in the container's root file system"),
            id="root",
        ),
        pytest.param(
            VOLUME.encode() + b"/x", (build.container_id(), "it lies in a volume of the container"), id="volume"
        ),
        pytest.param(b"/var/lib/docker/overlay2/77/diff/x", (None, AMONG_LAYERS), id="another-layer"),
        pytest.param(b"/proc/77/root/x", (None, THROUGH_A_PROCESS), id="through-proc"),
        pytest.param(b"/proc/77/exe", (None, THROUGH_A_PROCESS), id="the-program-of-a-process"),
        pytest.param(b"/opt/cni/bin/x", None, id="a-directory-of-the-host-that-it-mounts"),
        pytest.param(b"/sbin/modprobe", None, id="the-hosts"),
    ],
)
def test_tells_whose_a_path_is(path: bytes, owner: tuple[str | None, str] | None) -> None:
    assert owner_of_path(path, containers()) == owner
