"""Secrets in arguments and environment values are masked, before an alert reaches the outbox. Pure.

A value is masked because of the name before it (``--token VALUE``, ``PASSWORD=VALUE``), because of the program's option
(``mysql -pVALUE``), or because of its own shape (a JSON web token, a key's prefix, a password in a URL). The tables
below are the whole list; ``redaction.names``, ``keep`` and ``patterns`` of the configuration extend it, and the page
``docs/reference/redaction.md`` is made of them.

Who attacks can call a payload ``token=...`` and have it masked: the rest of the alert (who, where, what the kernel
holds) is not touched by it. Patterns are hostile input's, so each is linear in time: no repetition stands before a
fixed word, and every inner one is bounded.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from agent.report import Alert
from agent.state_schema import RedactionConfig
from collectors.facts import Process
from detectors.base import EvidenceValue

MASK = "[redacted]"
CACHED_BYTES = 1024
MAX_TEXT = 8192  # no format shows more of a value (agent.formats.ecs_confinement.MAX_TEXT)

# A name that holds one of these words is a secret's, whatever else is in it: DB_PASSWORD, --github-token, clientSecret.
WORDS = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "api_key", "accesskey", "access_key",
    "privatekey", "private_key", "signing_key", "encryption_key", "authorization", "connection_string", "conn_str",
)  # fmt: skip
# So is a name that has one of these as a part between _, - or dots: -pass, MYSQL_PWD, --auth.
PARTS = ("pass", "pwd", "pw", "auth", "cookie", "bearer", "jwt", "dsn", "psk")
# With one of these at its end, a name says where the secret is, or something about it.
HARMLESS_ENDS = (
    "file", "files", "path", "dir", "directory", "ttl", "timeout", "expiry", "expiration", "length", "size", "type",
    "mode", "method", "name", "issuer", "audience", "endpoint", "count", "limit", "version", "socket", "sock",
)  # fmt: skip
HARMLESS_VALUES = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null"})

# Options of programs whose name says nothing: the value is the rest of the argument, or the next one.
OPTIONS = {
    "curl": ("-u", "--user", "-U", "--proxy-user"),
    "docker": ("-p",),
    "helm": ("-p",),
    "htpasswd": ("-b",),
    "ldapadd": ("-w",), "ldapmodify": ("-w",), "ldapsearch": ("-w",),
    "mariadb": ("-p",), "mariadb-dump": ("-p",), "mysql": ("-p",), "mysqladmin": ("-p",), "mysqldump": ("-p",),
    "mongo": ("-p",), "mongodump": ("-p",), "mongosh": ("-p",),
    "oc": ("-p",),
    "podman": ("-p",),
    "redis-cli": ("-a",),
    "smbclient": ("-U",),
    "sshpass": ("-p",),
}  # fmt: skip
# Of these only where the command is a login: -p is a port, a project or a profile otherwise.
ONLY_AT_LOGIN = frozenset({"docker", "helm", "oc", "podman"})
# These take the value in the same argument only; alone, the option asks for it.
ONLY_ATTACHED = frozenset({"mariadb", "mariadb-dump", "mysql", "mysqladmin", "mysqldump"})


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A kind of secret that is known by its own form. It is looked for only where one of ``hints`` is in the text.

    The group ``secret`` is masked, or the whole match. Hints are lower-case.
    """

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


def _shape(name: str, hints: tuple[str, ...], pattern: str) -> Shape:
    return Shape(name, hints, re.compile(pattern, re.ASCII))


