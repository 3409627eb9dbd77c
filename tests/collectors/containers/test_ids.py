from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.containers.ids import MAX_IDS, CgroupId, parse_cgroups, parse_declared_path, parse_path
from collectors.facts import CgroupMembership

A = "a1" * 32
B = "b2" * 32
UID = "2040f34c-1567-4a38-8d6e-578444975420"
UID_ = UID.replace("-", "_")
STATIC = "0123456789abcdef0123456789abcdef"
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice"

LAYOUTS = {
    "docker-cgroupfs": (f"/docker/{A}", "docker", None),
    "docker-systemd": (f"/system.slice/docker-{A}.scope", "docker", None),
    "docker-custom-parent": (f"/batch/jobs/{A}", "unknown", None),
    "docker-custom-slice": (f"/batch.slice/docker-{A}.scope", "docker", None),
    "docker-github-actions": (f"/actions_job/{A}", "docker", None),
    "docker-rootless": (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope", "docker", None),
    "docker-systemd-path-on-cgroupfs": (f"/system.slice:docker:{A}", "docker", None),
    "docker-buildkit": ("/docker/buildkit/0q5yx3hvt1jv5cxkdu0vqmmfz", "buildkit", None),
    "cri-dockerd-cgroupfs": (f"/kubepods/besteffort/pod{UID}/{A}", "unknown", UID),
    "cri-dockerd-systemd": (f"{BURSTABLE}/docker-{A}.scope", "docker", UID),
    "containerd-cgroupfs-guaranteed": (f"/kubepods/pod{UID}/{A}", "unknown", UID),
    "containerd-cgroupfs-burstable": (f"/kubepods/burstable/pod{UID}/{A}", "unknown", UID),
    "containerd-cgroupfs-static-pod": (f"/kubepods/burstable/pod{STATIC}/{A}", "unknown", STATIC),
    "containerd-systemd-guaranteed": (
        f"/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{A}.scope",
        "containerd",
        UID,
    ),
    "containerd-systemd-burstable": (f"{BURSTABLE}/cri-containerd-{A}.scope", "containerd", UID),
    "containerd-systemd-static-pod": (
        f"/kubepods.slice/kubepods-pod{STATIC}.slice/cri-containerd-{A}.scope",
        "containerd",
        STATIC,
    ),
    "containerd-systemd-path-on-cgroupfs": (
        f"/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{A}",
        "containerd",
        UID,
    ),
    "containerd-colons-without-slice": (f"/cri-containerd:{A}", "containerd", None),
    "containerd-namespace-default": (f"/default/{A}", "containerd", None),
    "containerd-namespace-moby": (f"/moby/{A}", "docker", None),
    "nerdctl": (f"/system.slice/nerdctl-{A}.scope", "containerd", None),
    "nerdctl-rootless": (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{A}.scope",
        "containerd",
        None,
    ),
    "k3s": (f"/kubepods/burstable/pod{UID}/{A}", "unknown", UID),
    "rke2-systemd": (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/cri-containerd-{A}.scope",
        "containerd",
        UID,
    ),
    "crio-systemd": (f"{BURSTABLE}/crio-{A}.scope", "cri-o", UID),
    "crio-cgroupfs": (f"/kubepods/burstable/pod{UID}/crio-{A}", "cri-o", UID),
    "crio-container-subcgroup": (f"{BURSTABLE}/crio-{A}.scope/container", "cri-o", UID),
    "podman": (f"/machine.slice/libpod-{A}.scope", "podman", None),
    "podman-container-subcgroup": (f"/machine.slice/libpod-{A}.scope/container", "podman", None),
    "podman-cgroupfs": (f"/libpod_parent/libpod-{A}", "podman", None),
    "podman-split": (f"/system.slice/web.service/libpod-payload-{A}", "podman", None),
    "podman-in-a-pod": (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", "podman", None),
    "podman-rootless": (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
        "podman",
        None,
    ),
    "private-namespace-sibling": (f"/../cri-containerd-{A}.scope", "containerd", None),
    "private-namespace-other-pod": (
        f"/../../../kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{A}.scope",
        "containerd",
        UID,
    ),
    "private-namespace-cgroupfs": (f"/../../pod{UID}/{A}", "unknown", UID),
    "path-holds-bytes-that-are-no-utf-8": (f"/\udcff\udcfe/{A}", "unknown", None),
    "path-holds-unicode-line-ends": (f"/a\x85\x0b\x1cb/docker-{A}.scope", "docker", None),
}


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(("path", "runtime", "pod_uid"), LAYOUTS.values(), ids=LAYOUTS)
def test_parses_the_id_of_every_layout(path: str, runtime: str, pod_uid: str | None) -> None:
    (found,) = parse_path(_bytes(path))
    assert found.runtime == runtime
    assert found.pod_uid == pod_uid
    assert found.id in (A, "0q5yx3hvt1jv5cxkdu0vqmmfz")
    assert found.prefix == _bytes(path.removesuffix("/container"))


@pytest.mark.parametrize(("path", "runtime", "pod_uid"), LAYOUTS.values(), ids=LAYOUTS)
def test_parses_the_same_owner_when_the_container_makes_fake_child_cgroups(
    path: str, runtime: str, pod_uid: str | None
) -> None:
    (plain,) = parse_path(_bytes(path))
    owner, *nested = parse_path(_bytes(f"{path}/kubepods/pod{UID}/docker-{B}.scope/x"))
    assert owner == plain
    assert [each.id for each in nested] == [B]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/../..",
        "/init.scope",
        "/../../../init.scope",
        "/system.slice/containerd.service",
        "/user.slice/user-1000.slice/session-1.scope",
        f"/kubepods/burstable/pod{UID}",
        f"/machine.slice/libpod-conmon-{A}.scope",
        f"{BURSTABLE}/crio-conmon-{A}.scope",
        f"/libpod_parent/conmon-{A}",
        f"/docker/{A}0",
        f"/docker/{A[1:]}",
        f"/docker/{A.upper()}",
        f"/system.slice/docker-{A}.scope\n",
        f"/system.slice/docker-{A}.service",
        "/docker/buildkit/0q5yx3hvt1jv5cxkdu0vqmmf",
        f"/supervisor/{STATIC}",
        f"/machine.slice/machine-libpod_pod_{B}.slice",
    ],
)
def test_finds_no_id_in_cgroups_of_the_host(path: str) -> None:
    assert parse_path(_bytes(path)) == ()


