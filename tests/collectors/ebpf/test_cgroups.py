import pytest

from collectors.ebpf.cgroups import CgroupNames
from collectors.ebpf.records import CgroupKey
from collectors.facts import CgroupMembership, Unknown

PIDS, UNIFIED = CgroupKey(8, 300), CgroupKey(0, 1)
SHOWN = (CgroupMembership(8, b"pids", b"/docker/abc"), CgroupMembership(0, b"", b"/"))


def named(limit: int = 100) -> CgroupNames:
    names = CgroupNames(limit)
    names.lay_out(SHOWN)
    names.made(UNIFIED, b"/")
    names.made(PIDS, b"/docker/abc")
    return names


def test_names_what_the_kernel_has_named() -> None:
    assert named().resolve((UNIFIED, PIDS)) == SHOWN


def test_an_id_that_comes_again_has_its_new_name() -> None:
    names = named()
    assert names.resolve((UNIFIED, PIDS)) == SHOWN
    names.made(PIDS, b"/docker/other")
    resolved = names.resolve((UNIFIED, PIDS))
    assert not isinstance(resolved, Unknown)
    assert resolved[0].path == b"/docker/other"


def test_what_is_below_a_renamed_one_bears_its_new_name() -> None:
    names, inner, beside = named(), CgroupKey(8, 301), CgroupKey(8, 302)
    names.made(inner, b"/docker/abc/inner")
    names.made(beside, b"/docker/abcd")
    names.made(PIDS, b"/plain")
    assert names.renames == 1
    for cgroup, path in ((PIDS, b"/plain"), (inner, b"/plain/inner"), (beside, b"/docker/abcd")):
        resolved = names.resolve((UNIFIED, cgroup))
        assert not isinstance(resolved, Unknown)
        assert resolved[0].path == path
    names.made(PIDS, b"/plain")
    assert names.renames == 1


def test_a_task_that_moved_names_nothing() -> None:
    """A runtime's process was in the root of a hierarchy when it was told, and shows its container's cgroup now."""
    root = CgroupKey(8, 1)
    names = named()
    names.made(root, b"/")
    names.lay_out(SHOWN)
    names.stand_at((UNIFIED, CgroupKey(8, 999)), SHOWN)
    resolved = names.resolve((UNIFIED, root))
    assert not isinstance(resolved, Unknown)
    assert resolved[0].path == b"/"


def test_does_not_guess_a_name() -> None:
    names = CgroupNames()
    names.made(PIDS, b"/docker/abc")
    assert names.resolve((PIDS,)) == Unknown("not_read: the hierarchies are not known yet")
    assert named().resolve((UNIFIED, CgroupKey(8, 999))) == Unknown("gone: proc/cgroup")


def test_a_hierarchy_that_was_mounted_since_is_shown_too() -> None:
    names = named()
    assert names.resolve((UNIFIED, PIDS)) == SHOWN
    names.lay_out((CgroupMembership(9, b"name=new", b"/"), *SHOWN))
    names.made(CgroupKey(9, 1), b"/")
    resolved = names.resolve((UNIFIED, PIDS, CgroupKey(9, 1)))
    assert resolved == (CgroupMembership(9, b"name=new", b"/"), *SHOWN)
    assert isinstance(names.resolve((UNIFIED, PIDS)), Unknown)


def test_forgets_the_oldest_name_when_it_is_full() -> None:
    names = named(limit=2)
    names.made(CgroupKey(8, 301), b"/new")
    assert names.resolve((UNIFIED, PIDS)) == Unknown("gone: proc/cgroup")


@pytest.mark.parametrize(
    ("ours", "shown", "theirs", "seen"),
    [
        pytest.param(b"/", b"/", b"/docker/abc", b"/docker/abc", id="no-namespace-of-our-own"),
        pytest.param(b"/pods/agent", b"/", b"/pods/other/x", b"/../other/x", id="a-sibling"),
        pytest.param(b"/pods/agent", b"/", b"/pods/agent", b"/", id="ourselves"),
        pytest.param(b"/pods/agent", b"/", b"/pods/agent/child", b"/child", id="below-us"),
        pytest.param(b"/pods/agent", b"/", b"/", b"/../..", id="the-root"),
        pytest.param(b"/pods/agent/deep", b"/deep", b"/pods/other", b"/../other", id="we-moved-down-since"),
        pytest.param(b"/system/agent", b"/system/agent", b"/pods/other", b"/pods/other", id="the-hosts-namespace"),
    ],
)
def test_paths_are_those_that_we_would_be_shown(ours: bytes, shown: bytes, theirs: bytes, seen: bytes) -> None:
    mine, other = CgroupKey(0, 10), CgroupKey(0, 11)
    names = CgroupNames()
    names.lay_out((CgroupMembership(0, b"", shown),))
    names.made(mine, ours)
    names.made(other, theirs)
    names.stand_at((mine,), (CgroupMembership(0, b"", shown),))
    assert names.resolve((other,)) == (CgroupMembership(0, b"", seen),)
