from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import describe
from collectors.capabilities import ALL
from collectors.confinement import ASPECTS, CapabilitySet
from collectors.facts import CgroupMembership, FileId, Place, Seccomp, SeccompMode, Unknown
from tests.support import build


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (build.HOST_MNT, "4026531832"),
        (Unknown("denied: ptrace"), "unknown: denied: ptrace"),
        (None, "none"),
        (True, "true"),
        (b"docker-default (enforce)\n", "docker-default (enforce)"),
        (b"\x1b[2J\xff", "\\x1b[2J\ufffd"),
        (Place(FileId(0xFD01, 2), 27), "253:1:2 on mount 27"),
        (build.ids(1000, effective=0), "real 1000, effective 0, saved 1000, fs 1000"),
        (CapabilitySet(build.HOST_USER, 1 << 21), "CAP_SYS_ADMIN in user namespace 4026531837"),
        (CapabilitySet(1, 0), "none in user namespace 1"),
        (CapabilitySet(1, ALL), "all in user namespace 1"),
        (Seccomp(SeccompMode.FILTER, 2), "filter (2)"),
        (Seccomp(SeccompMode.FILTER, Unknown("unsupported")), "filter"),
        (Seccomp(SeccompMode.DISABLED, 0), "disabled"),
        ((CgroupMembership(4, b"devices", b"/a"), CgroupMembership(0, b"", b"/b")), "4:devices:/a 0::/b"),
    ],
)
def test_says_a_fact_in_words(fact: object, words: str) -> None:
    assert describe.value(fact) == words


@pytest.mark.parametrize("aspect", ASPECTS, ids=lambda aspect: aspect.name)
def test_has_words_for_every_aspect(aspect: object) -> None:
    for confinement in (build.confinement(), build.host_confinement()):
        words = describe.value(aspect.value(confinement))  # type: ignore[attr-defined]
        assert words
        assert "(" not in words or words.startswith(("filter", "docker-default"))  # no repr of a class


def test_names_what_is_the_host_s() -> None:
    host = build.host_baseline()
    assert describe.shared_with_host(build.confinement(), host) == ("user", "time")
    assert describe.is_host_root(build.HOST_ROOT_PLACE, host)
    assert not describe.is_host_root(build.root_place(), host)
    assert not describe.is_host_root(Unknown("denied"), build.host_baseline(root=Unknown("denied")))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_takes_any_device(device: int, inode: int) -> None:
    assert describe.file_id(FileId(device, inode)).endswith(f":{inode}")
