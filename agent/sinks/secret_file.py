"""Secrets that stand in files: keys, passwords, tokens. Read anew for each use, so that they can be renewed."""

from __future__ import annotations

from agent.errors import SinkError

MAX_BYTES = 65_536


def read_secret(sink: str, path: str) -> bytes:
    """What the file holds, without blanks at its ends; raises ``SinkError``, also where that is nothing."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SinkError(sink, f"{path} cannot be read: {error.strerror or error}") from error
    secret = raw.strip()
    if not secret or len(raw) > MAX_BYTES:
        raise SinkError(sink, f"{path} is empty or larger than {MAX_BYTES} bytes")
    return secret
