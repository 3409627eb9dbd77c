"""Tests of ``collectors.proc.status``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.facts import Capabilities, Ids, Seccomp, SeccompMode, Unknown
from collectors.proc.status import Status, parse_status
from tests.support.proctree import status_lines

# Captured, kernel 6.18: unshare -pf setpriv --reuid 1000 --regid 100 ... --no-new-privs sleep; memory lines left out
CONTAINER = (
    b"Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t30377\nNgid:\t0\nPid:\t30377\nPPid:\t30375\n"
    b"TracerPid:\t0\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\nFDSize:\t256\nGroups:\t4 100 \n"
    b"NStgid:\t30377\t1\nNSpid:\t30377\t1\nNSpgid:\t30365\t0\nNSsid:\t6206\t0\nKthread:\t0\nVmPeak:\t    2920 kB\n"
    b"CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\nThreads:\t1\nSigQ:\t0/96365\n"
    b"SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000006\n"
    b"SigCgt:\t0000000000000000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
    b"CapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\nSeccomp_filters:\t0\n"
    b"Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled\nCpus_allowed:\t3\n"
)


def test_parses_a_process_in_a_pid_namespace_of_its_own() -> None:
    assert parse_status(CONTAINER) == Status(
        tgid=30377,
        pid=30377,
        parent_pid=30375,
        tracer_pid=0,
        uids=Ids(1000, 1000, 1000, 1000),
        gids=Ids(100, 100, 100, 100),
        ns_pid=1,
        thread_count=1,
        capabilities=Capabilities(0, 0, 0, 0x21, 0),
        no_new_privs=True,
        seccomp=Seccomp(SeccompMode.DISABLED, 0),
    )


def test_parses_the_innermost_pid_of_nested_namespaces() -> None:
    assert parse_status(status_lines(900, ns_pids=(900, 31, 4))).ns_pid == 4


def test_parses_a_kernel_without_the_later_lines() -> None:
    old = CONTAINER.replace(b"Seccomp_filters:\t0\n", b"").replace(b"NoNewPrivs:\t1\n", b"")
    status = parse_status(old.replace(b"NSpid:\t30377\t1\n", b"").replace(b"CapAmb:\t0000000000000000\n", b""))
    unsupported = Unknown("unsupported: proc/status")
    assert status.seccomp == Seccomp(SeccompMode.DISABLED, unsupported)
    assert (status.no_new_privs, status.ns_pid) == (unsupported, unsupported)
    assert status.capabilities.ambient == 0


def test_parses_a_kernel_without_seccomp() -> None:
    status = parse_status(CONTAINER.replace(b"Seccomp:\t0\nSeccomp_filters:\t0\n", b""))
    assert status.seccomp == Unknown("unsupported: proc/status")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(rb"a\nUid:\t0\t0\t0\t0", id="name-with-escaped-newline"),
        pytest.param(b"Tgid:\t1", id="name-is-a-label"),
        pytest.param(b"\xff\x85\x0b\xe2\x80\xa8", id="name-holds-other-line-ends"),
    ],
)
def test_parses_names_that_pretend_to_be_lines(name: bytes) -> None:
    assert parse_status(CONTAINER.replace(b"sleep\n", name + b"\n", 1)) == parse_status(CONTAINER)


def test_parses_seventy_thousand_groups() -> None:
    groups = b" ".join(b"%d" % number for number in range(70_000))
    assert parse_status(CONTAINER.replace(b"4 100 ", groups)) == parse_status(CONTAINER)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(CONTAINER[:120], id="truncated-in-the-ids"),
        pytest.param(CONTAINER[: CONTAINER.index(b"CapPrm")], id="truncated-in-the-capabilities"),
        pytest.param(CONTAINER.replace(b"1000\t1000\t1000\t1000", b"1000\t1000\t1000"), id="three-ids"),
        pytest.param(CONTAINER.replace(b"0000000000000021", b"zz"), id="mask-is-not-hexadecimal"),
        pytest.param(CONTAINER.replace(b"Tgid:\t30377", b"Tgid:\t" + b"9" * 5000), id="number-too-long-for-int"),
    ],
)
def test_refuses_what_the_kernel_does_not_write(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_status(data)


@given(
    st.binary(max_size=300),
    st.integers(0, len(CONTAINER)),
    st.integers(0, len(CONTAINER)),
)
def test_refuses_any_bytes_with_malformed_only(data: bytes, start: int, end: int) -> None:
    try:
        parse_status(CONTAINER[:start] + data + CONTAINER[end:])
    except Malformed:
        return


@given(st.integers(1, 2**22), st.lists(st.integers(1, 2**22), min_size=1, max_size=32), st.integers(0, 2**41 - 1))
def test_parses_back_what_was_written(pid: int, ns_pids: list[int], mask: int) -> None:
    status = parse_status(status_lines(pid, ns_pids=tuple(ns_pids), capabilities=mask))
    assert (status.pid, status.ns_pid) == (pid, ns_pids[-1])
    assert status.capabilities == Capabilities(0, mask, mask, mask, 0)
