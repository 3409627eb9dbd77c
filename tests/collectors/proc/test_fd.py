"""Tests of ``collectors.proc.fd``."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import Gone, Malformed, TooLarge
from collectors.facts import NOT_READ, Descriptor, DescriptorKind, FileId
from collectors.proc.fd import classify_descriptor, parse_descriptor_number, read_descriptors, read_socket_inodes
from tests.support.proctree import Link, build_tree

NSFS = os.stat("/proc/self/ns/mnt").st_dev


def own_descriptors() -> dict[int, Descriptor]:
    directory = os.open("/proc/self", os.O_RDONLY)
    try:
        return {each.number: each for each in read_descriptors(directory, 1000, NSFS)}
    finally:
        os.close(directory)


def test_parses_every_kind_as_the_kernel_shows_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    pipe, other = os.pipe()
    expected = {
        os.open(tmp_path, os.O_RDONLY): DescriptorKind.DIRECTORY,
        os.open(tmp_path / "file", os.O_RDONLY): DescriptorKind.FILE,
        os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK): DescriptorKind.FILE,
        os.open("/dev/null", os.O_RDONLY): DescriptorKind.CHARACTER_DEVICE,
        os.open("/proc/self/ns/net", os.O_RDONLY): DescriptorKind.NAMESPACE,
        os.memfd_create("a name with a blank"): DescriptorKind.FILE,
        os.eventfd(0): DescriptorKind.ANONYMOUS,
        os.pidfd_open(os.getpid()): DescriptorKind.ANONYMOUS,
        socket.socket(socket.AF_UNIX).detach(): DescriptorKind.SOCKET,
        pipe: DescriptorKind.ANONYMOUS,
        other: DescriptorKind.ANONYMOUS,
    }
    try:
        found = own_descriptors()
        assert {number: found[number].kind for number in expected} == expected
        for number in expected:
            status = os.fstat(number)
            assert found[number].place.file == FileId(status.st_dev, status.st_ino)
        null = next(number for number, kind in expected.items() if kind is DescriptorKind.CHARACTER_DEVICE)
        assert (found[null].rdev, found[null].target) == (os.makedev(1, 3), b"/dev/null")
    finally:
        for number in expected:
            os.close(number)


def test_parses_the_mount_that_a_directory_stands_on() -> None:
    fd = os.open("/proc", os.O_RDONLY)
    try:
        info = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
        expected = next(int(line.split()[1]) for line in info.split("\n") if line.startswith("mnt_id:"))
        assert own_descriptors()[fd].place.mnt_id == expected
    finally:
        os.close(fd)


def test_parses_a_block_device_by_its_mode() -> None:
    assert classify_descriptor(0o60660, 6, b"/dev/vda", NSFS) is DescriptorKind.BLOCK_DEVICE


def test_parses_a_namespace_as_anonymous_when_the_device_is_not_known() -> None:
    assert classify_descriptor(0o100444, NSFS, b"net:[4026531833]", NOT_READ) is DescriptorKind.ANONYMOUS


@given(st.integers(0, 0xFFFF), st.integers(0), st.binary())
def test_parses_any_mode_and_target(mode: int, device: int, target: bytes) -> None:
    assert classify_descriptor(mode, device, target, NSFS) in DescriptorKind


@given(st.binary())
def test_refuses_any_bytes_with_malformed_only(name: bytes) -> None:
    try:
        number = parse_descriptor_number(name)
    except Malformed:
        return
    assert number == int(name)


def test_refuses_more_than_the_limit(tmp_path: Path) -> None:
    directory = os.open(build_tree(tmp_path, {"fd": {str(n): Link("/") for n in range(5)}}), os.O_RDONLY)
    try:
        assert len(read_descriptors(directory, 5, NSFS)) == 5
        with pytest.raises(TooLarge):
            read_descriptors(directory, 4, NSFS)
    finally:
        os.close(directory)


def test_parses_the_others_when_one_was_closed_meanwhile(tmp_path: Path) -> None:
    tree = {"fd": {"0": Link("/"), "1": Link(str(tmp_path / "nowhere"))}}
    directory = os.open(build_tree(tmp_path / "7", tree), os.O_RDONLY)  # type: ignore[arg-type]
    try:
        assert [each.number for each in read_descriptors(directory, 10, NSFS)] == [0]
    finally:
        os.close(directory)


def test_refuses_a_process_that_ended(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(Gone):
            read_descriptors(directory, 10, NSFS)
    finally:
        os.close(directory)


def test_reads_the_sockets_among_the_first_descriptors(tmp_path: Path) -> None:
    links = {"0": "/dev/null", "1": "socket:[50]", "2": "socket:[51]", "3": "anon_inode:[eventfd]", "4": "socket:[x]"}
    proc = build_tree(tmp_path, {"7": {"fd": {name: Link(text) for name, text in links.items()}}})
    assert read_socket_inodes(proc, 7, 10) == {50, 51}
    assert len(read_socket_inodes(proc, 7, 1)) <= 1
    assert read_socket_inodes(proc, 8, 10) == frozenset()
