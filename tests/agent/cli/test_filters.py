from __future__ import annotations

import json

import pytest

from agent.cli.filters import Filter
from agent.cli.node import Look
from collectors.events import Seen
from collectors.facts import Pod
from tests.agent.cli.nodes import escaped, invoke, look_at, sleeping
from tests.support import build


def pod(namespace: str, name: str, container: str = "app") -> Pod:
    return Pod(namespace=namespace, name=name, uid=f"{namespace}-{name}", container_name=container, is_sandbox=False)


SHOP = build.container(1, pod=pod("shop", "cart-7d9"))


@pytest.mark.parametrize(
    ("only", "is_admitted"),
    [
        (Filter(), True),
        (Filter(namespace="shop"), True),
        (Filter(namespace="sho"), False),
        (Filter(pod="cart-7d9"), True),
        (Filter(pod="cart"), False),
        (Filter(container="app"), True),
        (Filter(container="cart-7d9/app"), True),
        (Filter(container="web-1"), True),
        (Filter(container="0001000"), True),
        (Filter(container="00"), False),
        (Filter(namespace="shop", container="other"), False),
        (Filter(namespace="bank", pod="cart-7d9", container="app"), False),
    ],
    ids=str,
)
def test_admits_what_fits_everything_that_was_asked(only: Filter, *, is_admitted: bool) -> None:
    assert only.admits(SHOP) is is_admitted


@pytest.mark.parametrize("only", [Filter(namespace=""), Filter(namespace="shop"), Filter(pod="x")])
def test_without_a_pod_nothing_of_kubernetes_fits(only: Filter) -> None:
    assert not only.admits(build.container(1))


def test_what_is_in_no_container_is_meant_only_where_nothing_was_narrowed() -> None:
    assert Filter().admits(None)
    assert not Filter(container="x").admits(None)


def two_shops() -> Look:
    """Two pods with the same names in two namespaces; a process of the first one is out."""
    return look_at(
        *sleeping(1, name=None, pod=pod("shop", "cart")),
        *sleeping(2, name=None, pod=pod("bank", "cart")),
        Seen(build.NOW_NS, escaped()),
    )


def test_ps_lists_what_the_filter_leaves() -> None:
    found = json.loads(invoke(two_shops(), "ps", "-n", "bank", "-o", "json").stdout)
    assert [each["pid"] for each in found] == [4200]
    result = invoke(two_shops(), "ps", "-n", "mars")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "hullwatch: no such container runs on this node\n"


def test_scan_judges_by_what_the_filter_leaves() -> None:
    assert invoke(two_shops(), "scan", "--min-severity", "high", "-n", "shop").exit_code == 1
    assert invoke(two_shops(), "scan", "--min-severity", "high", "-n", "bank").exit_code == 0


def test_a_filter_chooses_among_those_that_a_name_fits() -> None:
    ambiguous = invoke(two_shops(), "inspect", "cart/app")
    assert ambiguous.exit_code == 2
    assert ambiguous.stderr.startswith("hullwatch: cart/app is ambiguous; it may be one of\n")
    result = invoke(two_shops(), "inspect", "cart/app", "-n", "bank", "-o", "json")
    assert json.loads(result.stdout)["container"]["pod"]["namespace"] == "bank"


def test_a_pid_must_fit_too() -> None:
    result = invoke(two_shops(), "inspect", "pid:4242", "-n", "bank")
    assert result.exit_code == 2
    assert result.stderr == "hullwatch: there is no process with the pid 4242\n"


def test_nothing_left_is_said() -> None:
    result = invoke(look_at(*sleeping(1)), "ways-out", "app", "-n", "mars")
    assert result.stderr.startswith("hullwatch: there is no container app: none fits -n, --pod and --container")
