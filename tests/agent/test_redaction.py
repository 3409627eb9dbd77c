from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.formats.ecs import encode
from agent.redaction import MASK, SHAPES, Redactor
from agent.state_schema import RedactionConfig, refused_patterns
from tests.agent import alerts

REDACTOR = Redactor(RedactionConfig())
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"  # "sig" and "alg" in base64, nobody's


def masked(*arguments: str) -> list[str]:
    return REDACTOR.arguments("\0".join(arguments).encode()).decode().split("\0")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("x", "--password=hunter2"), ["x", f"--password={MASK}"]),
        (("x", "--db-password", "hunter2", "y"), ["x", "--db-password", MASK, "y"]),
        (("java", "-DclientSecret=hunter2"), ["java", f"-DclientSecret={MASK}"]),
        (("env", "MYSQL_PWD=hunter2", "AWS_SECRET_ACCESS_KEY=hunter2"), None),
        (("x", "githubToken=hunter2"), None),
        (("mysql", "-uroot", "-phunter2", "db"), ["mysql", "-uroot", f"-p{MASK}", "db"]),
        (("/usr/bin/mysqldump", "-p", "db"), ["/usr/bin/mysqldump", "-p", "db"]),
        (("sshpass", "-p", "hunter2", "ssh", "h"), ["sshpass", "-p", MASK, "ssh", "h"]),
        (("curl", "-u", "bob:hunter2", "https://h"), ["curl", "-u", MASK, "https://h"]),
        (("redis-cli", "-a", "hunter2"), ["redis-cli", "-a", MASK]),
        (("docker", "login", "-u", "bob", "-p", "hunter2"), ["docker", "login", "-u", "bob", "-p", MASK]),
        (("docker", "run", "-p", "8080:80"), ["docker", "run", "-p", "8080:80"]),
        (("psql", "postgres://bob:hunter2@db/x"), ["psql", f"postgres://bob:{MASK}@db/x"]),
        (("curl", "-H", "Authorization: Basic hunter2"), ["curl", "-H", f"Authorization: {MASK}"]),
        (("curl", "https://h/?x=1&access_token=hunter2&y=2"), ["curl", f"https://h/?x=1&access_token={MASK}&y=2"]),
        (("sh", "-c", "PGPASSWORD=hunter2 psql -c 'select 1'"), ["sh", "-c", f"PGPASSWORD={MASK} psql -c 'select 1'"]),
        (("sh", "-c", "mysql --password hunter2 db"), ["sh", "-c", f"mysql --password {MASK} db"]),
        (("x", '{"user": "bob", "password": "hunter2"}'), ["x", f'{{"user": "bob", "password": "{MASK}"}}']),
    ],
)
def test_masks_by_name_and_by_option(arguments: tuple[str, ...], expected: list[str] | None) -> None:
    got = masked(*arguments)
    assert not any("hunter2" in each for each in got)
    assert expected is None or got == expected


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        "AKIA" + "A" * 16,
        "ghp_" + "a" * 36,
        "github_pat_" + "a" * 40,
        "glpat-" + "a" * 20,
        "xoxb-" + "1" * 12,
        "AIza" + "a" * 35,
        "npm_" + "a" * 36,
        "pypi-" + "a" * 60,
        "dckr_pat_" + "a" * 20,
        "hvs." + "a" * 30,
        "sk_live_" + "a" * 24,
        "sk-" + "a" * 40,
        "SG." + "a" * 22 + "." + "b" * 43,
    ],
)
def test_masks_by_shape(secret: str) -> None:
    assert masked("x", "y", f"value:{secret},rest") == ["x", "y", f"value:{MASK},rest"]


def test_masks_a_private_key() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----"
    assert masked("x", key) == ["x", f"-----BEGIN RSA PRIVATE KEY-----{MASK}-----END RSA PRIVATE KEY-----"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nsenter", "-t", "1", "-m", "sh"),
        ("x", "--token-file", "/run/secrets/token"),
        ("x", "--password-file=/run/x"),
        ("kubelet", "--authentication-token-webhook=true"),
        ("x", "--auth-mode=RBAC", "--token", "--verbose"),
        ("sh", "-c", "cat /var/run/secrets/kubernetes.io/serviceaccount/token"),
        ("python", "-m", "tokenize", "x.py"),
        ("x", "--pass", ""),
        ("ssh", "-p", "22", "user@host"),
        ("https://example.org:8443/a@b",),
        ("",),
    ],
)
def test_leaves_alone(arguments: tuple[str, ...]) -> None:
    assert masked(*arguments) == list(arguments)