_NAMED = "|".join(re.escape(word).replace("_", "[_-]?") for word in WORDS if word != "authorization")
SHAPES = (
    _shape(
        "a private key (PEM)",
        ("private key-----",),
        r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?P<secret>[^-]{1,16384})",
    ),
    _shape(
        "an Authorization or Cookie header",
        ("authorization", "cookie"),
        r"(?i)(?:authorization|cookie)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?P<secret>[^\"'\r\n]{1,4096})",
    ),
    _shape(
        "bearer and basic credentials",
        ("bearer", "basic"),
        r"(?i)(?:bearer|basic)\s{1,4}(?P<secret>[\w+/.~=-]{8,4096})",
    ),
    _shape("user and password in a URL", ("://",), r"://[^/\s:@]{0,256}:(?P<secret>[^/\s@]{1,256})@"),
    _shape(
        "a value behind one of the words, in a script, a query or JSON",
        tuple(sorted({re.split("[_-]", word)[0] for word in WORDS})),
        rf"(?i)(?:{_NAMED})s?(?:[_-]?(?:id|key|value|data))?[\"']?\s{{0,4}}[=:]\s{{0,4}}[\"']?(?P<secret>[^\s\"'&;,|<>]{{1,4096}})",
    ),
    _shape(
        "a value behind an option of one of the words, in a script",
        ("--",),
        rf"(?i)--(?:[a-z]{{1,16}}-){{0,3}}(?:{_NAMED})\s{{1,4}}[\"']?(?P<secret>[^\s\"'&;,|<>-][^\s\"'&;,|<>]{{0,4096}})",
    ),
    _shape("a JSON web token", ("eyj",), r"(?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{0,4096}"),
    _shape("an access key of AWS", ("akia", "asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    _shape(
        "an account key of Azure",
        ("sharedaccess", "accountkey"),
        r"(?i)(?:accountkey|sharedaccesskey|sharedaccesssignature)=(?P<secret>[^;\s]{8,4096})",
    ),
    _shape("an API key of Google", ("aiza",), r"AIza[\w-]{30,128}"),
    _shape(
        "a token of GitHub",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"(?:gh[pousr]_|github_pat_)\w{20,255}",
    ),
    _shape("a token of GitLab", ("glpat-",), r"glpat-[\w.-]{16,255}"),
    _shape("a token of Slack", ("xox",), r"xox[abeoprs]-[\w-]{10,255}"),
    _shape("a token of npm", ("npm_",), r"npm_[A-Za-z0-9]{30,255}"),
    _shape("a token of PyPI", ("pypi-",), r"pypi-[\w-]{40,512}"),
    _shape("a token of Docker Hub", ("dckr_",), r"dckr_[a-z]{2,4}_[\w-]{16,255}"),
    _shape("a token of Vault", ("hvs.", "hvb."), r"hv[sb]\.[\w-]{20,512}"),
    _shape("a key of Stripe", ("k_live_", "k_test_"), r"[rs]k_(?:live|test)_\w{10,255}"),
    _shape("a key of OpenAI or Anthropic", ("sk-",), r"\bsk-[\w-]{20,255}"),
    _shape("a key of SendGrid", ("sg.",), r"\bSG\.[\w-]{16,64}\.[\w-]{16,128}"),
)  # fmt: skip

