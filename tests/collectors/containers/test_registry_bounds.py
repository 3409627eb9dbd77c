from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.facts import (
    CgroupMembership,
)
from tests.support.container_files import DOCKER, SECOND, A, Node, lines, noticed


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_hundred_thousand_made_up_ids_cost_little(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry(max_without_bundle=64)
    told = [registry.notice(lines(f"/fake/{number:064x}"), 1) for number in range(20_000)]
    assert sum(each is not None for each in told) == 64
    assert len(registry.containers()) == 64
    counters = registry.counters()
    assert counters.refused_without_bundle == 20_000 - 64
    assert counters.deferred_lookups == 20_000 - 200
    assert counters.emptied_path_caches == 1
    node.now_ns += SECOND
    assert noticed(registry.notice(lines(f"/docker/{A}"), 100)).first_pid == 100


def test_a_clock_that_was_set_back_delays_no_look_for_a_bundle(node: Node) -> None:
    node.path(DOCKER).mkdir(parents=True)
    registry = node.registry()
    noticed(registry.notice(lines(f"/docker/{A}"), 1))
    node.bundle(f"{DOCKER}/{A}", 100)
    node.now_ns -= 3600 * SECOND
    (container,) = registry.retry_due()
    assert container.first_pid == 100


def test_a_deferred_container_is_found_by_the_next_sweeps(node: Node) -> None:
    node.bundle(f"{DOCKER}/{A}", 100)
    registry = node.registry()
    for number in range(200):
        registry.notice(lines(f"/fake/{number:064x}"), 1)
    assert registry.notice(lines(f"/docker/{A}"), 100) is None
    assert A in {each.id for each in registry.retry_due()}


def test_bounds_containers(node: Node) -> None:
    for number in range(20):
        node.bundle(f"{DOCKER}/{number:064x}", None)
    registry = node.registry(max_containers=16)
    assert len(registry.discover()) == 16
    assert registry.counters().refused_containers == 4


def test_bounds_metadata_without_a_container(node: Node) -> None:
    registry = node.registry()
    for number in range(2000):
        registry.merge(f"{number:064x}", name="x")
    assert registry.counters().forgotten_metadata == 2000 - 1024


def test_answers_many_threads(node: Node) -> None:
    ids = [f"{number:064x}" for number in range(40)]
    for each in ids:
        node.bundle(f"{DOCKER}/{each}", None)
    registry = node.registry()
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            for each in ids:
                registry.notice(lines(f"/docker/{each}"), 1)
                assert registry.owner(lines(f"/docker/{each}")) == each
                registry.merge(each, name=each)
                registry.expire(ids)
        except BaseException as error:  # noqa: BLE001 (of a thread)
            trouble.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    assert {each.name for each in registry.containers()} == set(ids)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.binary(max_size=80), max_size=4), st.text(max_size=80))
def test_never_raises_into_a_sensor(node: Node, paths: list[bytes], name: str) -> None:
    registry = node.registry()
    cgroups = tuple(CgroupMembership(0, b"", b"/" + path) for path in paths)
    registry.notice(cgroups, 1)
    registry.owner(cgroups)
    registry.merge(name, name=name, labels={name: name})
    registry.retry_due()
    registry.expire(())
