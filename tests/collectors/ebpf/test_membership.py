from collectors.ebpf.membership import Memberships
from collectors.facts import ProcessKey

ROOT, CHILD, OTHER = ProcessKey(10, 1), ProcessKey(11, 2), ProcessKey(20, 3)


def test_a_child_is_of_its_parents_session() -> None:
    memberships = Memberships()
    session, is_new_container = memberships.enter(ROOT, "a", None)
    assert is_new_container
    assert memberships.enter(CHILD, "a", ROOT) == (session, False)


def test_what_comes_in_from_outside_begins_a_session_of_the_same_scope() -> None:
    memberships = Memberships()
    first, _ = memberships.enter(ROOT, "a", None)
    second, is_new_container = memberships.enter(OTHER, "a", ProcessKey(1, 1))
    assert first.number != second.number
    assert first.scope == second.scope
    assert not is_new_container


def test_the_root_of_a_session_lingers_until_a_sweep_finds_no_mark() -> None:
    memberships = Memberships()
    session, _ = memberships.enter(ROOT, "a", None)
    memberships.begin_sweep()
    assert memberships.must_linger(ROOT)
    assert memberships.release({session.number}) == ()
    assert memberships.release(set()) == (ROOT,)
    assert memberships.session(session.number) is None


def test_others_do_not_linger() -> None:
    memberships = Memberships()
    memberships.enter(ROOT, "a", None)
    memberships.enter(CHILD, "a", ROOT)
    assert not memberships.must_linger(CHILD)
    assert not memberships.must_linger(OTHER)


def test_a_session_that_began_during_a_sweep_is_not_released_by_it() -> None:
    memberships = Memberships()
    memberships.begin_sweep()
    session, _ = memberships.enter(ROOT, "a", None)
    assert memberships.must_linger(ROOT)
    assert memberships.release(set()) == ()
    assert memberships.session(session.number) is session


def test_a_mark_is_known_again() -> None:
    memberships = Memberships()
    session, _ = memberships.enter(ROOT, "a", None)
    memberships.remember(OTHER, session.number)
    assert memberships.enter(ProcessKey(30, 4), "a", OTHER)[0] is session
