from __future__ import annotations

import pytest

from agent.cli.events import what

PROCESS = {"name": "sh", "command_line": "sh -c work"}
DISK = {"source": "/dev/vda1", "point": "/mnt", "type": "ext4"}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"kind": "mounted", **DISK}, "+ /dev/vda1 on /mnt (ext4): sh -c work"),
        ({"kind": "mounted", **DISK, "point": ""}, "+ /dev/vda1 on no mount point (ext4): sh -c work"),
        ({"kind": "mounts", "added": [DISK], "removed": []}, "+ /dev/vda1 on /mnt (ext4)"),
        ({"kind": "refused", "call": "setns", "errno": 1}, "setns refused with errno 1: sh -c work"),
        ({"kind": "file", "touch": "read", "path": "/etc/shadow"}, "read /etc/shadow: sh -c work"),
    ],
    ids=["attached", "detached", "table", "refused", "file"],
)
def test_says_what_happened_in_words(event: dict[str, object], words: str) -> None:
    assert what({**event, "process": PROCESS}) == words
