from __future__ import annotations

import pytest

from agent.health import Code
from agent.metrics_catalog import METRICS
from agent.metrics_reference import MEANINGS, reference


@pytest.mark.parametrize("name", [each.name for each in METRICS])
def test_every_metric_is_on_the_page(name: str) -> None:
    assert f"| `{name}` |" in reference()


def test_every_reason_of_health_is_on_the_page() -> None:
    assert set(MEANINGS) == set(Code)


def test_no_cell_breaks_its_table() -> None:
    rows = [line for line in reference().split("\n") if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6, 3}
