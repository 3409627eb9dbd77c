from __future__ import annotations

import pytest

from collectors.events import Touch
from collectors.facts import Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.kernel_helper_replaced import DETECTOR
from tests.support import build, calls
from tests.support.values import changed, met
from tests.support.view import FakeView, run

UPPER = b"/var/lib/docker/overlay2/" + build.container_id().encode() + b"/diff"


def node() -> FakeView:
    return FakeView().put_container(build.container(), build.first_process())


def test_fires_when_core_pattern_names_a_file_in_a_containers_layer() -> None:
    value = b"|" + UPPER + b"/tmp/payload %P"
    assert run(DETECTOR, changed("core_pattern", b"core", value), node()) == [
        Finding(
            "the kernel was told to run a container's file: it lies in the layer of the container (core_pattern)",
            build.container_id(),
            evidence=(
                ("value", "core_pattern"),
                ("file", b"/proc/sys/kernel/core_pattern"),
                ("before", b"core"),
                ("after", value),
                ("program", UPPER + b"/tmp/payload"),
                ("containers_that_could", ()),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("name", "value", "container_id"),
    [
        pytest.param("modprobe", UPPER + b"/x", build.container_id(), id="modprobe"),
        pytest.param("poweroff_cmd", UPPER + b"/x -f", build.container_id(), id="with-arguments"),
        pytest.param("uevent_helper", UPPER + b"/x", build.container_id(), id="uevent-helper"),
        pytest.param("binfmt_misc", b"evil " + UPPER + b"/x OC", build.container_id(), id="interpreter-of-binfmt-misc"),
        pytest.param("core_pattern", b"|/proc/%P/root/x", None, id="through-the-crashing-process"),
        pytest.param("modprobe", b"/var/lib/docker/overlay2/other/diff/x", None, id="layer-of-nobody-known"),
    ],
)
def test_fires_when_any_helper_is_a_containers_file(name: str, value: bytes, container_id: str | None) -> None:
    (found,) = run(DETECTOR, changed(name, b"", value), node())
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id) == (None, container_id)


def test_fires_when_the_containers_file_was_there_at_the_start() -> None:
    (found,) = run(DETECTOR, met("core_pattern", b"|" + UPPER + b"/x"), node())
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id) == (None, build.container_id())


def test_fires_when_a_helper_lies_where_no_program_is_installed() -> None:
    (found,) = run(DETECTOR, changed("modprobe", b"/sbin/modprobe", b"/tmp/x"), node())
    assert isinstance(found, Finding)
    assert (found.severity, found.confidence) == (Severity.CRITICAL, Confidence.LIKELY)


def test_fires_as_medium_when_the_author_is_not_known() -> None:
    first = build.first_process(confinement=build.confinement(capabilities=build.capabilities(build.FULL_CAPABILITIES)))
    view = FakeView().put_container(build.container(), first)
    (found,) = run(DETECTOR, changed("core_pattern", b"core", b"|/usr/lib/systemd/systemd-coredump %P"), view)
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id) == (Severity.MEDIUM, None)
    assert dict(found.evidence)["containers_that_could"] == (build.container_id(),)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(met("core_pattern", b"|/usr/share/apport/apport %p"), id="installed-and-there-at-start"),
        pytest.param(met("core_pattern", b"core"), id="files-at-start"),
        pytest.param(met("modprobe", b"/sbin/modprobe"), id="known-helper"),
        pytest.param(met("binfmt_misc", b"qemu /usr/bin/qemu POCF"), id="interpreters-at-start"),
        pytest.param(changed("core_pattern", b"|/tmp/x", b"core", at_start=b"core"), id="back-to-the-start"),
        pytest.param(changed("binfmt_misc", b"a /usr/bin/a P\nb /usr/bin/b", b"a /usr/bin/a P"), id="entry-removed"),
        pytest.param(changed("kernel.kptr_restrict", b"2", b"0"), id="another-value"),
    ],
)
def test_silent_when_nothing_new_is_run(event: object) -> None:
    assert run(DETECTOR, event, node()) == []  # type: ignore[arg-type]


def test_blind_when_the_value_cannot_be_read() -> None:
    assert run(DETECTOR, met("modprobe", Unknown("denied: kernel value")), node()) == [Blind("denied: kernel value")]


@pytest.mark.parametrize(
    ("path", "file_system", "severity"),
    [
        (b"/proc/sys/kernel/core_pattern", 0x9FA0, Severity.CRITICAL),
        (b"/mnt/sys/kernel/uevent_helper", 0x62656572, Severity.CRITICAL),
        (b"/mnt/register", 0x42494E4D, Severity.HIGH),
    ],
)
def test_fires_when_a_container_opens_it_for_writing(path: bytes, file_system: int, severity: Severity) -> None:
    event = calls.touched(Touch.KERNEL, path=path, file_system=file_system)
    assert calls.one(DETECTOR, event).severity == severity


def test_silent_when_another_file_is_opened() -> None:
    assert (
        calls.told(DETECTOR, calls.touched(Touch.KERNEL, path=b"/proc/sys/kernel/hostname", file_system=0x9FA0)) == []
    )


def test_blind_when_the_writer_is_not_known() -> None:
    event = calls.touched(Touch.KERNEL, path=b"/proc/sys/kernel/modprobe")
    assert calls.blind(DETECTOR, event) == calls.NOT_KNOWN
