from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.kubernetes.client import PodsClient
from tests.support import pod_watching
from tests.support.api_server import ApiServer
from tests.support.certificates import Certificates, make_certificates
from tests.support.pod_watching import Watching


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    return file


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ApiServer]:
    with ApiServer(tls=certificates.server_context()) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path, certificates: Certificates, token_file: Path) -> Iterator[Callable[..., Watching]]:
    """Starts a watch of a server's URL; it is stopped when the test is over."""
    running: list[Watching] = []

    def begin(url: str, *, node: str = "node-1", authority: str = certificates.authority) -> Watching:
        made = pod_watching.begin(tmp_path, lambda: PodsClient(url, node, str(token_file), authority), node)
        running.append(made)
        return made

    yield begin
    for each in running:
        each.stop()
