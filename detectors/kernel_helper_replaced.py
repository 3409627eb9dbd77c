"""A program that the kernel runs by itself, as root on the host, is another one than before.

core_pattern, modprobe, poweroff_cmd, uevent_helper and binfmt_misc's interpreters are paths in the kernel's memory.
Whoever can write one, from wherever, makes the kernel start a file of his own with all privileges and outside every
container: crash a program, load an unknown file type, plug in a device. The value is compared, so it does not matter
through which mount or system call it was written.

*Fires on:* one of these values names a program that it did not name before. Critical when that program lies in a
container (its layers, its root, its volume, or what a process sees through /proc), whoever wrote it and also when it
was there at the agent's start; critical as well when it lies where no distribution installs programs. Medium when it is
an installed program, or names files: then the author, whom a value does not tell, may be the administrator. A value
that is back to what it was at the start is silent. Or a container process opened one of these files of the kernel for
writing: critical, high for binfmt_misc.
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.container_paths import owner_of_path
from collectors.events import FileTouched, KernelValue, Touch
from collectors.facts import Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
    capable_containers,
    container_roots,
    judge_value,
)

HELPERS = frozenset({"core_pattern", "modprobe", "poweroff_cmd", "hotplug", "uevent_helper", "cache_getent"})
BINFMT = "binfmt_misc"

# Where distributions install programs (collectors.programs); a helper that was found trusted at start is one as well.
INSTALLED = (b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib64/", b"/opt/", b"/nix/store/", b"/gnu/store/")

# Root of the host's user namespace with nothing else may write /proc/sys where it is not read-only.
WRITERS = mask(("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE", "CAP_SYS_MODULE"))


FILES = (
    b"/sys/kernel/core_pattern",
    b"/sys/kernel/modprobe",
    b"/sys/kernel/poweroff_cmd",
    b"/sys/kernel/hotplug",
    b"/kernel/uevent_helper",
)
BINFMT_MISC_MAGIC = 0x42494E4D  # include/uapi/linux/magic.h


def check(event: KernelValue | FileTouched, view: NodeView) -> Found:
    """A file that was opened for writing, or a value that is another one."""
    if isinstance(event, FileTouched):
        yield from _opened(event, view)
    else:
        yield from _turned(event, view)


def _opened(event: FileTouched, view: NodeView) -> Found:
    is_binfmt = event.file_system == BINFMT_MISC_MAGIC
    is_helper = event.touch is Touch.KERNEL and (is_binfmt or event.path.endswith(FILES))
    member = (yield from actor(event.process, view)) if is_helper else None
    if member is None:
        return
    name = event.path.rsplit(b"/", 1)[-1].decode("ascii", "backslashreplace")
    yield Finding(
        f"opened {'binfmt_misc: ' if is_binfmt else ''}{name} for writing, which names programs that the kernel runs",
        member.container.id,
        event.process.key,
        evidence=(("path", event.path),),
        severity=Severity.HIGH if is_binfmt else Severity.CRITICAL,
        inherited=True,
    )


def _turned(event: KernelValue, view: NodeView) -> Found:
    """Judge the programs that the value names and did not name before."""
    return judge_value(event, HELPERS | {BINFMT}, view, _judge)


def _judge(event: KernelValue, after: bytes, view: NodeView) -> Found:
    is_first = isinstance(event.before, Unknown)
    if not is_first and after == event.at_start:
        return
    before = _programs(event.name, b"" if isinstance(event.before, Unknown) else event.before)
    programs = tuple(each for each in _programs(event.name, after) if each not in before)
    strange = [each for each in programs if not each.startswith(INSTALLED) and each not in view.host.helper_paths]
    for program in programs:
        owner = owner_of_path(program, container_roots(view))
        if owner is not None:
            yield _finding(event, f"the kernel was told to run a container's file: {owner[1]}", program, owner[0])
        elif program in strange:
            yield _finding(
                event,
                "the kernel is told to run a program that lies where none are installed",
                program,
                severity=Severity.HIGH if is_first else Severity.CRITICAL,
            )
        elif not is_first:
            yield _changed(event, program, view)
    if not programs and not is_first and event.name != BINFMT:
        yield _changed(event, b"", view)


def _programs(name: str, value: bytes) -> tuple[bytes, ...]:
    """The programs that the kernel runs because of a value (core(5), admin-guide/binfmt-misc.rst)."""
    if name == BINFMT:
        entries = (line.split(b" ") for line in value.split(b"\n"))
        return tuple(entry[1] for entry in entries if len(entry) > 1 and entry[1].startswith(b"/"))
    if name == "core_pattern":
        if not value.startswith(b"|"):
            return ()
        value = value[1:]
    return tuple(value.split(None, 1)[:1])


def _changed(event: KernelValue, program: bytes, view: NodeView) -> Finding:
    """An author whom nobody saw, and a value that is not hostile by itself."""
    able = capable_containers(view, WRITERS)
    return _finding(
        event,
        f"the value {event.name} was changed, by whom is not known",
        program,
        severity=Severity.MEDIUM,
        able=able,
    )


def _finding(
    event: KernelValue,
    message: str,
    program: bytes,
    container_id: str | None = None,
    *,
    severity: Severity | None = None,
    able: tuple[str, ...] = (),
) -> Finding:
    after = event.after if isinstance(event.after, bytes) else b""
    before = event.before if isinstance(event.before, bytes) else b""
    return Finding(
        message if event.name in message else f"{message} ({event.name})",
        container_id,
        evidence=(
            ("value", event.name),
            ("file", event.where),
            ("before", before),
            ("after", after),
            ("program", program),
            ("containers_that_could", able),
        ),
        severity=severity,
        confidence=Confidence.CERTAIN if severity is None else Confidence.LIKELY,
    )


DETECTOR = Detector(
    id="HW-205",
    name="kernel_helper_replaced",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1574", "Hijack Execution Flow", "TA0003", "Persistence"),
    ),
    wants=(KernelValue, FileTouched),
    check=check,
    weakest=Tier.POLL,
    summary="core_pattern, modprobe, poweroff_cmd, uevent_helper or a binfmt_misc interpreter is another than before.",
    benign=(
        (
            "An administrator or a package (systemd-coredump, apport, abrt, kdump) that sets core_pattern or modprobe "
            "to an installed program: told as medium, since a value does not say who wrote it."
        ),
        (
            "qemu-user-static and build machines register interpreters in binfmt_misc; out of an image they do it "
            "with a privileged container: make an exception for those nodes."
        ),
        "A value that was set when the agent started, to an installed program: it is what the node is like.",
        "A value that goes back to what it was at the start is silent.",
    ),
    misses=(
        "A value that is written and written back between two sweeps: its program is told by HW-208 and HW-114.",
        "Below the ebpf tier: who wrote it; the containers that could are evidence.",
        "An installed program that is itself replaced, or run with hostile arguments.",
        "An entry of binfmt_misc in a user namespace of its own (kernel 6.7): it governs that namespace only.",
    ),
    advice=(
        "Read the value's program and keep a copy of it, then set the value back (the evidence has the one before).",
        "A program of a container: that container has the node; isolate the node and look for HW-208 and HW-114.",
        "Ask which containers can write /proc/sys: privileged ones, and those with a writable mount of proc.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man5/core.5.html",
        "https://docs.kernel.org/admin-guide/sysctl/kernel.html",
        "https://docs.kernel.org/admin-guide/binfmt-misc.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2022-0811",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
