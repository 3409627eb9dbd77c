from __future__ import annotations

import pytest

from agent.config import parse_config
from agent.config_schema import Config
from agent.control_schema import MAX_PATH_BYTES, ControlConfig, socket_path
from agent.errors import ConfigError


def parsed(text: str) -> Config:
    return parse_config(text.encode(), "x.yaml", known_rules=("HW-101",))


@pytest.mark.parametrize(
    ("control", "state_directory", "path"),
    [
        (ControlConfig(), "/var/lib/hullwatch", "/var/lib/hullwatch/control.sock"),
        (ControlConfig(), "/var/lib/hullwatch/", "/var/lib/hullwatch/control.sock"),
        (ControlConfig(), None, None),
        (ControlConfig(path="/run/h.sock"), None, "/run/h.sock"),
        (ControlConfig(path="/run/h.sock"), "/var/lib/hullwatch", "/run/h.sock"),
        (ControlConfig(enabled=False, path="/run/h.sock"), "/var/lib/hullwatch", None),
    ],
)
def test_where_the_socket_is(control: ControlConfig, state_directory: str | None, path: str | None) -> None:
    assert socket_path(control, state_directory) == path


def test_a_group_may_be_given_a_socket_that_it_can_reach() -> None:
    config = parsed("control: {path: /run/hullwatch/control.sock, group: ops}")
    assert config.control == ControlConfig(path="/run/hullwatch/control.sock", group="ops")


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("control: {group: ops}", "control.group", "wanted control.path as well"),
        (f"control: {{path: /{'x' * MAX_PATH_BYTES}}}", "control.path", "at most 107 bytes"),
        ("control: {path: run/control.sock}", "control.path", "wanted"),
        ("control: {mode: 0666}", "control", "mode"),
    ],
)
def test_refuses(text: str, key: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        parsed(text)
    assert refused.value.key.startswith(key)
