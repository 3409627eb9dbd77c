from collectors.ebpf.cgroups import CgroupNames
from collectors.ebpf.records import CgroupKey
from collectors.facts import CgroupMembership, Unknown

PIDS, UNIFIED = CgroupKey(8, 300), CgroupKey(0, 1)
SHOWN = (CgroupMembership(8, b"pids", b"/docker/abc"), CgroupMembership(0, b"", b"/"))


def test_names_cgroups_that_a_living_process_showed() -> None:
    names = CgroupNames()
    names.learn((UNIFIED, PIDS), SHOWN)
    assert names.resolve((UNIFIED, PIDS)) == SHOWN


def test_names_a_cgroup_that_was_only_seen_being_made() -> None:
    names = CgroupNames()
    names.learn((UNIFIED, PIDS), SHOWN)
    names.made(CgroupKey(8, 301), b"/docker/new")
    assert names.resolve((UNIFIED, CgroupKey(8, 301))) == (
        CgroupMembership(8, b"pids", b"/docker/new"),
        CgroupMembership(0, b"", b"/"),
    )


def test_an_id_that_comes_again_has_its_new_name() -> None:
    names = CgroupNames()
    names.learn((UNIFIED, PIDS), SHOWN)
    assert names.resolve((UNIFIED, PIDS)) == SHOWN
    names.made(PIDS, b"/docker/other")
    resolved = names.resolve((UNIFIED, PIDS))
    assert not isinstance(resolved, Unknown)
    assert resolved[0].path == b"/docker/other"


def test_does_not_guess_a_name() -> None:
    names = CgroupNames()
    assert isinstance(names.resolve((PIDS,)), Unknown)
    names.learn((UNIFIED, PIDS), SHOWN)
    assert names.resolve((UNIFIED, CgroupKey(8, 999))) == Unknown("gone: proc/cgroup")


def test_forgets_the_oldest_name_when_it_is_full() -> None:
    names = CgroupNames(limit=2)
    names.learn((UNIFIED, PIDS), SHOWN)
    names.made(CgroupKey(8, 301), b"/new")
    assert names.resolve((UNIFIED, PIDS)) == Unknown("gone: proc/cgroup")
