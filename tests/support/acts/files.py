"""Touching the host's files through a mount: by who stays a while, or ends at once, whom only the eBPF tier sees.

Nothing on the host stays changed: what is planted is a comment under a name of our own, and is taken away again.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.acts.calls import call_once
from tests.support.patience import patient
from tests.support.processes import require
from tests.support.stage import (
    CRITICAL,
    HIGH,
    MEDIUM,
    Act,
    CannotHereError,
    Expected,
    Outcome,
    Stage,
    host_directory,
    unique_name,
)

CRON = Path("/etc/cron.d")
HOST = ("-v", "/:/host")
RUNTIME = ("runc", "crun", "containerd-shim", "containerd-shim-runc-v1", "containerd-stress")


@contextmanager
def _planted() -> Iterator[Path]:
    """A name in the host's cron directory that nothing has; gone afterwards."""
    if not CRON.is_dir():
        raise CannotHereError(f"there is no {CRON}")
    path = CRON / unique_name()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def write_cron_job(stage: Stage) -> Iterator[Outcome]:
    """A new file in /etc/cron.d, by the shell's redirection."""
    with _planted() as path, stage.container(*HOST) as container:
        stage.let_it_be_seen()
        stage.shell(container, f'sleep {patient(0.2)}; echo "# nothing" > "/host$1"', str(path))
        require(path.read_text() == "# nothing\n", "it is not there")
        yield Outcome(container.id)


@contextmanager
def rename_into_cron(stage: Stage) -> Iterator[Outcome]:
    """A file that was written elsewhere is renamed into /etc/cron.d: nothing is opened there."""
    with _planted() as path, host_directory() as volume, stage.container(*HOST) as container:
        if volume.stat().st_dev != CRON.stat().st_dev:
            raise CannotHereError("/var/tmp and /etc are on two file systems")
        (volume / "job").write_text("# nothing\n")
        stage.let_it_be_seen()
        result, error = call_once(stage, container, "rename", f"/host{volume}/job", f"/host{path}")
        require(result == 0, f"rename failed with {error}")
        require(path.exists(), "it is not there")
        yield Outcome(container.id)


@contextmanager
def read_password_hashes(stage: Stage) -> Iterator[Outcome]:
    """The host's /etc/shadow through a symbolic link in the container."""
    with stage.container(*HOST) as container:
        stage.let_it_be_seen()
        stage.shell(container, "ln -s /host/etc/shadow /tmp/plain")
        result, error = call_once(stage, container, "read", "/tmp/plain")
        require(result >= 0, f"open failed with {error}")
        yield Outcome(container.id)


@contextmanager
def hold_cron_job(stage: Stage) -> Iterator[Outcome]:
    """A new file in /etc/cron.d that its writer keeps open; only that directory is mounted, under another name."""
    with _planted() as path, stage.container("-v", f"{CRON}:/jobs") as container:
        stage.let_it_be_seen()
        pid = stage.sleep_inside(container, "sh", "-c", 'exec 3> "$0"; exec "$@"', f"/jobs/{path.name}")
        require(path.exists(), "it is not there")
        yield Outcome(container.id, (pid,), text=path.name)


@contextmanager
def write_cron_job_slowly(stage: Stage) -> Iterator[Outcome]:
    """A new file in /etc/cron.d whose writer takes a second: a place where much happens is listened to every half."""
    with _planted() as path, stage.container(*HOST) as container:
        stage.let_it_be_seen()
        script = f'{{ echo "# nothing"; sleep {patient(1.0)}; echo "# more"; }} > "/host$1"'
        stage.shell(container, script, str(path))
        require(path.read_text() == "# nothing\n# more\n", "it is not there")
        yield Outcome(container.id)


@contextmanager
def hold_password_hashes(stage: Stage) -> Iterator[Outcome]:
    """The host's /etc/shadow is held open, by a symbolic link in the container."""
    with stage.container(*HOST) as container:
        stage.let_it_be_seen()
        stage.shell(container, "ln -s /host/etc/shadow /tmp/plain")
        pid = stage.sleep_inside(container, "sh", "-c", 'exec 3< "$0"; exec "$@"', "/tmp/plain")
        require(any(each.samefile("/etc/shadow") for each in Path(f"/proc/{pid}/fd").iterdir()), "it is not held")
        yield Outcome(container.id, (pid,))


@contextmanager
def read_password_hashes_slowly(stage: Stage) -> Iterator[Outcome]:
    """The host's /etc/shadow is read by somebody who takes 50 ms."""
    with stage.container("-v", "/etc:/srv:ro") as container:
        stage.let_it_be_seen()
        read = stage.shell(container, f"{{ sleep {patient(0.05)}; wc -l; }} < /srv/shadow")
        require(int(read), "nothing was read")
        yield Outcome(container.id)


