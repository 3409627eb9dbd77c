from __future__ import annotations

import sys
from pathlib import Path

import pytest

import collectors
from agent.own_files import own_patterns
from collectors.ebpf.libbpf import LIBRARY, load_library
from collectors.ebpf.sensor import OBJECT
from collectors.errors import Unsupported
from collectors.events import WatchKind
from collectors.watched_objects import Watch


def test_names_what_the_agent_is_made_of_and_lives_by() -> None:
    patterns = own_patterns("/etc/hullwatch/config.yaml", "/var/lib/hullwatch", "/run/hullwatch.sock")
    found = {each.path: each.watch for each in patterns}
    assert all(each.kind is WatchKind.AGENT and each.is_own for each in patterns)
    for path in ("/etc/hullwatch/config.yaml", "/run/hullwatch.sock", sys.executable):
        assert found[path] == Watch.WRITE
    for path in ("/var/lib/hullwatch", str(Path(collectors.__file__).parent)):
        assert found[path] == Watch.WRITE | Watch.ENTRIES | Watch.BELOW
    assert any(OBJECT.is_relative_to(path) for path in found)


def test_names_the_library_that_is_mapped() -> None:
    try:
        load_library()
    except Unsupported as error:
        pytest.skip(str(error))
    (library,) = (each.path for each in own_patterns(None, None, None) if LIBRARY.split(".")[0] in each.path)
    assert Path(library).is_file()


def test_leaves_out_what_there_is_not_and_what_hangs_on_a_directory() -> None:
    assert not {each.path for each in own_patterns("relative.yaml", None, None)} & {"relative.yaml", "None"}
