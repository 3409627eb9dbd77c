from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from agent.heartbeat import AWAY_NS, NAME, Heartbeat

NOW_NS = 1_763_700_000 * 10**9
NOBODY = 65_534


def test_tells_since_when_nobody_watched(tmp_path: Path) -> None:
    Heartbeat(tmp_path).beat(NOW_NS)
    assert Heartbeat(tmp_path).away_since(NOW_NS + AWAY_NS) is None
    assert Heartbeat(tmp_path).away_since(NOW_NS + AWAY_NS + 1) == NOW_NS


def test_a_sign_that_cannot_be_given_costs_nothing_else() -> None:
    """Whoever may write a file of somebody else's may not set its times (utimensat(2))."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        path = Path(directory) / NAME
        path.touch()
        path.chmod(0o666)
        os.utime(path, ns=(NOW_NS, NOW_NS))
        os.seteuid(NOBODY)
        try:
            Heartbeat(Path(directory)).beat(NOW_NS + 1)
        finally:
            os.seteuid(0)
        assert path.stat().st_mtime_ns == NOW_NS
