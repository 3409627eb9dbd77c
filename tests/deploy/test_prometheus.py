"""What is in ``deploy/`` for Prometheus and Grafana, read by Debian's promtool and by a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from agent.exposition import Kind, render
from agent.health import Code, Status
from agent.metrics import collect
from agent.metrics_catalog import METRICS
from tests.agent import readings

REPOSITORY = Path(__file__).resolve().parents[2]
RULES = REPOSITORY / "deploy/prometheus/hullwatch.rules.yaml"
RULES_TEST = Path(__file__).with_name("hullwatch.rules.test.yaml")
DASHBOARD = REPOSITORY / "deploy/dashboards/hullwatch.json"

# Panels that show what went wrong, and so nothing where nothing did.
EMPTY_WITHOUT_TROUBLE = {
    "Blind and failing detectors", "Lost", "Not delivered", "Not told one by one", "What is wrong"
}  # fmt: skip
PATIENCE_SECONDS = 20.0
T = TypeVar("T")

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="prometheus is not installed"
)

SERIES = {
    f"{each.name}{suffix}": frozenset(each.labels)
    for each in METRICS
    for suffix in (("_bucket", "_sum", "_count") if each.kind is Kind.HISTOGRAM else ("",))
}


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]


def targets() -> list[tuple[str, str, str]]:
    """Title, expression and legend of every query of the dashboard."""
    return [(each["title"], t["expr"], t["legendFormat"]) for each in panels() for t in each.get("targets", ())]


def rules() -> list[dict[str, Any]]:
    found = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    assert found
    return found


def expressions() -> list[tuple[str, str]]:
    return [(rule["alert"], rule["expr"]) for rule in rules()] + [(title, expr) for title, expr, _ in targets()]


def metric_names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:hullwatch|process)_[a-z0-9_]+", expression))


def promtool(*arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(("promtool", *arguments), input=text, capture_output=True, check=False, timeout=60)  # noqa: S603, S607


@needs_prometheus
def test_promtool_finds_no_fault_in_a_scrape() -> None:
    checked = promtool("check", "metrics", text=render(collect(readings.snapshot())))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@needs_prometheus
def test_the_rules_are_valid() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_prometheus
def test_the_rules_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "test.yaml"
    file.write_text(RULES_TEST.read_text(encoding="utf-8").replace("- RULES", f"- {RULES}"), encoding="utf-8")
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_every_rule_is_shown_to_fire_and_to_be_silent(alert: str) -> None:
    healthy, trouble = yaml.safe_load(RULES_TEST.read_text(encoding="utf-8"))["tests"]
    assert alert in {each["alertname"] for each in healthy["alert_rule_test"]}
    fired = {each["labels"] for test in trouble["promql_expr_test"] for each in test["exp_samples"]}
    assert f'{{alertname="{alert}"}}' in fired


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize(("where", "expression"), expressions(), ids=lambda each: each[:40])
def test_every_metric_that_is_asked_for_exists(where: str, expression: str) -> None:
    assert metric_names(expression) <= SERIES.keys()
    for code in re.findall(r'reason="([a-z_]+)"', expression):
        assert code in set(Code)
    for status in re.findall(r'status="([a-z_]+)"', expression):
        assert status in set(Status)


@pytest.mark.parametrize(("title", "expression", "legend"), targets(), ids=lambda each: each[:40])
def test_every_label_of_a_legend_exists(title: str, expression: str, legend: str) -> None:
    known = {"instance", "job"}.union(*(SERIES[name] for name in metric_names(expression)))
    assert set(re.findall(r"{{(\w+)}}", legend)) <= known


def test_the_dashboards_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


@needs_prometheus
def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$instance": ".*", "$job": "hullwatch"}
    asked = []
    for number, (_, expression, _) in enumerate(targets()):
        for name, value in variables.items():
            expression = expression.replace(name, value)  # noqa: PLW2901
        assert "$" not in expression
        asked.append({"record": f"query_{number}", "expr": expression})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": asked}]}), encoding="utf-8")
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


# A real agent and a real Prometheus -----------------------------------------------------------------------------------


@pytest.fixture
def agent_port(tmp_path: Path) -> Iterator[int]:
    """The port of a real agent that sweeps this machine; its endpoint wants a token."""
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    config = tmp_path / "hullwatch.yaml"
    config.write_text(
        f"sensor: poll\nsweep: {{interval_seconds: 0.5}}\nlog: {{format: json}}\n"
        f"containers: {{docker: {{enabled: false}}}}\nstate: {{directory: {tmp_path / 'state'}}}\n"
        f"metrics: {{address: '127.0.0.1:0', token_file: {tmp_path / 'token'}}}\n",
        encoding="utf-8",
    )
    command = (
        sys.executable,
        "-c",
        "from agent.cli import main; main()",
        "run",
        "--memory-only",
        "--config",
        str(config),
    )
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as agent:  # noqa: S603
        try:
            assert agent.stderr is not None
            told = (json.loads(line) for line in agent.stderr)
            yield next(int(record["port"]) for record in told if record["event"] == "endpoint_listening")
        finally:
            agent.terminate()
            agent.communicate(timeout=PATIENCE_SECONDS)
    assert agent.returncode == 0


@pytest.fixture
def prometheus(tmp_path: Path, agent_port: int) -> Iterator[str]:
    """The address of a Prometheus that scrapes the agent and holds our rules."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": "hullwatch",
                "authorization": {"credentials_file": str(tmp_path / "token")},
                "static_configs": [{"targets": [f"127.0.0.1:{agent_port}"]}],
            }
        ],
    }
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = (
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603
        try:
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(PATIENCE_SECONDS)


def api(address: str, path: str) -> Any:
    """What the API of Prometheus answers; ``None`` while it does not."""
    try:
        with urllib.request.urlopen(f"{address}/api/v1/{path}", timeout=5) as answer:  # noqa: S310
            return json.load(answer)["data"]
    except (urllib.error.URLError, ConnectionError):
        return None


def wait_for(probe: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := probe()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def value(address: str, expression: str) -> float | None:
    """The one sample that the query gives; ``None`` while there is none."""
    answer = api(address, f"query?query={urllib.parse.quote(expression)}")
    return float(answer["result"][0]["value"][1]) if answer and answer["result"] else None


def moment(address: str, expression: str) -> float | None:
    """When the query was evaluated; ``None`` while it gives nothing: on a busy machine scrapes come late."""
    answer = api(address, f"query?query={urllib.parse.quote(expression)}")
    return float(answer["result"][0]["value"][0]) if answer and answer["result"] else None


def judged(address: str) -> dict[str, str] | None:
    """How the evaluation of each rule went; ``None`` while one has not been evaluated."""
    found = {rule["name"]: rule["health"] for group in api(address, "rules")["groups"] for rule in group["rules"]}
    return None if "unknown" in found.values() else found


@needs_prometheus
def test_a_real_prometheus_scrapes_the_agent_and_answers(prometheus: str) -> None:
    wait_for(lambda: value(prometheus, 'hullwatch_ready{job="hullwatch"}'))
    assert wait_for(lambda: value(prometheus, "increase(hullwatch_sweep_cpu_seconds_count[10s])")) > 0
    assert (value(prometheus, "hullwatch_sweep_processes") or 0) > 1
    assert 10e6 < (value(prometheus, "process_resident_memory_bytes") or 0) < 100e6
    assert value(prometheus, 'hullwatch_sensor_info{tier="poll", configured="poll"}') == 1
    assert value(prometheus, 'hullwatch_sink_up{sink="stdout"}') == 1
    assert (value(prometheus, "hullwatch_outbox_limit_bytes") or 0) > 0
    scraped = {series["__name__"] for series in api(prometheus, 'series?match[]={job="hullwatch"}')}
    assert {name for name in scraped if name.startswith(("hullwatch", "process"))} <= SERIES.keys()
    target = api(prometheus, "targets")["activeTargets"][0]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert wait_for(lambda: judged(prometheus)) == {rule["alert"]: "ok" for rule in rules()}


@needs_prometheus
def test_a_real_prometheus_answers_every_query_of_the_dashboard(prometheus: str) -> None:
    """Grafana is in no registry that the tests may use: what its panels would show is asked for without it."""
    variables = {"$__rate_interval": "10s", "$instance": ".*", "$job": "hullwatch"}

    def shown(expression: str) -> str:
        for name, value in variables.items():
            expression = expression.replace(name, value)
        return expression

    at = wait_for(lambda: moment(prometheus, "increase(hullwatch_sweep_cpu_seconds_count[10s])"))
    empty = set()
    for title, expression, legend in targets():
        answer = api(prometheus, f"query?query={urllib.parse.quote(shown(expression))}&time={at}")
        assert answer is not None, (title, expression)
        labels = set(re.findall(r"{{(\w+)}}", legend))
        assert all(labels <= series["metric"].keys() for series in answer["result"]), (title, legend)
        if not answer["result"]:
            empty.add(title)
    assert empty <= EMPTY_WITHOUT_TROUBLE
