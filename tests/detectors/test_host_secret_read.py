from __future__ import annotations

import pytest

from collectors.events import Touch, Watched, WatchKind
from collectors.facts import Unknown
from detectors.base import Blind, Finding, Severity
from detectors.host_secret_read import DETECTOR
from tests.support import build, calls
from tests.support.view import FakeView, run, view_of

SHADOW = Watched("/etc/shadow", WatchKind.SECRET)
TOKEN = Watched("/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~projected/t/token", WatchKind.SECRET, "uid-1")
VICTIM = build.host_process(800, name=b"sshd")
ACTOR = build.member(calls.ACTOR)


def test_fires_when_a_secret_of_the_host_is_opened() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.READ, SHADOW, path=b"/host/etc/shadow")) == [
        Finding(
            "opened a secret of the host: /etc/shadow",
            build.container_id(),
            calls.ACTOR.key,
            evidence=(("host_path", ("/etc/shadow",)), ("path", b"/host/etc/shadow")),
            identity=(build.container_id(), "/etc/shadow"),
            inherited=True,
        )
    ]


def test_fires_when_the_token_is_another_pods() -> None:
    view = view_of(build.member(calls.ACTOR, container=build.container(pod_uid="uid-2")))
    assert dict(calls.one(DETECTOR, calls.touched(Touch.READ, TOKEN), view).evidence)["host_path"] == (TOKEN.path,)


@pytest.mark.parametrize(
    ("source", "secret", "severity"),
    [
        ("/etc/kubernetes/pki", "/etc/kubernetes/pki/apiserver.key", Severity.MEDIUM),
        ("/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd/server.key", Severity.MEDIUM),
        ("/etc/kubernetes/scheduler.conf", "/etc/kubernetes/scheduler.conf", Severity.MEDIUM),
        ("/etc/kubernetes/pki/etcd", "/etc/kubernetes/pki/ca.key", None),
        ("/etc/kubernetes", "/etc/kubernetes/admin.conf", None),
        ("/", "/etc/kubernetes/pki/ca.key", None),
        ("/etc/shadow", "/etc/shadow", None),
    ],
)
def test_fires_less_when_a_control_plane_was_given_its_own_keys(
    source: str, secret: str, severity: Severity | None
) -> None:
    container = build.container(sources=(build.source("/keys", source),))
    view = view_of(build.member(calls.ACTOR, container=container))
    event = calls.touched(Touch.READ, Watched(secret, WatchKind.SECRET))
    assert calls.one(DETECTOR, event, view).severity == severity


def test_fires_when_the_environment_of_a_host_process_is_opened() -> None:
    (found,) = run(DETECTOR, calls.reached("environ"), view_of(ACTOR).put_host(VICTIM))
    assert isinstance(found, Finding)
    assert found.message == "opened the environment of a process of the host"


def test_silent_when_the_token_is_its_own() -> None:
    view = view_of(build.member(calls.ACTOR, container=build.container(pod_uid="uid-1")))
    assert calls.told(DETECTOR, calls.touched(Touch.READ, TOKEN), view) == []


def test_silent_when_nothing_is_read_or_it_is_no_secret() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.CHANGED, SHADOW)) == []
    assert calls.told(DETECTOR, calls.touched(Touch.READ, Watched("/etc/passwd", WatchKind.PERSISTENCE))) == []


def test_silent_when_the_environment_is_of_its_own_container_or_it_is_another_call() -> None:
    own = build.member(build.process(4300))
    assert run(DETECTOR, calls.reached("environ", target=4300), view_of(ACTOR, own)) == []
    assert run(DETECTOR, calls.reached("ptrace"), view_of(ACTOR).put_host(VICTIM)) == []


def test_blind_when_somebody_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.READ, SHADOW)) == calls.NOT_KNOWN
    assert calls.blind(DETECTOR, calls.reached("environ")) == calls.NOT_KNOWN
    assert run(DETECTOR, calls.reached("environ"), view_of(ACTOR)) == [
        Blind("gone: whose environment it is", calls.ACTOR.key)
    ]
    halfway = FakeView(
        members={calls.ACTOR.key: ACTOR, VICTIM.key: Unknown("no first")}, processes={VICTIM.key: VICTIM}
    )
    assert run(DETECTOR, calls.reached("environ"), halfway) == [Blind("no first", calls.ACTOR.key)]
