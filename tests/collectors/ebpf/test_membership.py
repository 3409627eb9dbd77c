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


def test_the_root_of_a_session_is_told_when_the_session_is_over() -> None:
    memberships = Memberships()
    session, _ = memberships.enter(ROOT, "a", None)
    assert memberships.ended(ROOT) is session
    assert memberships.session(session.number) is session
    assert memberships.forget(session.number) == ROOT
    assert memberships.session(session.number) is None
    assert memberships.forget(session.number) is None
    assert memberships.ended(ROOT) is None


def test_a_root_that_lives_is_not_told() -> None:
    memberships = Memberships()
    session, _ = memberships.enter(ROOT, "a", None)
    assert memberships.forget(session.number) is None


def test_others_are_no_roots() -> None:
    memberships = Memberships()
    memberships.enter(ROOT, "a", None)
    memberships.enter(CHILD, "a", ROOT)
    assert memberships.ended(CHILD) is None
    assert memberships.ended(OTHER) is None


def test_a_container_whose_sessions_are_over_is_new_when_it_comes_again() -> None:
    memberships = Memberships()
    first, _ = memberships.enter(ROOT, "a", None)
    second, _ = memberships.enter(OTHER, "a", None)
    memberships.forget(first.number)
    assert memberships.enter(CHILD, "a", OTHER) == (second, False)
    memberships.forget(second.number)
    again, is_new_container = memberships.enter(ProcessKey(40, 9), "a", None)
    assert is_new_container
    assert again.scope != first.scope


def test_a_task_is_no_longer_of_a_session_that_is_over() -> None:
    memberships = Memberships()
    session, _ = memberships.enter(ROOT, "a", None)
    memberships.enter(CHILD, "a", ROOT)
    memberships.forget(session.number)
    again, _ = memberships.enter(CHILD, "a", ROOT)
    assert again is not session


def test_a_sweep_names_the_sessions_that_it_did_not_see() -> None:
    memberships = Memberships()
    seen, _ = memberships.enter(ROOT, "a", None)
    lost, _ = memberships.enter(OTHER, "b", None)
    memberships.begin_sweep()
    memberships.enter(ProcessKey(30, 4), "c", None)  # while the sweep is under way
    assert memberships.unseen({seen.number}) == (lost.number,)


def test_a_mark_is_known_again() -> None:
    memberships = Memberships()
    session, _ = memberships.enter(ROOT, "a", None)
    memberships.remember(OTHER, session.number)
    assert memberships.enter(ProcessKey(30, 4), "a", OTHER)[0] is session
