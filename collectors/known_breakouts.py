"""Published break-outs of runtimes and of the kernel, and which versions have them. A dated table; pure.

State of the table: 21 November 2026. It holds what public exploits or advisories call a way from a container to its
host, not every fault. ``fixed`` are the first repaired releases, one for each maintained branch: a version is repaired
when it is at least the one of its own branch (major.minor), or the last of all. Distributions repair under an old
number: what is known of that is in ``repaired_builds``, the rest is why a finding of it is never certain.

Sources: the advisory of each row. Held against them on that day: runc by its ``CHANGELOG.md`` and the advisories in
github/advisory-database, containerd and CRI-O by the same, Docker by its notice of January 2024, NVIDIA and the
kernel's rows of 2024 and later by their records in CVEProject/cvelistV5, CVE-2022-0847 by what was published on it. Not
held against a source again: CVE-2019-5736 and -14271, and the kernel's other rows up to 2023.
To add one: a row here, and a case in ``tests/collectors/test_known_breakouts.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)*)(?:[-~.]?(rc|beta|alpha)\.?(\d+))?")
_STAGES = {"alpha": -3, "beta": -2, "rc": -1}

Release = tuple[tuple[int, ...], int, int]
"""Numbers, stage (0 a release, below it candidates) and the candidate's number."""


@dataclass(frozen=True, slots=True)
class Breakout:
    """One published break-out. ``introduced`` is the first release that has it, ``None`` when all before do.

    ``needs`` is what must be so for it to work, in words. ``repaired_builds`` are packages of distributions that are
    repaired under an old number: a later revision of the same package is repaired too.
    """

    id: str
    software: str
    introduced: str | None
    fixed: tuple[str, ...]
    needs: str
    source: str
    repaired_builds: tuple[str, ...] = ()


_NVD = "https://nvd.nist.gov/vuln/detail/"
_RUNC = "https://github.com/opencontainers/runc/security/advisories/"
_USERNS = "an unprivileged user namespace, or CAP_SYS_ADMIN in one"

