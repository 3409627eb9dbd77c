from __future__ import annotations

import pytest

from collectors.events import ContainerSeen
from collectors.facts import DeclaredMount, Unknown
from detectors.base import Blind, Finding
from detectors.mount_propagation_shared import DETECTOR, OPENS
from tests.support import build
from tests.support.view import FakeView, run


def find(*options: str) -> list[Finding | Blind]:
    mounts = (*build.declared().mounts, DeclaredMount("/csi", "/var/lib/kubelet/plugins/csi", "bind", options))
    container = build.container(declared=build.declared(mounts=mounts))
    return run(DETECTOR, ContainerSeen(build.NOW_NS, container), FakeView())


@pytest.mark.parametrize("option", ["shared", "rshared"])
def test_fires_when_a_mount_is_bidirectional(option: str) -> None:
    assert find("rbind", option) == [
        Finding(
            "was started with mounts that propagate to the host: /csi",
            build.container_id(),
            evidence=(("mounts", ("/var/lib/kubelet/plugins/csi at /csi",)), ("opens", (OPENS,))),
        )
    ]


@pytest.mark.parametrize("option", ["rslave", "slave", "rprivate", "ro"])
def test_silent_when_it_only_receives_or_is_private(option: str) -> None:
    assert find("rbind", option) == []


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