def test_masks_in_every_part_of_an_alert() -> None:
    process = alerts.escaped(arguments=b"sh\0--token=hunter2\0\xff--password=hunter2\0")
    finding = alerts.drift(
        process,
        message="ran TOKEN=hunter2",
        evidence=(
            ("helper", b"|/x --password hunter2"),
            ("list", ("SECRET=hunter2", 5)),
            ("raw", b"a\0--token\0hunter2"),
        ),
    )
    raised = alerts.alert(process, finding=finding)
    raised = replace(raised, ancestors=(process, *raised.ancestors))
    assert b"hunter2" in encode(raised)
    told = REDACTOR.alert(raised)
    assert b"hunter2" not in encode(told)
    assert b"aHVudGVyMg" not in encode(told)  # nor in base64
    assert told.id == raised.id


def test_an_alert_without_secrets_is_the_same() -> None:
    raised = alerts.alert()
    assert REDACTOR.alert(raised) is raised


def test_the_list_can_be_extended_and_cut() -> None:
    own = Redactor(
        RedactionConfig(names=("licence",), keep=("public-token",), patterns=(r"ACME-(?P<secret>\d+)", "Q{9}"))
    )
    raw = b"x\0--licence-code\0hunter2\0--public-token=shown\0ACME-12345\0" + b"Q" * 9
    assert own.arguments(raw).split(b"\0") == [
        b"x", b"--licence-code", MASK.encode(), b"--public-token=shown", f"ACME-{MASK}".encode(), MASK.encode(),
    ]  # fmt: skip


def test_patterns_that_are_none_are_refused() -> None:
    problems = dict(refused_patterns(RedactionConfig(patterns=("ok", "(", "a*"))))
    assert sorted(problems) == [1, 2]
    assert "no regular expression" in problems[1]
    assert "matches the empty text" in problems[2]


def test_every_shape_is_found_by_one_of_its_hints() -> None:
    for shape in SHAPES:
        assert shape.hints
        assert all(hint == hint.lower() for hint in shape.hints)


@given(st.binary(max_size=400))
def test_any_bytes_can_be_masked_and_once_is_enough(raw: bytes) -> None:
    once = REDACTOR.arguments(raw)
    assert REDACTOR.arguments(once) == once
    assert len(once.split(b"\0")) == len(raw.split(b"\0"))


@given(st.text(st.characters(categories=None), max_size=400))
def test_any_text_can_be_masked(text: str) -> None:
    assert REDACTOR.text(REDACTOR.text(text)) == REDACTOR.text(text)


@given(
    st.text(alphabet="abcXYZ019", min_size=6, max_size=40),
    st.sampled_from(["--password={}", "API_KEY={}", "x://u:{}@h"]),
)
def test_no_secret_behind_a_name_stays(secret: str, template: str) -> None:
    assert secret not in REDACTOR.arguments(f"x\0{template.format(secret)}".encode()).decode()


@pytest.mark.parametrize(
    "unit",
    ["eyJ", "eyJ-", "password", "://a:", "--a-a-a-", "authorization", "bearer ", "basic    x", "sk-", "AIza", "npm_",
     "-----BEGIN PRIVATE KEY-----", "=password", "token=", "a\0", "-", "xox", "secret  ", "key_", "--my-token "],
)  # fmt: skip
def test_hostile_text_takes_no_more_than_linear_time(unit: str) -> None:
    raw = (unit * 4096)[:4096].encode()
    started = time.process_time()
    for _ in range(5):
        REDACTOR._mask_arguments(raw)
    assert (time.process_time() - started) / 5 < 0.1


def test_what_the_tables_name_is_sound() -> None:
    assert all(re.compile(shape.pattern).groups <= 1 for shape in SHAPES)
