from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates, make_certificates
from tests.support.opened_sinks import close_all


@pytest.fixture(autouse=True)
def close_sinks() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def socket_path() -> Iterator[str]:
    """A path for a unix socket: those of pytest's directories may be too long for one (unix(7): 108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="hw-") as directory:
        yield str(Path(directory) / "socket")
