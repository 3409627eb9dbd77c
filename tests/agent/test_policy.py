from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from agent.config_schema import ExceptionConfig
from agent.policy import Policy, covers, is_expired, load_warnings
from collectors.facts import Pod, Unknown
from collectors.pod_facts import PodDetails
from detectors.base import ESCAPE_TO_HOST, Detector, Family, Severity, Tier
from tests.support import build

CONTAINER = build.container(
    name="/web-1",
    image="registry.example/shop/cart:1.4",
    labels=(("team", "shop"), ("tier", "front")),
    pod=Pod("shop", "cart-7d9f", "uid-1", "cart", is_sandbox=False),
)
PROCESS = build.process(executable=build.executable(b"/usr/bin/self-update"))


def exception(**conditions: Any) -> ExceptionConfig:
    return ExceptionConfig(reason="known", **conditions)


def detector(rule_id: str, family: Family, severity: Severity) -> Detector:
    return Detector(
        id=rule_id,
        name="sample",
        family=family,
        severity=severity,
        techniques=(ESCAPE_TO_HOST,),
        wants=(),
        check=lambda _event, _view: iter(()),
        weakest=Tier.POLL,
        summary="",
        benign=(),
        misses=(),
        advice=(),
        references=(),
    )


@pytest.mark.parametrize(
    "conditions",
    [
        {"rules": ("HW-223",)},
        {"rules": ("HW-101", "HW-2*")},
        {"container": "web-?"},
        {"container": "cart"},
        {"image": "registry.example/*"},
        {"namespace": "shop"},
        {"labels": {"team": "shop", "tier": "*"}},
        {"executable": "/usr/bin/*"},
        {"rules": ("HW-223",), "image": "*/cart:*", "namespace": "sh*", "executable": "*/self-update"},
    ],
    ids=str,
)
def test_covers_when_all_given_conditions_hold(conditions: dict[str, Any]) -> None:
    assert covers(exception(**conditions), "HW-223", CONTAINER, PROCESS)


def test_covers_by_a_label_of_the_pod() -> None:
    details = PodDetails("shop", "cart-7d9f", "uid-1", "node-1", labels=(("owner", "checkout"),))
    known = replace(CONTAINER, pod_details=details)
    wanted = exception(labels={"owner": "checkout", "team": "shop"})
    assert covers(wanted, "HW-223", known, PROCESS)
    assert not covers(wanted, "HW-223", CONTAINER, PROCESS)


@pytest.mark.parametrize(
    "conditions",
    [
        {"rules": ("HW-222",)},
        {"rules": ("hw-223",)},
        {"container": "web"},
        {"image": "cart"},
        {"namespace": "shop-2"},
        {"labels": {"team": "shop", "stage": "*"}},
        {"executable": "self-update"},
        {"rules": ("HW-223",), "image": "other"},
    ],
    ids=str,
)
def test_does_not_cover_when_one_condition_fails(conditions: dict[str, Any]) -> None:
    assert not covers(exception(**conditions), "HW-223", CONTAINER, PROCESS)


@pytest.mark.parametrize(
    "conditions",
    [{"container": "*"}, {"image": "*"}, {"namespace": "*"}, {"labels": {"a": "*"}}, {"executable": "*"}],
    ids=str,
)
def test_does_not_cover_what_is_not_known(conditions: dict[str, Any]) -> None:
    bare = build.container(name=None, image=None)
    hidden = build.process(executable=Unknown("denied"))
    assert not covers(exception(**conditions), "HW-223", bare, hidden)
    assert not covers(exception(**conditions), "HW-223", None, None)


def test_holds_through_its_last_day() -> None:
    limited = exception(rules=("*",), expires=dt.date(2026, 11, 21))
    last = int(dt.datetime(2026, 11, 21, 23, 59, 59, tzinfo=dt.UTC).timestamp()) * 10**9
    assert not is_expired(limited, last)
    assert is_expired(limited, last + 10**9)
    assert not is_expired(exception(rules=("*",)), last)


def test_the_first_that_covers_is_counted_and_an_expired_one_no_longer_applies() -> None:
    policy = Policy(
        [
            exception(namespace="shop", expires=dt.date(2020, 1, 1)),
            exception(rules=("HW-223",)),
            exception(namespace="shop"),
        ]
    )
    assert policy.excepts("HW-223", CONTAINER, PROCESS, build.NOW_NS) == exception(rules=("HW-223",))
    assert policy.excepts("HW-223", CONTAINER, PROCESS, build.NOW_NS) is not None
    assert policy.excepts("HW-101", replace(CONTAINER, pod=None), PROCESS, build.NOW_NS) is None
    states = policy.states(build.NOW_NS)
    assert [(state.number, state.matched, state.expired) for state in states] == [
        (1, 0, True),
        (2, 2, False),
        (3, 0, False),
    ]


def test_warns_of_hidden_escapes_and_of_a_path_alone() -> None:
    detectors = [
        detector("HW-101", Family.DRIFT, Severity.CRITICAL),
        detector("HW-105", Family.DRIFT, Severity.HIGH),
        detector("HW-223", Family.TECHNIQUE, Severity.MEDIUM),
    ]
    assert load_warnings([exception(rules=("HW-105",)), exception(rules=("HW-223",), image="*")], detectors) == ()
    assert load_warnings([exception(image="a")], detectors) == ("exception 1 (known) hides escapes: HW-101",)
    assert load_warnings([exception(rules=("HW-223",), executable="/x")], detectors) == (
        "exception 1 (known) trusts a path alone, and any container can name a file so",
    )
