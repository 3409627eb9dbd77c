from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path

import pytest

from agent.bearer_token import MAX_BYTES, BearerToken
from agent.errors import ConfigError
from agent.exposition import CONTENT_TYPE
from agent.health import Code, Health, Reason, Status
from agent.http_message import Answer, Request
from agent.metrics_schema import MetricsConfig
from agent.probes import Probes, open_endpoint

WELL = Health(Status.OK, (), is_ready=True)
STARTING = Health(Status.OK, (), is_ready=False)
DEGRADED = Health(Status.DEGRADED, (Reason(Code.SINK_FAILING, Status.DEGRADED, "siem fails"),), is_ready=True)
FAILING = Health(Status.FAILING, (Reason(Code.MAIN_LOOP_STUCK, Status.FAILING, "stuck"),), is_ready=False)


def ask(path: str, health: Health = WELL, *, token: BearerToken | None = None, shown: str | None = None) -> Answer:
    return Probes(lambda: health, lambda: b"scrape", token).routes()[path](Request(shown))


@pytest.fixture
def token(tmp_path: Path) -> BearerToken:
    file = tmp_path / "token"
    file.write_bytes(b" s3cr\xc3\xa9t\n")
    return BearerToken(str(file))


@pytest.mark.parametrize(
    ("path", "health", "status"),
    [
        ("/healthz", WELL, 200),
        ("/healthz", STARTING, 200),
        ("/healthz", DEGRADED, 200),
        ("/healthz", FAILING, 503),
        ("/readyz", WELL, 200),
        ("/readyz", STARTING, 503),
        ("/readyz", DEGRADED, 200),
        ("/readyz", FAILING, 503),
    ],
)
def test_a_probe_answers_by_health(path: str, health: Health, status: int) -> None:
    assert ask(path, health).status == status


def test_a_probe_tells_the_reasons() -> None:
    answer = ask("/healthz", DEGRADED)
    assert answer.content_type == "application/json"
    assert json.loads(answer.body) == {
        "status": "degraded",
        "reasons": [{"code": "sink_failing", "status": "degraded", "detail": "siem fails"}],
        "is_ready": True,
    }


def test_metrics_are_the_scrape() -> None:
    assert ask("/metrics") == Answer(HTTPStatus.OK, b"scrape", CONTENT_TYPE)


@pytest.mark.parametrize("shown", ["Bearer s3cr\xc3\xa9t", "bearer  s3cr\xc3\xa9t"])
def test_the_token_opens_everything(token: BearerToken, shown: str) -> None:
    assert ask("/metrics", token=token, shown=shown).status == HTTPStatus.OK
    assert b"siem" in ask("/healthz", DEGRADED, token=token, shown=shown).body


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer s3cr", "Basic s3cr\xc3\xa9t", "s3cr\xc3\xa9t"])
def test_strangers_get_no_metrics_and_only_the_status(token: BearerToken, shown: str | None) -> None:
    refused = ask("/metrics", token=token, shown=shown)
    assert (refused.status, refused.header) == (401, (("WWW-Authenticate", 'Bearer realm="hullwatch"'),))
    answer = ask("/healthz", DEGRADED, token=token, shown=shown)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "degraded", "is_ready": True})


def test_a_token_can_be_renewed_and_its_loss_shuts_everybody_out(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = BearerToken(str(file))
    for content in ("old", "new"):
        file.write_text(content)
        assert token.admits(f"Bearer {content}")
    assert not token.admits("Bearer old")
    file.write_text("")
    assert not token.admits("Bearer ")
    file.unlink()
    assert not token.admits("Bearer new")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"x" * (MAX_BYTES + 1)])
def test_refuses_to_start_without_the_token_that_is_asked_for(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"metrics.token_file: '.*token' is of no use: "):
        open_endpoint(MetricsConfig(token_file=str(file)), lambda: WELL, lambda: b"")


def test_there_is_no_endpoint_where_it_is_off() -> None:
    assert open_endpoint(MetricsConfig(address=None), lambda: WELL, lambda: b"") is None
