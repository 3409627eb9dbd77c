from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.outbox import Outbox
from tests.support.outboxes import Clock, drained, some

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["read a", "read b"]), st.integers(1, 5)),
        st.tuples(st.sampled_from(["tend", "restart", "crash", "jump", "detach"]), st.integers(-(10**12), 10**12)),
    ),
    max_size=30,
)


class Model:
    """An outbox to which anything happens, and what its sinks got."""

    def __init__(self, directory: Path, memory_bytes: int) -> None:
        self.told: list[int] = []
        self.got: dict[str, list[int]] = {"a": [], "b": []}
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._clock = Clock()
        self.box = self._opened()

    def act(self, act: str, number: int) -> None:
        self._clock.monotonic += 11
        match act.split():
            case ["append"]:
                made = some(self.box, number)
                self.told += [each.sequence for each in made]
                self.box.append(made)
            case ["read", sink]:
                self._read(sink, number)
            case ["jump"]:
                self._clock.now_ns = max(self._clock.now_ns + number, 0)
            case _:
                getattr(self, f"_{act}")()

    def finish(self) -> None:
        self.act("tend", 0)
        for sink, got in self.got.items():
            got += [each.sequence for each in drained(self.box, sink)]
        self.box.close()

    def _opened(self) -> Outbox:
        box = Outbox(
            self._directory,
            max_bytes=1 << 24,
            max_age_seconds=1,
            clock_ns=self._clock.ns,
            memory_bytes=self._memory_bytes,
            monotonic=self._clock.seconds,
        )
        box.register(["a", "b"])
        return box

    def _read(self, sink: str, limit: int) -> None:
        batch = self.box.read(sink, limit)
        self.got[sink] += [each.sequence for each in batch]
        if batch:
            self.box.acknowledge(sink, batch[-1].sequence)

    def _tend(self) -> None:
        self.box.tend()

    def _detach(self) -> None:
        self.box._lost_file("io_error", "by the test")

    def _restart(self) -> None:
        self.box.close()
        self.box = self._opened()

    def _crash(self) -> None:
        """Cursors that were not written yet are not written; what no disk took would be gone."""
        if self.box._file is not None:
            self.box._cursors._unsaved = set()
        self._restart()


@settings(max_examples=60)
@given(acts=ACTS, memory_bytes=st.sampled_from([2000, 1 << 20]))
def test_at_least_once_and_in_order_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]], memory_bytes: int
) -> None:
    model = Model(tmp_path_factory.mktemp("any") / "state", memory_bytes)
    for act, number in acts:
        model.act(act, number)
    model.finish()
    kinds = {act for act, _ in acts}
    for got in model.got.values():
        if not kinds & {"crash", "detach"}:
            assert got == model.told
        if "detach" not in kinds or memory_bytes > 2000:  # else memory was too small for what no disk took
            assert set(got) == set(model.told)
