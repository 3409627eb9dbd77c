"""A bearer token (RFC 6750) that is kept in a file, and read anew whenever it is compared: it may be renewed."""

from __future__ import annotations

from pathlib import Path

MAX_BYTES = 4096


class BearerToken:
    """The token in a file. A file that cannot be read, or holds nothing, lets nobody in."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> bytes:
        """The token, without the white space around it. Raises ``OSError``, and ``ValueError`` where there is none."""
        with Path(self._path).open("rb") as file:
            token = file.read(MAX_BYTES + 1).strip()
        if not token or len(token) > MAX_BYTES:
            raise ValueError(f"wanted a token of 1 to {MAX_BYTES} bytes")
        return token

    def admits(self, authorization: str | None) -> bool:
        """The header (its bytes as latin-1) bears the token."""
        scheme, _, shown = (authorization or "").partition(" ")
        try:
            token = self.read()
        except (OSError, ValueError):
            return False
        import hmac  # which loads OpenSSL: only where a token is asked for

        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode("latin-1"), token)
