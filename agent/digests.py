"""BLAKE2 (RFC 7693) as Python has it by itself: ``hashlib`` would load OpenSSL too, 3.4 MB of every node."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter that was built without it
    from hashlib import blake2b

__all__ = ["blake2b"]
