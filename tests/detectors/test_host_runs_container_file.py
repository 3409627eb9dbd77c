from __future__ import annotations

from typing import Any

import pytest

from collectors.events import Exec
from collectors.facts import NOT_READ, DeclaredMount, FileId, Place, Process, Unknown
from detectors.base import Blind, Finding
from detectors.host_runs_container_file import DETECTOR
from tests.support import build
from tests.support.view import FakeView, executed, run

LAYER = b"/var/lib/docker/overlay2/" + build.container_id().encode() + b"/diff"
ON_HOST = Place(FileId(build.HOST_DEVICE, 777), build.HOST_ROOT_MOUNT)


def node(**declared: Any) -> FakeView:
    container = build.container(declared=build.declared(**declared))
    view = FakeView().put_container(container, build.first_process())
    view.tables[build.HOST_MNT] = build.host_mount_table()
    return view


def payload(path: bytes, place: Place | Unknown = ON_HOST, **overrides: Any) -> Process:
    return build.host_process(executable=build.executable(path, place=place), **overrides)


def find(task: Process, view: FakeView | None = None) -> list[Finding | Blind]:
    return run(DETECTOR, executed(task), view or node())


def test_fires_when_the_kernel_runs_a_payload_from_the_upper_layer() -> None:
    task = payload(LAYER + b"/cmd", arguments=LAYER + b"/cmd\0")
    assert find(task) == [
        Finding(
            "had its file executed by the host: it lies in the layer of the container",
            build.container_id(),
            task.key,
            evidence=(("executable", LAYER + b"/cmd"), ("arguments", (LAYER + b"/cmd", b""))),
        )
    ]


@pytest.mark.parametrize(
    ("path", "place", "reason"),
    [
        (b"/var/lib/docker/overlay2/0001/merged/x", ON_HOST, "it lies in the container's root file system"),
        (b"/var/lib/docker/volumes/db/_data/x", ON_HOST, "it lies in a volume of the container"),
        (
            b"/var/lib/kubelet/pods/12ab-34/volumes/kubernetes.io~empty-dir/tmp/x",
            ON_HOST,
            "it lies in a volume of the container",
        ),
        (b"/usr/bin/x", build.directory(), "it stands on a mount of the container"),
        (b"/x", Place(FileId(0x300, 5), build.root_mount() + 5), "it stands on a mount of the container"),
    ],
    ids=["root-path", "docker-volume", "empty-dir", "own-root", "own-tmpfs"],
)
def test_fires_when_the_file_stands_in_the_container(path: bytes, place: Place, reason: str) -> None:
    view = node(
        mounts=(
            DeclaredMount("/data", "/var/lib/docker/volumes/db/_data", "bind", ("rbind",)),
            DeclaredMount(
                "/tmp", "/var/lib/kubelet/pods/12ab-34/volumes/kubernetes.io~empty-dir/tmp", "bind", ("rbind",)
            ),
        )
    )
    (finding,) = find(payload(path, place), view)
    assert isinstance(finding, Finding)
    assert finding.message == f"had its file executed by the host: {reason}"


def test_fires_without_a_container_when_the_layer_is_nobodys_that_is_known() -> None:
    (finding,) = find(payload(b"/var/lib/docker/overlay2/another/diff/x"))
    assert isinstance(finding, Finding)
    assert finding.container_id is None
    assert finding.message == "had its file executed by the host: it lies among the layers of images and containers"


def test_fires_for_the_container_whose_layer_it_is() -> None:
    view = node()
    for number in (2, 3):
        view.put_container(build.container(number), build.first_process(number))
    (finding,) = find(
        payload(LAYER.replace(build.container_id().encode(), build.container_id(3).encode()) + b"/x"), view
    )
    assert isinstance(finding, Finding)
    assert finding.container_id == build.container_id(3)


def test_fires_when_the_kernel_runs_a_script_from_the_upper_layer() -> None:
    arguments = b"/bin/sh\0" + LAYER + b"/release-the-agent\0"
    task = payload(b"/usr/bin/dash", arguments=arguments, name=b"release-the-age")
    (finding,) = find(task)
    assert isinstance(finding, Finding)
    assert finding.subject == task.key


def test_fires_when_the_program_stood_on_a_mount_that_the_container_had() -> None:
    view = node()
    view.ids_gone[4026532100] = frozenset({1777})
    (finding,) = find(payload(b"/x", Place(FileId(0x555, 5), 1777)), view)
    assert isinstance(finding, Finding)


@pytest.mark.parametrize(
    "task",
    [
        payload(b"/usr/bin/dash"),
        payload(b"/opt/cni/bin/bridge"),
        payload(b"/var/lib/docker/overlay2x/y"),
        payload(b"/usr/bin/tar", arguments=b"tar\0" + LAYER + b"/x\0", name=b"tar"),
        payload(b"/memfd:x", Place(FileId(build.MEMFD_DEVICE, 9), 4)),
    ],
    ids=["system", "cni-plug-in", "a-name-alike", "an-argument", "memfd"],
)
def test_silent_when_the_host_runs_its_own(task: Process) -> None:
    hostpath = (DeclaredMount("/host/opt/cni/bin", "/opt/cni/bin", "bind", ("rbind",)),)
    assert find(task, node(mounts=hostpath)) == []


def test_silent_when_a_container_has_the_hosts_whole_root() -> None:
    assert find(payload(b"/opt/x"), node(root_path="/")) == []


def test_silent_when_a_containers_root_lies_on_the_hosts_disk_like_all_else() -> None:
    view = node()
    plain = build.mount(build.root_mount(), root=b"/var/lib/docker/vfs/dir/1")
    view.tables[4026532100] = (plain, *build.mount_table()[1:])
    assert find(payload(b"/opt/x"), view) == []


def test_silent_when_the_process_entered_the_containers_mount_namespace() -> None:
    inside = build.host_confinement(namespaces=build.host_namespaces(mnt=4026532100))
    assert find(payload(b"/usr/bin/dash", build.directory(), confinement=inside)) == []


def test_silent_when_the_process_belongs_to_the_container() -> None:
    task = build.process()
    assert find(task, node().put(build.member(task))) == []


def test_silent_when_the_runtime_is_on_its_way_into_the_container() -> None:
    task = payload(b"/usr/bin/dash", build.directory())
    view = node()
    view.becoming.add(task.key)
    assert find(task, view) == []


def test_blind_when_the_executable_is_not_known() -> None:
    task = build.host_process(executable=Unknown("gone: exe"))
    assert find(task) == [Blind("gone: exe", task.key)]


def test_blind_when_nobody_knows_where_the_executable_stands() -> None:
    task = payload(b"/usr/bin/dash", Unknown("denied: exe"))
    assert find(task) == [Blind("denied: exe", task.key)]


def test_blind_when_the_mount_namespace_is_not_known() -> None:
    nowhere = build.host_confinement(namespaces=build.host_namespaces(mnt=Unknown("denied: mnt")))
    task = payload(b"/usr/bin/dash", confinement=nowhere)
    assert find(task) == [Blind("denied: mnt", task.key)]


def test_silent_when_the_runtime_runs_from_a_detached_mount_whose_id_was_a_containers() -> None:
    host = build.host_baseline()
    runtime = next(iter(host.runtime_binaries))
    table = build.mount_table()
    place = Place(runtime, table[1].mnt_id)
    process = build.host_process(executable=build.executable(b"/", place=place, layer=NOT_READ))
    view = FakeView(host=host).put_container(build.container(), build.first_process())
    view.tables[build.mnt_namespace()] = table
    assert list(DETECTOR.check(Exec(build.NOW_NS, process), view)) == []
