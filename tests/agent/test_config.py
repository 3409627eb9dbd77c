from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import MAX_FILE_BYTES, load_config, parse_config
from agent.config_schema import Config, ExceptionConfig
from agent.errors import ConfigError

RULES = frozenset({"HW-101", "HW-102", "HW-223"})


def parse(text: str) -> Config:
    return parse_config(text.encode(), "hullwatch.yaml", RULES)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n"])
def test_an_empty_file_is_all_defaults(text: str) -> None:
    assert parse(text) == Config()


def test_parses_every_kind_of_key() -> None:
    config = parse(
        """
        sensor: poll
        sweep: {interval_seconds: 2, full_every: 10}
        containers:
          state_directories: [/run/mine]
          docker: {enabled: false, socket: /run/docker.sock}
        detectors: {disabled: [HW-223]}
        exceptions:
          - reason: the updater replaces its own binary
            rules: [HW-2*]
            image: registry.example/updater:*
            labels: {app.kubernetes.io/name: "up*"}
            expires: 2027-01-31
        roots: {proc: /host/proc}
        output: {stdout: {min_severity: high}}
        """
    )
    assert config.sensor == "poll"
    assert config.sweep.interval_seconds == 2.0
    assert config.sweep.descriptors == 256
    assert config.containers.state_directories == ("/run/mine",)
    assert config.containers.docker.enabled is False
    assert config.roots.proc == "/host/proc"
    assert config.roots.sys is None
    assert config.exceptions == (
        ExceptionConfig(
            reason="the updater replaces its own binary",
            rules=("HW-2*",),
            image="registry.example/updater:*",
            labels={"app.kubernetes.io/name": "up*"},
            expires=dt.date(2027, 1, 31),
        ),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "sensor: auto\nsweep:\n  interval_secs: 1\n",
            "hullwatch.yaml:3: sweep.interval_secs: is no known key; wanted interval_seconds",
            id="unknown-key",
        ),
        pytest.param(
            "sweep:\n  interval_seconds: 1s\n",
            "hullwatch.yaml:2: sweep.interval_seconds: is '1s'; wanted a number from 0.05 to 3600",
            id="wrong-type",
        ),
        pytest.param(
            "\n\nsweep:\n  full_every: 0\n",
            "hullwatch.yaml:4: sweep.full_every: is 0; wanted a whole number from 1 to 3600",
            id="out-of-bounds",
        ),
        pytest.param(
            "sweep: {interval_seconds: .nan}",
            "hullwatch.yaml:1: sweep.interval_seconds: is nan; wanted a number from 0.05 to 3600",
            id="not-a-number",
        ),
        pytest.param(
            "sensor: fanotify",
            "hullwatch.yaml:1: sensor: is 'fanotify'; wanted auto, ebpf, netlink or poll",
            id="not-one-of",
        ),
        pytest.param(
            "ebpf: {ring_bytes: 100000}",
            "hullwatch.yaml:1: ebpf.ring_bytes: is 100000; wanted a power of two",
            id="ring-no-power-of-two",
        ),
        pytest.param(
            "sensor: poll\nsweep: {}\nsensor: auto\n",
            "hullwatch.yaml:3: sensor: stands twice; the first is in line 1",
            id="duplicate-key",
        ),
        pytest.param(
            "exceptions:\n- reason: a\n  rules: [HW-101]\n- rules: [HW-101]\n",
            "hullwatch.yaml:4: exceptions[1].reason: is missing; wanted text that is not empty",
            id="missing-key",
        ),
        pytest.param(
            "exceptions:\n- reason: a\n  rules:\n  - HW-101\n  - HW-999\n",
            "hullwatch.yaml:5: exceptions[0].rules[1]: is 'HW-999', which matches no detector's id; wanted "
            "HW-101, HW-102, HW-223",
            id="unknown-rule",
        ),
        pytest.param(
            "exceptions:\n- reason: a\n",
            "hullwatch.yaml:2: exceptions[0]: would except everything; wanted at least one of rules, container, image, "
            "namespace, labels, executable",
            id="exception-to-everything",
        ),
        pytest.param(
            "exceptions:\n- reason: a\n  labels:\n    tier: 3\n",
            "hullwatch.yaml:3: exceptions[0].labels: is {'tier': 3}; wanted a mapping of at most 64 of names to text "
            "that is not empty",
            id="label-no-text",
        ),
        pytest.param(
            "detectors:\n  disabled: [HW-1O1]\n",
            "hullwatch.yaml:2: detectors.disabled[0]: is 'HW-1O1', which is no detector's id; wanted HW-101, HW-102",
            id="unknown-detector",
        ),
        pytest.param(
            "roots: {proc: proc}", "hullwatch.yaml:1: roots.proc: is 'proc'; wanted an absolute path", id="relative"
        ),
        pytest.param(
            "sweep:\n", "hullwatch.yaml:1: sweep: is None; wanted a mapping with keys of: interval_seconds", id="null"
        ),
        pytest.param("- a\n", "hullwatch.yaml:1: is ['a']; wanted a mapping with keys of: sensor", id="no-mapping"),
        pytest.param("a: &x 1\nb: *x\n", "hullwatch.yaml:2: is not YAML that is taken: aliases", id="alias"),
        pytest.param("sweep:\n  1: 2\n", "hullwatch.yaml:2: sweep: has a key that is no text: '1'", id="number-as-key"),
        pytest.param('sensor: "\\ud800"', "hullwatch.yaml:1: sensor: is no valid text: '\\ud800'", id="surrogate"),
        pytest.param("sensor: [\n", "hullwatch.yaml:2: is not YAML that is understood: ", id="not-yaml"),
        pytest.param("a: !!python/name:os.system\n", "hullwatch.yaml:1: is not YAML that is understood: ", id="tag"),
        pytest.param(
            "sensor: auto\nlog: 2026-02-30\n", "hullwatch.yaml:2: is not YAML that is taken: day is", id="no-such-day"
        ),
        pytest.param(
            "output:\n  sinks:\n  - name: siem\n",
            "hullwatch.yaml:3: output.sinks[0].type: is missing; wanted forward, http, kubernetes, otlp or syslog",
            id="sink-without-type",
        ),
        pytest.param(
            "output:\n  sinks:\n  - type: pigeon\n    name: siem\n",
            "hullwatch.yaml:3: output.sinks[0].type: is 'pigeon'; wanted forward, http, kubernetes, otlp or syslog",
            id="sink-of-no-known-type",
        ),
        pytest.param(
            "output:\n  sinks:\n  - type: http\n    name: siem\n    adress: tcp://a:1\n",
            "hullwatch.yaml:5: output.sinks[0].adress: is no known key; wanted headers",
            id="sink-unknown-key",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: http, name: siem}\n",
            "hullwatch.yaml:3: output.sinks[0].url: is missing; wanted a URL of http or https",
            id="sink-without-url",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: http, name: siem, url: 'https://me:secret@siem/'}\n",
            "hullwatch.yaml:3: output.sinks[0].url: is 'https://me:secret@siem/'; wanted a URL of http or https",
            id="sink-secret-in-url",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: forward, name: siem, address: siem:24224}\n",
            "hullwatch.yaml:3: output.sinks[0].address: is 'siem:24224'; wanted tcp://HOST:PORT, tls://HOST:PORT or "
            "unix:///PATH",
            id="sink-address-without-scheme",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: forward, name: a, address: tcp://a:1}\n"
            "  - {type: syslog, name: a, address: tcp://a:1}\n",
            "hullwatch.yaml:4: output.sinks[1].name: is 'a' as in output.sinks[0]; wanted one name a sink",
            id="sinks-of-one-name",
        ),
        pytest.param(
            "output:\n  sinks:\n  - type: forward\n    name: a\n    address: tcp://a:1\n    tls: {ca_file: /ca}\n",
            "hullwatch.yaml:6: output.sinks[0].tls: is given, but address is no tls://",
            id="sink-tls-unused",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: otlp, name: a, url: 'https://a', tls: {key_file: /key}}\n",
            "hullwatch.yaml:3: output.sinks[0].tls.key_file: is given without certificate_file",
            id="sink-key-without-certificate",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: forward, name: a, address: tcp://a:1, username: me}\n",
            "hullwatch.yaml:3: output.sinks[0].username: and password_file go together; wanted both or none",
            id="sink-user-without-password",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: http, name: a, url: 'http://a', headers: {content-length: '1'}}\n",
            "hullwatch.yaml:3: output.sinks[0].headers.content-length: is a header that the sink writes itself",
            id="sink-own-header",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: http, name: a, url: 'http://a', headers: {A: \"b\\r\\nC: d\"}}\n",
            "hullwatch.yaml:3: output.sinks[0].headers: is {'A': 'b\\r\\nC: d'}; wanted a mapping",
            id="sink-header-smuggled",
        ),
        pytest.param(
            "output:\n  sinks:\n  - {type: kubernetes, name: a, server: 'http://a'}\n",
            "hullwatch.yaml:3: output.sinks[0].server: is 'http://a'; wanted a URL of https",
            id="sink-token-in-the-clear",
        ),
        pytest.param("a: 1\n---\nb: 1\n", "hullwatch.yaml:2: is not YAML that is understood: ", id="two-documents"),
        pytest.param("a: \x01\n", "hullwatch.yaml: is not YAML: ", id="control-character"),
        pytest.param("[" * 2000 + "]" * 2000, "hullwatch.yaml: is nested too deeply", id="deep"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


def test_refuses_what_is_not_utf_8() -> None:
    with pytest.raises(ConfigError, match="is not YAML"):
        parse_config(b"sensor: \xff\xfe\xff", "f", RULES)


def test_refuses_a_file_that_is_too_large() -> None:
    with pytest.raises(ConfigError, match="is larger than"):
        parse_config(b"#" * (MAX_FILE_BYTES + 1), "f", RULES)


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_config(tmp_path / "none.yaml")


def test_loads_a_file_with_the_catalogue_of_detectors(tmp_path: Path) -> None:
    file = tmp_path / "hullwatch.yaml"
    file.write_text("detectors: {disabled: [HW-101]}\n")
    assert load_config(str(file)).detectors.disabled == ("HW-101",)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(Config.__struct_fields__), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(Config.__struct_fields__), JSON_VALUES))
def test_raises_nothing_but_config_error_for_any_values(values: dict[str, object]) -> None:
    text = "\n".join(f"{key}: {json.dumps(value, default=str)}" for key, value in values.items())
    with contextlib.suppress(ConfigError):
        parse(text)


@given(st.binary())
def test_raises_nothing_but_config_error_for_any_bytes(raw: bytes) -> None:
    try:
        parse_config(raw, "f", RULES)
    except ConfigError as error:
        str(error).encode("utf-8")
