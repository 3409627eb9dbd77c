from pathlib import Path

import pytest

from collectors.endpoints import parse_local_addresses, read_local_addresses
from tests.support.proctree import build_tree

ROUTES = (
    b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n"
    b"     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n"
)


def test_addresses_of_the_node_are_those_that_it_is_reached_at() -> None:
    assert parse_local_addresses(ROUTES) == {"10.0.0.5"}


@pytest.mark.parametrize("process", ["1", "self"])
def test_reads_what_the_first_process_sees_else_what_we_see(tmp_path: Path, process: str) -> None:
    proc = build_tree(tmp_path, {process: {"net": {"fib_trie": ROUTES}}})
    assert read_local_addresses(proc) == {"10.0.0.5"}


def test_knows_no_address_where_the_routes_cannot_be_read(tmp_path: Path) -> None:
    assert read_local_addresses(str(tmp_path)) == frozenset()