def test_parses_both_ids_of_a_container_in_a_container() -> None:
    kind = f"/docker/{A}/kubelet/kubepods/burstable/pod{UID}/{B}"
    assert parse_path(kind.encode()) == (
        CgroupId(A, "docker", None, f"/docker/{A}".encode()),
        CgroupId(B, "unknown", UID, kind.encode()),
    )


def test_gives_an_inner_container_no_pod_of_the_outer_one() -> None:
    outer, inner = parse_path(f"/kubepods/pod{UID}/{A}/docker/{B}".encode())
    assert (outer.pod_uid, inner.pod_uid) == (UID, None)


def test_bounds_the_number_of_ids() -> None:
    assert len(parse_path(b"/docker" + f"/{A}".encode() * 60)) == MAX_IDS


def _lines(*paths: str) -> tuple[CgroupMembership, ...]:
    return tuple(
        CgroupMembership(number, b"" if number == 0 else b"c%d" % number, path.encode())
        for number, path in enumerate(paths)
    )


def test_parses_hybrid_lines_of_which_some_are_the_root() -> None:
    found = parse_cgroups(_lines("/", f"/docker/{A}", "/", f"/docker/{A}"))
    assert found is not None
    assert found.owner.id == A
    assert found.prefixes == {f"/docker/{A}".encode()}
    assert found.nested == ()


def test_names_the_owner_that_most_hierarchies_name() -> None:
    found = parse_cgroups(_lines("/", f"/docker/{A}", f"/docker/{B}", f"/docker/{A}/x"))
    assert found is not None
    assert found.owner.id == A


def test_gives_a_tie_to_cgroup_v2() -> None:
    found = parse_cgroups(_lines(f"/docker/{B}", f"/docker/{A}"))
    assert found is not None
    assert found.owner.id == B


def test_names_no_owner_on_the_host() -> None:
    assert parse_cgroups(_lines("/", "/system.slice/ssh.service")) is None
    assert parse_cgroups(()) is None


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        (f"/docker/{A}", f"/docker/{A}"),
        (f"system.slice:docker:{A}", f"/system.slice/docker-{A}.scope"),
        (f":docker:{A}", f"/system.slice/docker-{A}.scope"),
        (f"-.slice:docker:{A}", f"/docker-{A}.scope"),
        (f"kubepods-burstable-pod{UID_}.slice:cri-containerd:{A}", f"{BURSTABLE}/cri-containerd-{A}.scope"),
        ("machine.slice::plain", "/machine.slice/plain.scope"),
        ("machine.slice:x:whole.slice", "/machine.slice/whole.slice"),
        ("", None),
        ("/", None),
        ("relative/path", None),
        ("a:b", None),
        ("a:b:c:d", None),
        ("a:b:", None),
    ],
)
def test_parses_the_declared_path(declared: str, path: str | None) -> None:
    assert parse_declared_path(declared) == (None if path is None else path.encode())


_COMPONENT = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            A.encode(),
            b"docker-%b.scope" % B.encode(),
            f"pod{UID}".encode(),
            b"..",
            b"docker",
            b"",
            b"buildkit",
            b"a:b:c",
        ]
    ),
)


@given(st.lists(_COMPONENT, max_size=12).map(lambda parts: b"/" + b"/".join(parts)))
@example(b"/" + A.encode())
def test_every_id_stands_at_the_end_of_its_prefix(path: bytes) -> None:
    lengths = [0]
    for found in parse_path(path):
        assert path.startswith(found.prefix)
        assert path[len(found.prefix) :][:1] in (b"", b"/")
        assert found.id.encode() in found.prefix.rsplit(b"/", 1)[1]
        assert len(found.prefix) > lengths[-1]
        lengths.append(len(found.prefix))


@given(st.binary())
def test_takes_any_bytes(path: bytes) -> None:
    assert isinstance(parse_path(path), tuple)


@given(st.text(st.characters(codec="utf-8")))
def test_takes_any_declared_path(text: str) -> None:
    found = parse_declared_path(text)
    assert found is None or found.startswith(b"/")
