from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Malformed
from collectors.host import Roots
from collectors.node.packages import parse_dpkg_status, parse_rpm_header, read_packages

STATUS = b"""\
Package: runc
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1.1.5+ds1-1+deb12u1
Description: Open Container Project - runtime
 Version: 9.9.9 in a description

Package: runc-dbg
Status: install ok installed
Version: 2.0

Package: containerd
Status: deinstall ok config-files
Version: 1.6.20~ds1-1

Package: docker.io
Status: hold ok installed
Version: 20.10.24+dfsg1-1+deb12u1
"""


def header(version: bytes = b"1.1.12", release: bytes = b"1.el9") -> bytes:
    """A header as rpm stores it, name before version before release."""
    data = b"runc\0" + version + b"\0" + release + b"\0"
    entries = [(1000, 6, 0, 1), (1001, 6, 5, 1), (1002, 6, 6 + len(version), 1)]
    return (
        struct.pack(">II", len(entries), len(data)) + b"".join(struct.pack(">IIII", *each) for each in entries) + data
    )


def test_parses_what_dpkg_has_installed() -> None:
    names = ("runc", "containerd", "docker.io", "podman")
    assert parse_dpkg_status(STATUS, names) == {"runc": "1.1.5+ds1-1+deb12u1", "docker.io": "20.10.24+dfsg1-1+deb12u1"}


@given(st.binary(max_size=300))
def test_parses_any_status(data: bytes) -> None:
    assert parse_dpkg_status(b"Package: runc\n" + data, ("podman",)) == {}


def test_parses_a_header_of_rpm() -> None:
    assert parse_rpm_header(header()) == "1.1.12-1.el9"


@pytest.mark.parametrize(
    "blob",
    [b"", b"\0" * 7, struct.pack(">II", 0, 0), struct.pack(">II", 9999, 0), header()[:40], header()[:-20]],
    ids=["empty", "short", "no-entries", "many-entries", "cut-index", "cut-data"],
)
def test_refuses_a_broken_header(blob: bytes) -> None:
    with pytest.raises(Malformed):
        parse_rpm_header(blob)


@given(st.binary(max_size=200))
def test_refuses_with_nothing_but_malformed(blob: bytes) -> None:
    try:
        parse_rpm_header(blob)
    except Malformed:
        return


def test_reads_dpkg_below_the_hosts_root(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_bytes(STATUS)
    assert read_packages(Roots(host=str(tmp_path)), ("runc",)) == {"runc": ("1.1.5+ds1-1+deb12u1", "dpkg")}


def test_reads_rpm_where_there_is_no_dpkg(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/sysimage/rpm").mkdir(parents=True)
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    with closing(sqlite3.connect(tmp_path / "usr/lib/sysimage/rpm/rpmdb.sqlite")) as database, database:
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
        database.execute("CREATE TABLE Name (key TEXT, hnum INTEGER, idx INTEGER)")
        database.execute("INSERT INTO Packages VALUES (1, ?)", (header(),))
        database.execute("INSERT INTO Name VALUES ('runc', 1, 0)")
    assert read_packages(Roots(host=str(tmp_path)), ("runc", "crun")) == {"runc": ("1.1.12-1.el9", "rpm")}


def test_reads_nothing_from_what_is_no_database(tmp_path: Path) -> None:
    assert read_packages(Roots(host=str(tmp_path)), ("runc",)) == {}
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "var/lib/rpm/rpmdb.sqlite").write_bytes(b"no database" * 100)
    assert read_packages(Roots(host=str(tmp_path)), ("runc",)) == {}
