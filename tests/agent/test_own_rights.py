"""What the agent gives up is really gone: tried in processes of their own, since nothing of it comes back."""

import ast
import errno
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import syscall_filter
from agent.own_rights import give_up
from agent.sources import rest_seconds
from collectors.capabilities import NUMBERS
from detectors.base import Tier

AFTER = """
import ctypes, os, sys, threading
from agent.own_rights import give_up
from detectors.base import Tier

def attempt(call):
    try:
        call()
    except OSError as error:
        return error.errno
    return 0

rights = give_up(Tier({tier!r}), "/proc", drop_capabilities={drop}, filter_calls={filter})
libc = ctypes.CDLL(None, use_errno=True)
def raw(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)
results = []
def attempts():
    results.append(attempt(lambda: os.execv("/bin/true", ["true"])))
    results.append(attempt(lambda: raw("ptrace", 16, os.getppid(), 0, 0)))  # PTRACE_ATTACH
    results.append(attempt(lambda: raw("unshare", 0x20000)))  # CLONE_NEWNS
thread = threading.Thread(target=attempts)  # a later thread has no more than the first
if {attempts}:
    thread.start()
    thread.join()
status = dict(line.split(":\\t") for line in open("/proc/thread-self/status").read().splitlines() if ":\\t" in line)
shown = [status[name] for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")]
print(repr((rights.kept, rights.trouble, results, shown)))
"""


def after(tier: Tier, *, drop: bool = True, filtered: bool = True, attempts: bool = True) -> Any:
    text = AFTER.format(tier=tier.value, drop=drop, filter=filtered, attempts=attempts)
    done = subprocess.run(  # noqa: S603  (this Python)
        [sys.executable, "-c", text], check=True, capture_output=True, text=True, timeout=60, cwd=os.getcwd()
    )
    return ast.literal_eval(done.stdout)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
@pytest.mark.parametrize(
    ("tier", "kept"),
    [
        (Tier.POLL, ["CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"]),
        (Tier.NETLINK, ["CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"]),
        (Tier.EBPF, ["CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"]),
    ],
)
def test_keeps_what_the_sensor_needs(tier: Tier, kept: list[str]) -> None:
    said, trouble, _, (effective, permitted, bounding, no_new_privs, seccomp) = after(tier)
    assert sorted(said) == kept
    assert trouble == ()
    mask = f"{sum(1 << NUMBERS[name] for name in kept):016x}"
    assert [effective, permitted, bounding] == [mask] * 3
    assert [no_new_privs, seccomp] == ["1", "2"]


def test_refuses_programs_ptrace_and_namespaces() -> None:
    _, _, results, _ = after(Tier.POLL)
    assert results == [errno.EPERM] * 3


def test_takes_nothing_when_told_so() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    before = dict(line.split(":\t") for line in lines if ":\t" in line)
    said = after(Tier.POLL, drop=False, filtered=False, attempts=False)
    names = ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
    assert said[3] == [before[name] for name in names]


def test_a_machine_without_a_table_has_no_filter_and_says_so() -> None:
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        syscall_filter.program("riscv64")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_arrives(machine: str) -> None:
    code = list(struct.iter_unpack("=HBBI", syscall_filter.program(machine)))
    allow, refuse = len(code) - 2, len(code) - 1
    assert code[allow][3] == 0x7FFF0000
    assert code[refuse][3] == 0x00050001
    assert [index + 1 + code[index][1] for index in range(3, allow)] == [refuse] * (allow - 3)
    assert 2 + code[1][2] == refuse  # another architecture's calls have other numbers


def test_tells_that_running_threads_keep_their_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 2)
    rights = give_up(Tier.POLL, "/proc", drop_capabilities=False, filter_calls=False)
    assert rights.trouble == ("threads that run already keep what they have",)


@pytest.mark.parametrize(("cpu", "share", "rest"), [(0.2, 0.5, 0.2), (0.2, 0.25, 0.6), (3.0, 1.0, 0.0)])
def test_rests_so_long_that_the_share_is_kept(cpu: float, share: float, rest: float) -> None:
    assert rest_seconds(cpu, share) == pytest.approx(rest)
    assert cpu / (cpu + rest) == pytest.approx(share)


@pytest.mark.parametrize(
    ("header", "column", "missing"),
    [
        ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0, set[str]()),
        ("/usr/include/asm-generic/unistd.h", 1, {"mknod"}),  # arm64 has mknodat only
    ],
)
def test_numbers_are_those_of_the_kernels_headers(header: str, column: int, missing: set[str]) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed (package linux-libc-dev)")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", Path(header).read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in found}
    assert set(syscall_filter.REFUSED) - set(numbers) == missing
    for name in syscall_filter.REFUSED.keys() - missing:
        assert syscall_filter.REFUSED[name][column] == numbers[name], name
