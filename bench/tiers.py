"""The sensor tiers that kernel events feed, each with a configuration for an agent of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EVENT_TIERS = ("ebpf", "netlink")


@contextmanager
def configuration(tier: str) -> Iterator[Path]:
    """A file that asks for the tier, and for nothing else."""
    with tempfile.TemporaryDirectory(prefix="hullwatch-bench-") as directory:
        path = Path(directory) / "hullwatch.yaml"
        path.write_text(f"sensor: {tier}\n")
        yield path
