"""The order of confinements is a partial order in every aspect; what is not known never counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.confinement import (
    ASPECTS,
    Aspect,
    CapabilitySet,
    Dimension,
    Frame,
    Relation,
    Standing,
    Widening,
    compare,
    is_unconfined_label,
    is_within,
    standing,
    undecided,
    wider,
)
from collectors.facts import (
    NAMESPACE_KINDS,
    Capabilities,
    CgroupMembership,
    Confinement,
    FileId,
    Ids,
    Namespaces,
    Place,
    Seccomp,
    SeccompMode,
    Unknown,
)
from tests.support import build

BY_NAME = {aspect.name: aspect for aspect in ASPECTS}
DENIED = Unknown("denied")
UNKNOWN = st.sampled_from([DENIED, Unknown("gone"), Unknown("not_read")])

# Small pools, so that equal, wider and narrower values all come up often.
INODE = st.sampled_from([build.HOST_MNT, build.HOST_USER, 4026532100, 4026532200])
PLACE = st.builds(
    Place,
    st.sampled_from([build.HOST_ROOT, FileId(build.HOST_DEVICE, 131073), FileId(build.OVERLAY_DEVICE, 2)]),
    st.sampled_from([build.HOST_ROOT_MOUNT, build.root_mount(), build.root_mount() + 1]),
)
ID = st.sampled_from([0, 1000, 65534])
IDS = st.builds(Ids, ID, ID, ID, ID)
MASK = st.integers(min_value=0, max_value=7)
CAPABILITIES = st.builds(Capabilities, MASK, MASK, MASK, MASK, MASK)
SECCOMP = st.builds(
    Seccomp, st.sampled_from(SeccompMode), st.integers(min_value=0, max_value=3) | st.just(Unknown("unsupported"))
)
LABEL = st.sampled_from(
    [
        None,
        b"unconfined",
        b"unconfined\n",
        b"docker-default (enforce)",
        b"cri-containerd.apparmor.d (enforce)",
        b"system_u:system_r:container_t:s0:c1,c2\x00",
        b"system_u:system_r:spc_t:s0\x00",
    ]
)
CGROUP = st.builds(
    CgroupMembership,
    st.sampled_from([0, 4]),
    st.sampled_from([b"", b"devices"]),
    st.sampled_from([b"/", build.cgroup_path(), build.cgroup_path() + b"/init.scope", b"/user.slice"]),
)


def varied(aspect: Aspect) -> st.SearchStrategy[Confinement]:
    """Confinements that differ in what the aspect is about, and in nothing else: cheap to make, often comparable."""
    if aspect.dimension is Dimension.NAMESPACES:
        kind = aspect.name.removesuffix("_namespace")
        return (INODE | UNKNOWN).map(
            lambda inode: replace(build.confinement(), namespaces=replace(build.namespaces(), **{kind: inode}))
        )
    if aspect.name.endswith("_capabilities"):
        return st.builds(
            lambda sets, user: build.confinement(capabilities=sets, namespaces=build.namespaces(user=user)),
            CAPABILITIES | UNKNOWN,
            st.sampled_from([build.HOST_USER, build.own_user_namespace(), DENIED]),
        )
    return FIELDS[aspect.name].map(lambda value: replace(build.confinement(), **{aspect.name: value}))


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "root": PLACE | UNKNOWN,
    "cwd": PLACE | UNKNOWN,
    "uids": IDS | UNKNOWN,
    "gids": IDS | UNKNOWN,
    "no_new_privs": st.booleans() | UNKNOWN,
    "seccomp": SECCOMP | UNKNOWN,
    "lsm_label": LABEL | UNKNOWN,
    "cgroups": st.lists(CGROUP, max_size=2).map(tuple) | UNKNOWN,
}
FRAME = st.sampled_from(
    [
        build.frame(),
        build.frame(namespaces=Namespaces(**dict.fromkeys(NAMESPACE_KINDS, DENIED))),
        build.frame(root=DENIED),
        build.frame(given_mounts=DENIED),
        build.frame(cgroup_paths=DENIED),
    ]
)
CONFINEMENT = st.sampled_from(ASPECTS).flatmap(varied)
each_aspect = pytest.mark.parametrize("aspect", ASPECTS, ids=[aspect.name for aspect in ASPECTS])


def names(widenings: tuple[Widening, ...]) -> list[str]:
    return [widening.aspect for widening in widenings]


def test_every_fact_of_a_confinement_is_in_the_order_once() -> None:
    assert [aspect.name for aspect in ASPECTS] == [
        *(f"{kind}_namespace" for kind in NAMESPACE_KINDS),
        "root",
        "cwd",
        "uids",
        "gids",
        "inheritable_capabilities",
        "permitted_capabilities",
        "effective_capabilities",
        "bounding_capabilities",
        "ambient_capabilities",
        "no_new_privs",
        "seccomp",
        "lsm_label",
        "cgroups",
    ]


@each_aspect
@given(data=st.data(), frame=FRAME)
def test_the_order_is_reflexive_on_what_is_known(aspect: Aspect, data: st.DataObject, frame: Frame) -> None:
    a = data.draw(varied(aspect))
    value = aspect.value(a)
    known = not isinstance(value, Unknown)
    countless = isinstance(value, Seccomp) and value.mode is SeccompMode.FILTER and isinstance(value.filters, Unknown)
    assert compare(aspect, a, a, frame) is (Relation.EQUAL if known and not countless else Relation.UNKNOWN)


@each_aspect
@given(data=st.data(), frame=FRAME)
def test_the_order_is_antisymmetric(aspect: Aspect, data: st.DataObject, frame: Frame) -> None:
    a, b = data.draw(varied(aspect)), data.draw(varied(aspect))
    mirrored = {Relation.WIDER: Relation.NARROWER, Relation.NARROWER: Relation.WIDER}
    relation = compare(aspect, a, b, frame)
    assert compare(aspect, b, a, frame) is mirrored.get(relation, relation)
    if relation is Relation.EQUAL:
        left, right = aspect.value(a), aspect.value(b)
        if isinstance(left, Seccomp) and isinstance(right, Seccomp) and left.mode is not SeccompMode.FILTER:
            left, right = left.mode, right.mode  # the count means nothing without a filter
        assert left == right


@each_aspect
@given(data=st.data(), frame=FRAME)
def test_the_order_is_transitive(aspect: Aspect, data: st.DataObject, frame: Frame) -> None:
    a, b, c = (data.draw(varied(aspect)) for _ in range(3))
    at_least = {Relation.WIDER, Relation.EQUAL}
    first, second = compare(aspect, a, b, frame), compare(aspect, b, c, frame)
    if first in at_least and second in at_least:
        strict = Relation.WIDER in {first, second}
        assert compare(aspect, a, c, frame) is (Relation.WIDER if strict else Relation.EQUAL)


@each_aspect
@given(data=st.data(), frame=FRAME)
def test_what_is_unknown_is_never_wider_and_never_equal(aspect: Aspect, data: st.DataObject, frame: Frame) -> None:
    a, b = data.draw(varied(aspect)), data.draw(varied(aspect))
    if isinstance(aspect.value(a), Unknown) or isinstance(aspect.value(b), Unknown):
        assert compare(aspect, a, b, frame) is Relation.UNKNOWN
        assert aspect.name in undecided(a, b, frame)
        assert aspect.name not in names(wider(a, b, frame))


@given(a=CONFINEMENT, frame=FRAME)
def test_nothing_is_wider_than_itself(a: Confinement, frame: Frame) -> None:
    assert wider(a, a, frame) == ()


@given(a=CONFINEMENT, b=CONFINEMENT, frame=FRAME)
def test_wider_tells_exactly_the_aspects_that_compare_as_wider(a: Confinement, b: Confinement, frame: Frame) -> None:
    assert wider(a, b, frame) == tuple(
        Widening(aspect.dimension, aspect.name, aspect.value(b), aspect.value(a))
        for aspect in ASPECTS
        if compare(aspect, a, b, frame) is Relation.WIDER
    )


@given(a=CONFINEMENT, b=CONFINEMENT, frame=FRAME)
def test_an_aspect_that_widened_one_way_is_silent_the_other_way(a: Confinement, b: Confinement, frame: Frame) -> None:
    assert not set(names(wider(a, b, frame))) & set(names(wider(b, a, frame)))


def test_silent_when_a_runtime_goes_from_the_host_into_a_container() -> None:
    assert wider(build.confinement(), build.host_confinement(), build.frame()) == ()


def test_tells_every_aspect_when_a_container_process_becomes_the_host() -> None:
    assert names(wider(build.host_confinement(), build.confinement(), build.frame())) == [
        "mnt_namespace",
        "pid_namespace",
        "net_namespace",
        "ipc_namespace",
        "uts_namespace",
        "cgroup_namespace",
        "root",
        "cwd",
        "permitted_capabilities",
        "effective_capabilities",
        "bounding_capabilities",
        "seccomp",
        "lsm_label",
        "cgroups",
    ]


def test_a_widening_holds_both_values() -> None:
    now = replace(build.confinement(), namespaces=build.namespaces(net=build.HOST_NET))
    assert wider(now, build.confinement(), build.frame()) == (
        Widening(Dimension.NAMESPACES, "net_namespace", build.namespaces().net, build.HOST_NET),
    )


@given(a=MASK, b=MASK)
def test_capabilities_compare_as_sets(a: int, b: int) -> None:
    aspect = BY_NAME["permitted_capabilities"]
    left = build.confinement(capabilities=build.capabilities(permitted=a))
    right = build.confinement(capabilities=build.capabilities(permitted=b))
    missing, added = b & ~a, a & ~b
    wanted = {
        (False, False): Relation.EQUAL,
        (False, True): Relation.WIDER,
        (True, False): Relation.NARROWER,
        (True, True): Relation.APART,
    }[bool(missing), bool(added)]
    assert compare(aspect, left, right, build.frame()) is wanted


@given(a=MASK, b=MASK)
def test_capabilities_of_two_user_namespaces_are_apart(a: int, b: int) -> None:
    nested = build.namespaces(user=build.own_user_namespace())
    left = build.confinement(capabilities=build.capabilities(a), namespaces=nested)
    right = build.confinement(capabilities=build.capabilities(b))
    assert compare(BY_NAME["effective_capabilities"], left, right, build.frame()) is Relation.APART
    assert BY_NAME["effective_capabilities"].value(left) == CapabilitySet(build.own_user_namespace(), a)


def test_capabilities_are_unknown_when_their_user_namespace_is() -> None:
    odd = build.confinement(namespaces=build.namespaces(user=DENIED))
    assert compare(BY_NAME["bounding_capabilities"], odd, build.confinement(), build.frame()) is Relation.UNKNOWN


def test_two_containers_namespaces_are_apart() -> None:
    assert (
        compare(BY_NAME["mnt_namespace"], build.confinement(1), build.confinement(2), build.frame()) is Relation.APART
    )


def test_equal_namespaces_are_equal_also_when_the_host_is_not_known() -> None:
    frame = build.frame(namespaces=build.host_namespaces(net=DENIED))
    assert compare(BY_NAME["net_namespace"], build.confinement(), build.confinement(), frame) is Relation.EQUAL
    assert compare(BY_NAME["net_namespace"], build.confinement(2), build.confinement(), frame) is Relation.UNKNOWN


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        pytest.param(build.root_place(), Standing.GIVEN, id="own-root"),
        pytest.param(build.host_directory(), Standing.FOREIGN, id="host-directory"),
        pytest.param(build.HOST_ROOT_PLACE, Standing.HOST_ROOT, id="host-root"),
        pytest.param(Place(build.HOST_ROOT, build.root_mount()), Standing.HOST_ROOT, id="host-root-on-a-given-mount"),
    ],
)
def test_standing_of_a_directory(place: Place, wanted: Standing) -> None:
    assert standing(place, build.frame()) is wanted


def test_standing_is_unknown_when_the_frame_is() -> None:
    assert standing(build.root_place(), build.frame(root=DENIED)) == DENIED
    assert standing(build.root_place(), build.frame(given_mounts=DENIED)) == DENIED
    assert standing(build.HOST_ROOT_PLACE, build.frame(given_mounts=DENIED)) is Standing.HOST_ROOT


@pytest.mark.parametrize(
    ("path", "ancestor", "wanted"),
    [
        pytest.param(b"/docker/aa", b"/docker/aa", True, id="itself"),
        pytest.param(b"/docker/aa/init.scope", b"/docker/aa", True, id="child"),
        pytest.param(b"/docker/aab", b"/docker/aa", False, id="longer-name"),
        pytest.param(b"/docker", b"/docker/aa", False, id="parent"),
        pytest.param(b"/", b"/docker/aa", False, id="root"),
        pytest.param(b"/docker/aa", b"/", True, id="all-is-in-the-root"),
        pytest.param(b"/", b"/", True, id="root-is-in-the-root"),
        pytest.param(b"/docker/aa\xff\n:x", b"/docker", True, id="hostile-name"),
    ],
)
def test_is_within(path: bytes, ancestor: bytes, wanted: bool) -> None:
    assert is_within(path, ancestor) is wanted


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        pytest.param(b"unconfined", True, id="apparmor"),
        pytest.param(b"unconfined\n", True, id="apparmor-newline"),
        pytest.param(b"unconfined_but_not (enforce)", False, id="apparmor-prefix"),
        pytest.param(b"docker-default (enforce)", False, id="apparmor-profile"),
        pytest.param(b"docker-default//&:lxd:unconfined (enforce)", False, id="apparmor-stacked"),
        pytest.param(b"unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\x00", True, id="selinux-unconfined"),
        pytest.param(b"system_u:system_r:spc_t:s0", True, id="selinux-privileged-container"),
        pytest.param(b"system_u:system_r:container_t:s0:c1,c2", False, id="selinux-container"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_is_unconfined_label(label: bytes, wanted: bool) -> None:
    assert is_unconfined_label(label) is wanted


@pytest.mark.parametrize(
    ("now", "was", "wanted"),
    [
        pytest.param(build.seccomp(0), build.seccomp(1), Relation.WIDER, id="filter-gone"),
        pytest.param(build.seccomp(1), build.seccomp(2), Relation.WIDER, id="fewer-filters"),
        pytest.param(build.seccomp(2), build.seccomp(1), Relation.NARROWER, id="more-filters"),
        pytest.param(Seccomp(SeccompMode.STRICT, 0), build.seccomp(1), Relation.NARROWER, id="strict"),
        pytest.param(
            Seccomp(SeccompMode.DISABLED, DENIED), Seccomp(SeccompMode.FILTER, DENIED), Relation.WIDER, id="old-kernel"
        ),
        pytest.param(
            Seccomp(SeccompMode.FILTER, DENIED), Seccomp(SeccompMode.FILTER, 1), Relation.UNKNOWN, id="count-unknown"
        ),
    ],
)
def test_fewer_seccomp_filters_are_wider(now: Seccomp, was: Seccomp, wanted: Relation) -> None:
    left, right = build.confinement(seccomp=now), build.confinement(seccomp=was)
    assert compare(BY_NAME["seccomp"], left, right, build.frame()) is wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        pytest.param(build.cgroup_path() + b"/init.scope", Relation.APART, id="child-cgroup"),
        pytest.param(b"/", Relation.WIDER, id="root"),
        pytest.param(build.cgroup_path(2), Relation.WIDER, id="another-container"),
    ],
)
def test_a_cgroup_outside_is_wider(path: bytes, wanted: Relation) -> None:
    now = build.confinement(cgroups=build.cgroups(path))
    assert compare(BY_NAME["cgroups"], now, build.confinement(), build.frame()) is wanted


def test_one_hierarchy_left_is_wider_than_none() -> None:
    frame = build.frame(cgroup_paths=frozenset({build.cgroup_path_v1()}))
    was = build.confinement(cgroups=build.cgroups_v1())
    one = build.confinement(cgroups=build.cgroups_v1(memory=b"/"))
    two = build.confinement(cgroups=build.cgroups_v1(memory=b"/", devices=b"/"))
    assert names(wider(one, was, frame)) == ["cgroups"]
    assert names(wider(two, one, frame)) == ["cgroups"]
    assert wider(was, two, frame) == ()
