from __future__ import annotations

from collectors.containers.owners import UNANSWERED, CgroupOwners
from collectors.facts import CgroupMembership, Container, Unknown

A = "a1" * 32
B = "b2" * 32


def _lines(*paths: str) -> tuple[CgroupMembership, ...]:
    return tuple(CgroupMembership(number, b"", path.encode()) for number, path in enumerate(paths))


def _plain(name: str, *paths: bytes) -> Container:
    return Container(id=name, runtime="runc", declared=Unknown("no_bundle"), cgroup_paths=frozenset(paths))


def test_answers_from_the_cache_what_was_asked_before() -> None:
    owners = CgroupOwners()
    assert owners.cached(_lines(f"/docker/{A}")) is UNANSWERED
    reference = owners.refer(_lines(f"/docker/{A}", "/"))
    assert reference is not None
    assert owners.cached(_lines("/", f"/docker/{A}")) == A
    assert owners.cached(_lines("/")) is None


def test_does_not_answer_from_the_cache_when_hierarchies_disagree() -> None:
    owners = CgroupOwners()
    owners.refer(_lines(f"/docker/{A}", f"/docker/{B}"))
    assert owners.cached(_lines(f"/docker/{A}", f"/docker/{B}")) is UNANSWERED


def test_knows_the_cgroups_that_a_runtime_wrote_down() -> None:
    owners = CgroupOwners()
    assert owners.refer(_lines("/jobs/one/inner")) is None
    owners.learn(_plain("one", b"/jobs/one"))
    reference = owners.refer(_lines("/jobs/one/inner"))
    assert reference is not None
    assert (reference.id, reference.runtime) == ("one", "runc")
    assert reference.prefixes == {b"/jobs/one"}
    assert owners.refer(_lines("/jobs/onetwo")) is None
    owners.forget("one")
    assert owners.refer(_lines("/jobs/one/inner")) is None


def test_gives_what_lies_inside_another_container_to_the_outer_one() -> None:
    owners = CgroupOwners()
    owners.learn(_plain("outer", b"/outer"))
    owners.learn(_plain("inner", f"/docker/{A}/inner".encode()))
    for path, owner in ((f"/outer/docker/{A}", "outer"), (f"/docker/{A}/inner/x", A)):
        reference = owners.refer(_lines(path))
        assert reference is not None
        assert reference.id == owner


def test_empties_a_full_cache() -> None:
    owners = CgroupOwners(max_paths=10)
    for number in range(25):
        owners.refer(_lines(f"/host/{number}"))
    assert owners.emptied == 2
