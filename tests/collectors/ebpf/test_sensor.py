import os
import threading
from pathlib import Path
from typing import cast

import pytest

from agent.assembly import assemble
from agent.config_schema import Config
from agent.ebpf_assembly import new_ebpf_source
from collectors.ebpf import sensor
from collectors.ebpf.calls import CALLS
from collectors.ebpf.counters import COUNTERS
from collectors.ebpf.libbpf import RingBuffer
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import Unsupported
from collectors.events import Event

HEADER = Path(sensor.__file__).parent / "kernel" / "maps.h"


def source(object_path: Path) -> EbpfSource:
    events: list[Event] = []
    collectors = assemble(Config(), events.append, watch_mounts=False)
    return new_ebpf_source(
        collectors, events.append, ring_bytes=1 << 20, request_sweep=lambda: None, object_path=object_path
    )


def test_says_that_its_object_is_missing(tmp_path: Path) -> None:
    refused = source(tmp_path / "none.bpf.o")
    with pytest.raises(Unsupported, match=r"none\.bpf\.o is missing|has no BTF"):
        refused.open()
    refused.close()


def test_says_that_the_kernel_has_no_btf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor, "BTF", tmp_path / "vmlinux")
    refused = source(tmp_path / "none.bpf.o")
    with pytest.raises(Unsupported, match="CONFIG_DEBUG_INFO_BTF"):
        refused.open()
    refused.close()


class Ring:
    """One in which something is left that the kernel rings for no more; the first who takes from it fails."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0)
        self.is_taken = threading.Event()
        self._failures = [RuntimeError("nobody foresaw it")]

    def fileno(self) -> int:
        """Takes the place of ``RingBuffer.fileno``."""
        return self.fd

    def consume(self) -> int:
        """Takes the place of ``RingBuffer.consume``."""
        if self._failures:
            raise self._failures.pop()
        self.is_taken.set()
        return 1

    def close(self) -> None:
        """Takes the place of ``RingBuffer.close``."""
        os.close(self.fd)


def test_what_a_failure_leaves_in_the_ring_is_taken_at_once(tmp_path: Path) -> None:
    opened, ring = source(tmp_path / "none.bpf.o"), Ring()
    opened._ring = cast("RingBuffer", ring)
    reading = threading.Thread(target=opened.run, daemon=True)
    reading.start()
    with pytest.raises(RuntimeError):
        opened.drain()  # as the sweep's thread does
    assert ring.is_taken.wait(10)
    opened.stop()
    reading.join(10)
    assert not reading.is_alive()
    opened.close()


def test_counters_are_those_of_the_header_file() -> None:
    names = [word.strip(" \t,") for word in HEADER.read_text().splitlines() if word.startswith("\tCOUNTER_")]
    assert [name.partition(",")[0].removeprefix("COUNTER_").lower() for name in names] == list(COUNTERS)


@pytest.mark.parametrize("constant", ["CHANGES", "TELLS_REFUSAL", "PIVOTS", "UNMOUNTS"])
def test_meanings_are_those_of_the_header_file(constant: str) -> None:
    meanings = {call.meaning.name: int(call.meaning) for call in CALLS}
    value = next(
        line.split("=")[1].split(",")[0] for line in HEADER.read_text().splitlines() if f"CALL_{constant} =" in line
    )

    assert meanings[constant] == int(value)
