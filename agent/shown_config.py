"""The configuration as it holds, every default filled in, fit to be shown: nothing in it that may be a secret. Pure.

Secrets belong in files that the configuration names, but a webhook's URL is one, headers are often made to be, and a
pattern of the redaction may spell out what it hides.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from agent.config_schema import Config
from agent.redaction import MASK

_URL_KEYS = frozenset({"url", "server"})
_ORIGIN = re.compile(r"^(https?://[^/?#]*)(.*)$", re.DOTALL)


def shown(config: Config) -> dict[str, Any]:
    """The whole configuration as plain values, the secrets masked."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    for sink in values["output"]["sinks"]:
        for name in sink.get("headers", {}):
            sink["headers"][name] = MASK
        for key in _URL_KEYS & sink.keys():
            sink[key] = _without_path(sink[key])
    redaction = values["output"]["redaction"]
    redaction["patterns"] = [MASK for _ in redaction["patterns"]]
    return values


def _without_path(url: str | None) -> str | None:
    """Scheme, host and port; of the rest only whether it is there."""
    match = _ORIGIN.match(url or "")
    if match is None:
        return url
    return match[1] + (f"/{MASK}" if match[2] not in {"", "/"} else match[2])
