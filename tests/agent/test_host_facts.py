from __future__ import annotations

from pathlib import Path

import pytest

from agent.host_facts import parse_os_release, read_host_facts

RELEASE = b"""PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID='12'
# a remark
ID=debian
broken
EMPTY=""
"""


def test_parses_os_release() -> None:
    assert parse_os_release(RELEASE) == {
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "NAME": "Debian GNU/Linux",
        "VERSION_ID": "12",
        "ID": "debian",
        "EMPTY": "",
    }


@pytest.mark.parametrize("raw", [b"", b"=", b'A="', b"\xff=\xff", b"A='x\""])
def test_takes_any_os_release(raw: bytes) -> None:
    parse_os_release(raw)


def test_reads_the_node_s_own_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_bytes(RELEASE)
    (tmp_path / "etc/hostname").write_text("node-1\n")
    (tmp_path / "etc/machine-id").write_text("0123\n")
    facts = read_host_facts(tmp_path, {})
    assert (facts.name, facts.hostname, facts.id, facts.os_platform) == ("node-1", "node-1", "0123", "debian")
    assert read_host_facts(tmp_path, {"NODE_NAME": "worker"}).name == "worker"


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    facts = read_host_facts(tmp_path, {})
    assert (facts.id, facts.os_name) == ("", "")
    assert facts.hostname
