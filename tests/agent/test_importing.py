from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Without the lock, docker and kubernetes imported 50 ms apart failed each other: "partially initialized module
# 'requests.utils'", as the live test of pods met it on a busy machine.
PROGRAM = """
import socket, sys, threading, time
from agent.kubernetes_schema import KubernetesApiConfig
from agent.pod_source import new_pod_watch
from collectors.containers.docker import DockerMetadata
from collectors.containers.registry import ContainerRegistry
from collectors.host import Roots
from collectors.importing import IMPORTING

library, directory = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(directory + "/socket")
listener.listen()
registry = ContainerRegistry(Roots(directory, directory, directory), clock_ns=time.time_ns)
docker = DockerMetadata(
    registry, lambda _: None, clock_ns=time.time_ns, socket_path=directory + "/socket", timeout_seconds=0.2
)
api = KubernetesApiConfig(enabled=True, node_name="n", server="https://127.0.0.1:1")
watch = new_pod_watch(api, registry, lambda _: None, {}, lambda _: None)
thread = threading.Thread(target={"docker": docker._connect_and_follow, "kubernetes": watch._connect}[library])
with IMPORTING:
    thread.start()
    time.sleep(0.3)
    assert library not in sys.modules, "it did not wait"
thread.join(30)
assert library in sys.modules, "it was not imported"
"""


@pytest.mark.parametrize("library", ["docker", "kubernetes"])
def test_libraries_are_imported_one_at_a_time(library: str, tmp_path: Path) -> None:
    ran = subprocess.run(  # noqa: S603 (this very Python)
        [sys.executable, "-c", PROGRAM, library, str(tmp_path)], check=False, capture_output=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr.decode()