_HINTS = tuple(dict.fromkeys(hint for shape in SHAPES for hint in shape.hints))
_BY_HINT = tuple((hint, shape) for shape in SHAPES for hint in shape.hints)
_ASSIGNMENT = re.compile(r"(-{0,2}[A-Za-z_][\w.-]{0,255})=(.*)", re.ASCII | re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][\w.-]{0,255}", re.ASCII)
_SCRIPT_OPTION = re.compile(r"-[a-z]{0,8}c", re.ASCII)  # what follows is more than one assignment
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Redactor:
    """Masks what looks like a secret; the same text in, the same out."""

    def __init__(self, rules: RedactionConfig) -> None:
        self._words = (*WORDS, *(_normal(name) for name in rules.names))
        self._keep = frozenset(_normal(name) for name in rules.keep)
        self._own = tuple(re.compile(pattern) for pattern in rules.patterns)
        self._is_secret_name = lru_cache(4096)(self._judge_name)
        self._short_arguments = lru_cache(1024)(self._mask_arguments)

    def alert(self, alert: Alert) -> Alert:
        """The alert without secrets in the arguments of process and ancestors, the evidence and the sentences."""
        message, reason = alert.message, alert.reason
        if self._may_hold_a_secret(f"{message}\n{reason}"):
            message, reason = self.text(message), self.text(reason)
        process = None if alert.process is None else self._process(alert.process)
        ancestors = tuple([self._process(each) for each in alert.ancestors])
        evidence = tuple([(name, self._evidence(value)) for name, value in alert.evidence])
        is_same = (message, reason, evidence) == (alert.message, alert.reason, alert.evidence)
        if is_same and process is alert.process and all(map(operator.is_, ancestors, alert.ancestors)):
            return alert
        return replace(alert, message=message, reason=reason, process=process, ancestors=ancestors, evidence=evidence)

    def arguments(self, raw: bytes) -> bytes:
        """The NUL-separated arguments of ``/proc/PID/cmdline``, or assignments of ``environ``, masked."""
        return self._short_arguments(raw) if len(raw) <= CACHED_BYTES else self._mask_arguments(raw)

    def text(self, text: str) -> str:
        """Any text, such as a script: what is known by its shape is masked."""
        lower = text.lower()
        for shape in dict.fromkeys(shape for hint, shape in _BY_HINT if hint in lower):
            text = shape.pattern.sub(_masked, text)
        for pattern in self._own:
            text = pattern.sub(_masked, text)
        return text

    def _may_hold_a_secret(self, text: str) -> bool:
        """Whether ``text`` is worth a look, asked once of two sentences of which one holds the other."""
        lower = text.lower()
        return bool(self._own) or any(hint in lower for hint in _HINTS)

    def _process(self, process: Process) -> Process:
        masked = self.arguments(process.arguments)
        return process if masked == process.arguments else replace(process, arguments=masked)

    def _evidence(self, value: EvidenceValue) -> EvidenceValue:
        match value:
            case tuple():
                return tuple(self._value(each) for each in value)
            case _:
                return self._value(value)

    def _value(self, value: str | bytes | int) -> str | bytes | int:
        match value:
            case str():
                return self._assignment(value[:MAX_TEXT])
            case bytes() if b"\0" in value:
                return self.arguments(value[:MAX_TEXT])
            case bytes():
                return self._assignment(value[:MAX_TEXT].decode("latin-1")).encode("latin-1")
            case int():
                return value

    def _mask_arguments(self, raw: bytes) -> bytes:
        parts = raw.decode("latin-1").split("\0")  # one character a byte, and back again
        program = parts[0].rpartition("/")[2]
        options = OPTIONS.get(program, ())
        if program in ONLY_AT_LOGIN and "login" not in parts:
            options = ()
        is_secret_next = False
        for index, part in enumerate(parts):
            if is_secret_next and part and not part.startswith("-"):
                parts[index] = part if part.lower() in HARMLESS_VALUES else MASK
                is_secret_next = False
                continue
            is_secret_next = False
            option = next((each for each in options if part.startswith(each)), None) if index else None
            if option is not None and (len(part) == len(option) or not option.startswith("--")):
                is_secret_next = len(part) == len(option) and program not in ONLY_ATTACHED
                parts[index] = part if len(part) == len(option) else option + MASK
                continue
            if _OPTION.fullmatch(part) is not None:
                is_secret_next = self._is_secret_name(part)
            is_script = index > 0 and _SCRIPT_OPTION.fullmatch(parts[index - 1]) is not None
            parts[index] = self.text(part) if is_script else self._assignment(part)
        return "\0".join(parts).encode("latin-1")

    def _assignment(self, part: str) -> str:
        """``NAME=value`` or ``--name=value`` by its name; everything by its shape."""
        found = _ASSIGNMENT.fullmatch(part)
        if found is None:
            return self.text(part)
        name, value = found.groups()
        if _normal(name) in self._keep:
            return f"{name}={self.text(value)}"
        if self._is_secret_name(name) and value.lower() not in HARMLESS_VALUES:
            return f"{name}={MASK}"
        return self.text(part)

    def _judge_name(self, name: str) -> bool:
        normal = _normal(name)
        parts = normal.split("_")
        if normal in self._keep or parts[-1] in HARMLESS_ENDS:
            return False
        return any(word in normal for word in self._words) or any(part in PARTS for part in parts)


def _normal(name: str) -> str:
    """``--dbPassword`` as ``db_password``."""
    return _CAMEL.sub("_", name.lstrip("-")).replace("-", "_").replace(".", "_").lower()


def _masked(match: re.Match[str]) -> str:
    """The match with its secret masked; one that is masked already, or harmless, stays."""
    secret = match.groupdict().get("secret")
    if secret is None:
        return MASK
    if secret.lower() in HARMLESS_VALUES or secret.startswith(MASK):
        return match[0]
    start, end = match.start("secret") - match.start(), match.end("secret") - match.start()
    return match[0][:start] + MASK + match[0][end:]
