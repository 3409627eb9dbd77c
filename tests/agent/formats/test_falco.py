from __future__ import annotations

from typing import Any

import pytest

from agent.formats.falco import PRIORITIES, image_parts, render
from agent.formats.instant import epoch_ns
from detectors.base import Severity
from tests.agent import alerts
from tests.support import build, falcosidekick

SAMPLES = alerts.samples()


def document(name: str) -> dict[str, Any]:
    from agent.formats.ecs import to_ecs

    return to_ecs(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_falcosidekick_accepts_every_alert(name: str) -> None:
    assert falcosidekick.refusal(render(document(name))) is None


def test_names_things_as_falco_does() -> None:
    rendered = render(document("drift-in-a-pod"))
    fields = rendered["output_fields"]
    assert rendered["time"] == "2025-11-21T04:40:00.000000000Z"
    assert rendered["output"].startswith("04:40:00.000000000: Critical Pod shop/cart-7d9f container cart")
    assert rendered["rule"] == "HW-101 host_namespace_joined"
    assert rendered["tags"] == ["T1611", "container", "drift", "hullwatch", "mitre_privilege_escalation"]
    assert fields["evt.time"] == build.NOW_NS
    assert fields["container.id"] == build.container_id()[:12]
    assert fields["container.image.repository"] == "registry.example:5000/shop/cart"
    assert fields["container.image.tag"] == "1.2"
    assert fields["k8s.ns.name"] == "shop"
    assert fields["proc.cmdline"] == "nsenter -t 1 -m sh"
    assert fields["user.uid"] == 0
    assert fields["hullwatch.evidence.namespace"] == "mnt"
    assert "mnt_namespace: 4026532100 -> 4026531832" in fields["hullwatch.widened"]


def test_leaves_out_what_is_not_known() -> None:
    assert None not in render(document("agent"))["output_fields"].values()
    assert "k8s.ns.name" not in render(document("drift"))["output_fields"]


def test_every_severity_has_a_priority() -> None:
    assert set(PRIORITIES) == {int(each) for each in Severity}


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("debian:12", ("debian", "12")),
        ("debian", ("debian", None)),
        ("registry:5000/debian", ("registry:5000/debian", None)),
        ("registry:5000/debian:12@sha256:ab", ("registry:5000/debian", "12")),
        ("sha256:ab", ("sha256", "ab")),
        ("", ("", None)),
    ],
)
def test_takes_an_image_apart(image: str, parts: tuple[str, str | None]) -> None:
    assert image_parts(image) == parts


@pytest.mark.parametrize("at_ns", [0, 1, 1_763_700_000_123_456_789, 253_402_300_799_999_999_999])
def test_reads_the_times_that_the_native_format_writes(at_ns: int) -> None:
    from agent.formats.instant import timestamp

    assert epoch_ns(timestamp(at_ns)) == at_ns
