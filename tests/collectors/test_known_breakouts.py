from __future__ import annotations

import re

import pytest

from collectors.known_breakouts import BREAKOUTS, breakouts_of, is_distribution_build, parse_release


@pytest.mark.parametrize(
    ("software", "version", "has", "has_not"),
    [
        ("runc", "1.0.0-rc6", "CVE-2019-5736", "CVE-2024-21626"),
        ("runc", "1.0.0-rc92", "CVE-2021-30465", "CVE-2019-5736"),
        ("runc", "1.1.11", "CVE-2024-21626", "CVE-2021-30465"),
        ("runc", "1.1.12", "CVE-2025-31133", "CVE-2024-21626"),
        ("runc", "1.2.7", "CVE-2025-52881", "CVE-2024-21626"),
        ("runc", "1.2.8", "CVE-2026-41579", "CVE-2025-52881"),
        ("runc", "v1.4.0-rc.2", "CVE-2025-52565", "CVE-2024-21626"),
        ("runc", "1.4.0-rc.3", "CVE-2026-41579", "CVE-2025-52565"),
        ("runc", "1.1.5+ds1-1+deb12u1", "CVE-2025-31133", "CVE-2024-21626"),
        ("runc", "1.1.5+ds1-1+b1", "CVE-2024-21626", "CVE-2021-30465"),
        ("runc", "1.0.0~rc93+ds1-5+deb11u4", "CVE-2025-31133", "CVE-2024-21626"),
        ("runc", "1.0.0~rc93+ds1-5+deb11u2", "CVE-2024-21626", "CVE-2019-5736"),
        ("containerd", "1.6.0", "CVE-2022-23648", "CVE-2020-15257"),
        ("docker", "5:23.0.1-1~debian.12~bookworm", "CVE-2024-23653", "CVE-2019-14271"),
        ("cri-o", "1.22.2", "CVE-2022-0811", ""),
        ("kernel", "5.10.92", "CVE-2022-0185", "CVE-2023-0386"),
        ("kernel", "5.4.180", "CVE-2024-1086", "CVE-2022-0847"),
        ("kernel", "6.1.75-debian", "CVE-2024-1086", "CVE-2023-0386"),
        ("kernel", "5.13.0", "CVE-2022-0847", "CVE-2021-22555"),
        ("kernel", "6.6.15", "CVE-2026-31431", "CVE-2024-1086"),
        ("kernel", "6.12.85", "CVE-2026-43284", "CVE-2026-31431"),
        ("kernel", "7.0.4", "CVE-2026-43284", "CVE-2026-31431"),
        ("kernel", "4.13.0", "CVE-2026-43284", "CVE-2026-31431"),
        ("containerd", "1.7.32", "CVE-2026-53488", "CVE-2022-23648"),
        ("containerd", "2.2.4", "CVE-2026-53488", "CVE-2022-23648"),
        ("nvidia-container-toolkit", "1.17.3", "CVE-2025-23359", "CVE-2024-0132"),
        ("nvidia-container-toolkit", "1.17.4", "CVE-2025-23266", "CVE-2025-23359"),
    ],
)
def test_a_version_has_its_breakouts(software: str, version: str, has: str, has_not: str) -> None:
    found = {each.id for each in breakouts_of(software, version)}
    assert has in found
    assert has_not not in found


@pytest.mark.parametrize(
    ("software", "version"),
    [
        ("runc", "1.5.0"),
        ("runc", "1.3.6"),
        ("containerd", "1.7.33"),
        ("containerd", "2.3.2"),
        ("nvidia-container-toolkit", "1.17.8"),
        ("docker", "28.0.1"),
        ("cri-o", "1.18.3"),
        ("kernel", "6.18.44"),
        ("kernel", "6.6.138"),
        ("kernel", "7.1.0"),
        ("podman", "1.0.0"),
        ("runc", "devel"),
        ("runc", ""),
    ],
)
def test_a_version_has_none(software: str, version: str) -> None:
    assert breakouts_of(software, version) == ()


@pytest.mark.parametrize(
    ("version", "is_rebuilt"),
    [("1.1.12", False), ("v1.4.0-rc.2", False), ("1.1.5+ds1-1", True), ("6.1.76-debian", True), ("devel", True)],
)
def test_a_distributions_build_is_told_by_what_it_adds(version: str, *, is_rebuilt: bool) -> None:
    assert is_distribution_build(version) is is_rebuilt


def test_releases_are_ordered_candidates_first() -> None:
    versions = ["1.0.0-alpha1", "1.0.0-beta1", "1.0.0-rc9", "1.0.0-rc10", "1.0.0", "1.0.1", "1.10"]
    releases = [parse_release(each) for each in versions]
    assert None not in releases
    assert releases == sorted(releases, key=lambda each: each or ((), 0, 0))


def test_the_table_is_well_formed() -> None:
    assert len({each.id for each in BREAKOUTS}) == len(BREAKOUTS)
    for each in BREAKOUTS:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,6}", each.id)
        assert each.source.startswith("https://")
        assert each.needs
        assert all(parse_release(version) is not None for version in each.fixed)
        assert list(each.fixed) == sorted(each.fixed, key=lambda version: parse_release(version) or ((), 0, 0))
