from collectors.ebpf.numbers import FileNumbers
from collectors.facts import FileId

INODE, SHOWN, ELSEWHERE = FileId(30, 5), FileId(41, 5), FileId(30, 77)


def test_shows_the_inode_where_nothing_else_is_known() -> None:
    assert FileNumbers().shown(INODE) == INODE


def test_shows_what_stat_showed() -> None:
    numbers = FileNumbers()
    numbers.compare(INODE, SHOWN)
    assert numbers.shown(INODE) == SHOWN


def test_a_task_that_went_elsewhere_renumbers_nothing() -> None:
    numbers = FileNumbers()
    numbers.compare(INODE, INODE)
    numbers.compare(INODE, ELSEWHERE)
    numbers.compare(INODE, INODE)
    numbers.compare(INODE, ELSEWHERE)
    assert numbers.shown(INODE) == INODE


def test_what_was_wrong_at_first_is_corrected() -> None:
    numbers = FileNumbers()
    numbers.compare(INODE, ELSEWHERE)
    numbers.compare(INODE, INODE)
    numbers.compare(INODE, INODE)
    assert numbers.shown(INODE) == INODE


def test_a_full_table_is_begun_anew() -> None:
    numbers = FileNumbers(limit=2)
    for inode in range(3):
        numbers.compare(FileId(30, inode), FileId(41, inode))
    assert numbers.shown(FileId(30, 0)) == FileId(30, 0)
    assert numbers.shown(FileId(30, 2)) == FileId(41, 2)