BREAKOUTS: tuple[Breakout, ...] = (
    Breakout("CVE-2019-5736", "runc", None, ("1.0.0-rc7",), "root inside, and an exec into it", _NVD + "CVE-2019-5736"),
    Breakout(
        "CVE-2021-30465", "runc", None, ("1.0.0-rc95",), "a shared volume, and a race", _RUNC + "GHSA-c3xm-pvg7-gh7r"
    ),
    Breakout(
        "CVE-2024-21626",
        "runc",
        "1.0.0-rc93",
        ("1.1.12",),
        "an image or an exec with a working directory of its choice",
        _RUNC + "GHSA-xr7r-f8xq-vfvv",
        ("1.1.5+ds1-1+deb12u1", "1.0.0~rc93+ds1-5+deb11u3"),  # DSA-5615-1
    ),
    Breakout(
        "CVE-2025-31133",
        "runc",
        None,
        ("1.2.8", "1.3.3", "1.4.0-rc.3"),
        "containers of its choice, started in parallel",
        _RUNC + "GHSA-9493-h29p-rfm2",
    ),
    Breakout(
        "CVE-2025-52565",
        "runc",
        "1.0.0-rc3",
        ("1.2.8", "1.3.3", "1.4.0-rc.3"),
        "containers of its choice, started in parallel",
        _RUNC + "GHSA-qw9x-cqr3-wc7r",
    ),
    Breakout(
        "CVE-2025-52881",
        "runc",
        None,
        ("1.2.8", "1.3.3", "1.4.0-rc.3"),
        "containers of its choice, started in parallel",
        _RUNC + "GHSA-cgrx-mc8f-2prm",
    ),
    Breakout(
        "CVE-2026-41579",
        "runc",
        None,
        ("1.3.6", "1.4.3", "1.5.0-rc.3"),
        "an image whose /dev is a symbolic link, and not Docker; it deletes a ptmx and makes a few links, no more",
        _RUNC + "GHSA-xjvp-4fhw-gc47",
    ),
    Breakout(
        "CVE-2020-15257", "containerd", None, ("1.3.9", "1.4.3"), "the host's net namespace", _NVD + "CVE-2020-15257"
    ),
    Breakout(
        "CVE-2022-23648",
        "containerd",
        None,
        ("1.4.13", "1.5.10", "1.6.1"),
        "an image of its choice, through the CRI",
        "https://github.com/containerd/containerd/security/advisories/GHSA-crp2-qrr5-8pq7",
    ),
    Breakout(
        "CVE-2026-53488",
        "containerd",
        None,
        ("1.7.33", "2.0.10", "2.1.9", "2.2.5", "2.3.2"),
        "an image with labels of its choice, through the CRI",
        _NVD + "CVE-2026-53488",
    ),
    Breakout(
        "CVE-2019-14271", "docker", "19.03.0", ("19.03.1",), "a docker cp out of the container", _NVD + "CVE-2019-14271"
    ),
    Breakout(
        "CVE-2024-23653",
        "docker",
        None,
        ("24.0.9", "25.0.2"),
        "a build with BuildKit of a Dockerfile of its choice",
        "https://github.com/moby/buildkit/security/advisories/GHSA-wr6v-9f75-vh2g",
    ),
    Breakout(
        "CVE-2022-0811",
        "cri-o",
        "1.19.0",
        ("1.19.6", "1.20.7", "1.21.6", "1.22.3", "1.23.2", "1.24.0"),
        "a pod with sysctls of its choice",
        "https://github.com/cri-o/cri-o/security/advisories/GHSA-6x2m-w449-qwx7",
    ),
    Breakout(
        "CVE-2024-0132",
        "nvidia-container-toolkit",
        None,
        ("1.16.2",),
        "an image of its choice, with a GPU, and no CDI",
        "https://nvidia.custhelp.com/app/answers/detail/a_id/5582",
    ),
    Breakout(
        "CVE-2025-23359",
        "nvidia-container-toolkit",
        None,
        ("1.17.4",),
        "an image of its choice, with a GPU, and no CDI",
        "https://nvidia.custhelp.com/app/answers/detail/a_id/5616",
    ),
    Breakout(
        "CVE-2025-23266",
        "nvidia-container-toolkit",
        None,
        ("1.17.8",),
        "an image of its choice, with a GPU",
        "https://nvidia.custhelp.com/app/answers/detail/a_id/5659",
    ),
    Breakout(
        "CVE-2021-22555",
        "kernel",
        "2.6.19",
        ("4.4.267", "4.9.267", "4.14.231", "4.19.188", "5.4.113", "5.10.31", "5.11.15", "5.12.0"),
        _USERNS,
        _NVD + "CVE-2021-22555",
    ),
    Breakout(
        "CVE-2022-0185",
        "kernel",
        "5.1.0",
        ("5.4.173", "5.10.93", "5.15.16", "5.16.2", "5.17.0"),
        _USERNS,
        _NVD + "CVE-2022-0185",
    ),
    Breakout(
        "CVE-2022-0492",
        "kernel",
        "2.6.24",
        ("4.9.301", "4.14.266", "4.19.229", "5.4.177", "5.10.97", "5.15.20", "5.16.6", "5.17.0"),
        "cgroup v1, and no AppArmor, SELinux or seccomp",
        _NVD + "CVE-2022-0492",
    ),
    Breakout(
        "CVE-2022-0847",
        "kernel",
        "5.8.0",
        ("5.10.102", "5.15.25", "5.16.11", "5.17.0"),
        "nothing: any process (a file of the host that is mounted read-only, or the runtime's own)",
        _NVD + "CVE-2022-0847",
    ),
    Breakout("CVE-2023-0386", "kernel", "5.11.0", ("5.15.91", "6.1.9", "6.2.0"), _USERNS, _NVD + "CVE-2023-0386"),
    Breakout(
        "CVE-2023-32233",
        "kernel",
        "3.13.0",
        ("4.14.315", "4.19.283", "5.4.243", "5.10.180", "5.15.111", "6.1.28", "6.2.15", "6.3.2", "6.4.0"),
        _USERNS,
        _NVD + "CVE-2023-32233",
    ),
    Breakout(
        "CVE-2024-1086",
        "kernel",
        "3.15.0",
        ("4.19.307", "5.4.269", "5.10.210", "5.15.149", "6.1.76", "6.6.15", "6.7.3", "6.8.0"),
        _USERNS,
        _NVD + "CVE-2024-1086",
    ),
    Breakout(
        "CVE-2026-31431",
        "kernel",
        "4.14.0",
        ("5.10.254", "5.15.204", "6.1.170", "6.6.137", "6.12.85", "6.18.22", "6.19.12", "7.0.0"),
        "an AF_ALG socket: Docker's own filter lets it through before Engine 29.4.2",
        _NVD + "CVE-2026-31431",
    ),
    Breakout(
        "CVE-2026-43284",
        "kernel",
        "4.11.0",
        ("5.10.255", "5.15.206", "6.1.172", "6.6.138", "6.12.87", "6.18.28", "7.0.5", "7.1.0"),
        _USERNS,
        _NVD + "CVE-2026-43284",
    ),
)


def parse_release(version: str) -> Release | None:
    """The upstream release in a version, whatever a distribution put around it; ``None`` when there is none."""
    found = _UPSTREAM.match(version.strip().removeprefix("v"))
    if found is None:
        return None
    numbers = tuple(int(each) for each in found[1].split(".")[:4] if len(each) < 10)  # noqa: PLR2004 (no real one)
    padded = numbers + (0,) * (3 - len(numbers))
    return padded, _STAGES.get(found[2] or "", 0), int((found[3] or "0")[:9])


def is_distribution_build(version: str) -> bool:
    """A distribution made it, and may have repaired it under the old number."""
    found = _UPSTREAM.match(version.strip().removeprefix("v"))
    return found is None or bool(version.strip().removeprefix("v")[found.end() :])


def breakouts_of(software: str, version: str) -> tuple[Breakout, ...]:
    """Those that this version has, as far as its number tells; none when it has no number."""
    release = parse_release(version)
    if release is None:
        return ()
    return tuple(each for each in BREAKOUTS if each.software == software and _has(each, release, version))


def _has(breakout: Breakout, release: Release, version: str) -> bool:
    introduced = parse_release(breakout.introduced) if breakout.introduced is not None else None
    if introduced is not None and release < introduced:
        return False
    fixes = [fix for each in breakout.fixed if (fix := parse_release(each)) is not None]
    if release >= max(fixes) or any(release[0][:2] == fix[0][:2] and release >= fix for fix in fixes):
        return False
    return not any(_is_later_build(version, each) for each in breakout.repaired_builds)


def _is_later_build(version: str, repaired: str) -> bool:
    """The same package in the same revision of the distribution or a later one: only the last number is higher."""
    stem = repaired.rstrip("0123456789")
    if not version.startswith(stem):
        return False
    last = re.match(r"\d{1,9}", version[len(stem) :])
    return last is not None and int(last[0]) >= int(repaired[len(stem) :])