@contextmanager
def hold_own_files(stage: Stage) -> Iterator[Outcome]:
    """The container's own /etc/shadow and cron job, held open: a control."""
    with stage.container() as container:
        stage.shell(container, "echo root:x > /etc/shadow; mkdir -p /etc/cron.d")
        stage.sleep_inside(container, "sh", "-c", 'exec 3< /etc/shadow 4> /etc/cron.d/job; exec "$0" "$@"')
        yield Outcome(container.id)


@contextmanager
def read_own_password_hashes(stage: Stage) -> Iterator[Outcome]:
    """The container's own /etc/shadow: a control."""
    with stage.container() as container:
        stage.shell(container, "echo root:x > /etc/shadow; mkdir -p /etc/cron.d; echo > /etc/cron.d/job")
        result, error = call_once(stage, container, "read", "/etc/shadow")
        require(result >= 0, f"open failed with {error}")
        yield Outcome(container.id)


@contextmanager
def open_runtime_for_writing(stage: Stage) -> Iterator[Outcome]:
    """A program of the host's runtime, opened for writing and closed again; nothing is written.

    As CVE-2019-5736 does it: while anybody runs the program the kernel refuses (ETXTBSY), so it is tried for a second;
    and where somebody runs runc all the time, the next program of the runtime is.
    """
    programs = [Path(path).resolve() for path in map(shutil.which, RUNTIME) if path]
    if not programs:
        raise CannotHereError("no runtime is installed")
    with stage.container(*HOST) as container:
        stage.let_it_be_seen()
        result, error = -1, errno.ETXTBSY
        for program in programs:
            before = program.read_bytes()
            result, error = call_once(stage, container, "write", f"/host{program}")
            require(program.read_bytes() == before, "it has changed")
            if error != errno.ETXTBSY:
                break
        require(result >= 0, f"open of {program} failed with {error}")
        yield Outcome(container.id, text=str(program))


@contextmanager
def plant_set_uid(stage: Stage) -> Iterator[Outcome]:
    """A copy of the shell is made set-uid, on a volume that the host sees."""
    with host_directory() as volume, stage.container("-v", f"{volume}:/volume") as container:
        stage.let_it_be_seen()
        stage.shell(container, f"cp /bin/busybox /volume/sh; sleep {patient(0.2)}; chmod 4755 /volume/sh")
        require((volume / "sh").stat().st_mode & 0o4000, "it is not set-uid")
        yield Outcome(container.id)


@contextmanager
def open_core_pattern(stage: Stage) -> Iterator[Outcome]:
    """core_pattern is opened for writing; nothing is written."""
    with stage.capable() as container:
        stage.let_it_be_seen()
        stage.shell(container, "mount -o remount,rw /proc/sys")
        result, error = call_once(stage, container, "write", "/proc/sys/kernel/core_pattern")
        require(result >= 0, f"open failed with {error}")
        yield Outcome(container.id)


@contextmanager
def read_environment_of_host(stage: Stage) -> Iterator[Outcome]:
    """The environment of a process of the host."""
    with stage.victim() as victim, stage.capable("--pid=host") as container:
        stage.let_it_be_seen()
        result, error = call_once(stage, container, "read", f"/proc/{victim.pid}/environ")
        require(result >= 0, f"open failed with {error}")
        yield Outcome(container.id)


ACTS = (
    Act("write_cron_job", write_cron_job, (Expected("HW-219", CRITICAL),), weakest="ebpf"),
    Act("rename_into_cron", rename_into_cron, (Expected("HW-219", CRITICAL),), weakest="ebpf"),
    Act("read_password_hashes", read_password_hashes, (Expected("HW-220", HIGH),), weakest="ebpf"),
    Act("hold_cron_job", hold_cron_job, (Expected("HW-219", CRITICAL),)),
    Act("write_cron_job_slowly", write_cron_job_slowly, (Expected("HW-219", CRITICAL),), weakest="netlink"),
    Act("hold_password_hashes", hold_password_hashes, (Expected("HW-220", HIGH),)),
    Act("read_password_hashes_slowly", read_password_hashes_slowly, (Expected("HW-220", HIGH),), weakest="netlink"),
    Act("read_environment_of_host", read_environment_of_host, (Expected("HW-220", HIGH),), weakest="ebpf"),
    Act("open_runtime_for_writing", open_runtime_for_writing, (Expected("HW-221", CRITICAL),), weakest="ebpf"),
    Act("plant_set_uid", plant_set_uid, (Expected("HW-224", MEDIUM),), weakest="ebpf"),
    Act("open_core_pattern", open_core_pattern, (Expected("HW-205", CRITICAL),), weakest="ebpf"),
    Act("read_own_password_hashes", read_own_password_hashes, ()),
    Act("hold_own_files", hold_own_files, ()),
)
