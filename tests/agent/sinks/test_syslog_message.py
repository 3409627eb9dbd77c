from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.formats.ecs import to_ecs
from agent.sinks.syslog_message import BOM, CEE_COOKIE, Header, framed, structured, with_json
from tests.agent import alerts
from tests.support import build

SAMPLES = alerts.samples()
HEADER = Header("authpriv", "hullwatch", 32473)

# RFC 5424, section 6: the grammar, as far as we use it.
MESSAGE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z) (?P<host>[!-~]{1,255}) "
    rb"(?P<app>[!-~]{1,48}) (?P<procid>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    rb'(?P<sd>-|(\[[!-~]+@\d+( [^ =\]"]{1,32}="([^"\\\]]|\\["\\\]])*")*\])+)( (?P<msg>.*))?',
    re.DOTALL,
)


def parsed(message: bytes) -> dict[str, bytes]:
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    return found.groupdict()


def document(name: str) -> dict[str, Any]:
    return to_ecs(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_every_alert_follows_the_grammar(name: str) -> None:
    fields = parsed(structured(document(name), HEADER, 8192))
    assert fields["msg"] == BOM + SAMPLES[name].message.encode()
    assert fields["host"] == b"node-1"
    assert fields["msgid"] == SAMPLES[name].detector.id.encode()
    assert parsed(with_json(document(name), HEADER, b'{"a":"]"}', is_cee=False))["msg"] == b'{"a":"]"}'


def test_names_priority_and_time() -> None:
    fields = parsed(structured(document("drift"), HEADER, 8192))
    assert fields["pri"] == b"82"  # authpriv (10) * 8 + critical (2)
    assert fields["time"] == b"2025-11-21T04:40:00.000000Z"
    assert parsed(structured(document("agent"), Header("local7", "a", 1), 8192))["pri"] == b"190"


def test_holds_what_a_rule_of_the_receiver_needs() -> None:
    data = parsed(structured(document("drift-in-a-pod"), HEADER, 8192))["sd"].decode()
    assert data.startswith("[hullwatch@32473 id=")
    for part in (
        'rule="HW-101"',
        'severity="90"',
        f'container="{build.container_id()}"',
        'namespace="shop"',
        'pod="cart-7d9f"',
        'process="nsenter"',
        'pid="4242"',
        'uid="0"',
    ):
        assert f" {part}" in data


def test_escapes_what_a_container_called_itself() -> None:
    process = alerts.escaped(name=b'a"]\\b\n\x1b')
    message = structured(to_ecs(alerts.alert(process)), HEADER, 8192)
    assert rb' process="a\"\]\\b\\x0a\\x1b"' in message
    assert not any(each < 0x20 for each in message)
    parsed(message)


def test_the_json_of_cee_has_its_cookie_and_no_mark() -> None:
    message = with_json(document("drift"), HEADER, b"{}", is_cee=True)
    assert parsed(message)["msg"] == CEE_COOKIE + b"{}"
    assert BOM not in message


@given(st.integers(0, 4000))
def test_is_cut_between_characters(limit: int) -> None:
    message = structured({**document("drift"), "message": "\u00e9" * 500}, HEADER, limit)
    assert limit - 1 <= len(message) <= limit or len(message) < 4000
    message.decode("utf-8")


def test_frames_by_octets() -> None:
    assert framed("\u00e9".encode()) == b"2 \xc3\xa9"


@pytest.mark.parametrize("name", ["", "n\u00e9", " ", "x" * 300])
def test_a_host_name_is_printable(name: str) -> None:
    facts = document("drift")
    facts["host"]["name"] = name
    parsed(structured(facts, HEADER, 8192))
