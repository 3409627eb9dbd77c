from __future__ import annotations

import hashlib

from agent.digests import blake2b


def test_is_the_function_that_hashlib_has() -> None:
    assert blake2b is hashlib.blake2b
