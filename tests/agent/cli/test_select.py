from __future__ import annotations

import pytest

from agent.cli.output import Refused
from agent.cli.select import choose, choose_container, display_name
from agent.config_schema import Config
from agent.state import NodeState
from collectors.events import ContainerSeen, Seen
from collectors.facts import Container, Pod, Process
from tests.agent.cli.nodes import look_at, sleeping
from tests.support import build

POD = Pod(namespace="shop", name="cart-7d9", uid="u", container_name="app", is_sandbox=False)


def state_of(*containers: Container) -> NodeState:
    events = [ContainerSeen(build.NOW_NS, each) for each in containers]
    return look_at(*events, Seen(build.NOW_NS, build.host_process(1234)))(Config(), False).state  # noqa: FBT003


@pytest.mark.parametrize("wanted", ["web-1", build.container_id(1), build.container_id(1)[:3], "0001000"])
def test_finds_a_container_by(wanted: str) -> None:
    state = look_at(*sleeping(1), *sleeping(257))(Config(), False).state  # noqa: FBT003
    assert choose_container(state, wanted).id == build.container_id(1)


@pytest.mark.parametrize("wanted", ["app", "cart-7d9/app", "shop/cart-7d9/app"])
def test_finds_a_container_of_a_pod_by(wanted: str) -> None:
    assert choose_container(state_of(build.container(1, pod=POD)), wanted).id == build.container_id(1)


def test_a_name_goes_before_the_start_of_an_id() -> None:
    state = state_of(build.container(1), build.container(2, name="0001"))
    assert choose_container(state, "0001").id == build.container_id(2)


def test_a_name_of_docker_needs_no_slash() -> None:
    container = build.container(1, name="/web")
    assert choose_container(state_of(container), "web") == container
    assert display_name(container) == "web"


def test_refuses_what_is_ambiguous_and_lists_the_candidates() -> None:
    with pytest.raises(Refused) as refused:
        choose(state_of(build.container(1), build.container(2), build.container(300)), "000")
    assert refused.value.message == "000 is ambiguous; it may be one of"
    assert refused.value.details == ("  000100010001  web-1", "  000200020002  web-2")
    assert refused.value.exit_code == 2


def test_refuses_what_is_not_there_and_lists_what_is() -> None:
    with pytest.raises(Refused) as refused:
        choose(state_of(build.container(1)), "00")
    assert refused.value.message == (
        "there is no container 00 (the start of an id needs at least 3 characters); these are there"
    )
    assert refused.value.details == ("  000100010001  web-1",)


def test_says_so_where_there_is_no_container_at_all() -> None:
    with pytest.raises(Refused, match="no container is seen on this node"):
        choose(state_of(), "web")


def test_lists_at_most_twenty_candidates() -> None:
    with pytest.raises(Refused) as refused:
        choose(state_of(*(build.container(number, name=None) for number in range(1, 31))), "x")
    assert len(refused.value.details) == 21
    assert refused.value.details[-1] == "  and 10 more"


def test_a_number_is_a_pid() -> None:
    found = choose(state_of(), "1234")
    assert isinstance(found, Process)
    assert found.key.pid == 1234


def test_a_number_that_could_be_both_is_refused_and_pid_decides() -> None:
    state = state_of(build.container(0x1234))
    with pytest.raises(Refused, match="write pid:1234"):
        choose(state, "1234")
    assert isinstance(choose(state, "pid:1234"), Process)


def test_refuses_a_pid_that_is_not_there() -> None:
    with pytest.raises(Refused, match="no process with the pid 77"):
        choose(state_of(), "pid:77")
