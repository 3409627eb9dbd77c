"""Honest work inside a container: su, set-uid, ping, cron, packages, its own mounts and namespaces, bursts of forks."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import (
    namespace,
    require,
    shares_namespace,
    status,
    unique_seconds,
    wait_for_process,
    wait_until,
)
from tests.support.stage import (
    LOW,
    MEDIUM,
    TOOLS,
    Stage,
    Workload,
    host_directory,
    needs_program,
    run_on_host,
)

CAP_NET_RAW = 13
BURST = 500


@contextmanager
def switch_user(stage: Stage) -> Iterator[None]:
    """`su` to an ordinary user, and su to root by an ordinary user: a set-uid program."""
    with stage.container() as container:
        down, up = unique_seconds(), unique_seconds()
        stage.engine.execute(container, "su", "worker", "-c", f"sleep {down}", options=("-d",))
        require(status(wait_for_process(down, first="sleep"))["Uid"].split()[0] == "1000", "su did not go down")
        stage.engine.execute(container, "su", "root", "-c", f"sleep {up}", options=("-d", "-u", "1000"))
        require(status(wait_for_process(up, first="sleep"))["Uid"].split()[0] == "0", "su did not go up")
        yield


@contextmanager
def run_setuid_program(stage: Stage) -> Iterator[None]:
    """A set-uid root helper, as sudo is, in a container that runs as an ordinary user."""
    with stage.container("--user", "1000") as container:
        pid = stage.sleep_inside(container, f"{TOOLS}/setuid_run")
        require(status(pid)["Uid"].split() == ["0"] * 4, "it did not become root")
        require(int(status(container.pid)["CapPrm"], 16) == 0, "the container's first process has capabilities")
        yield


@contextmanager
def ping(stage: Stage) -> Iterator[None]:
    """`ping` by an ordinary user: a capability of the file, not of the process before it."""
    with stage.container("--user", "1000") as container:
        stage.engine.execute(container, "ping", "-c", "60", "127.0.0.1", options=("-d",))
        pid = wait_until(lambda: _child_named(container.pid, "ping"), "a ping inside")
        require(int(status(pid)["CapPrm"], 16) >> CAP_NET_RAW & 1, "it has not got the file's capability")
        yield


def _child_named(first: int, comm: str) -> int:
    """A process of the container of this first process that has this name; 0 when there is none."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if Path(f"/proc/{name}/comm").read_text() == f"{comm}\n" and shares_namespace(int(name), "pid", first):
                    return int(name)
            except OSError:
                continue
    return 0


@contextmanager
def run_cron(stage: Stage) -> Iterator[None]:
    """A cron daemon that runs a job as an ordinary user, at the next full minute."""
    with stage.container() as container:
        job = "* * * * * id -u > /tmp/cron-ran"
        stage.shell(
            container, 'mkdir /var/spool/cron; echo "$1" > /var/spool/cron/worker; crond -c /var/spool/cron', job
        )
        mark = Path(f"/proc/{container.pid}/root/tmp/cron-ran")
        wait_until(lambda: mark.exists() and mark.read_text() == "1000\n", "the job's mark", timeout_seconds=75)
        yield


@contextmanager
def drop_privileges(stage: Stage) -> Iterator[None]:
    """A daemon that starts as root, goes to the background and becomes nobody."""
    seconds = unique_seconds()
    with stage.container() as container:
        command = ("start-stop-daemon", "-S", "-b", "-c", "nobody", "-x", "/bin/sleep", "--", seconds)
        stage.engine.execute(container, *command)
        require(status(wait_for_process(seconds, first="sleep"))["Uid"].split()[0] == "65534", "it is not nobody")
        yield


@contextmanager
def install_package(stage: Stage) -> Iterator[None]:
    """A Debian package is installed, and its program runs: code that was not in the image, but no escape."""
    needs_program("dpkg-deb")
    with stage.container() as container, tempfile.TemporaryDirectory() as directory:
        control = (
            "Package: worked\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: x\n"
        )
        for name in ("DEBIAN", "usr/bin"):
            Path(directory, "package", name).mkdir(parents=True)
        Path(directory, "package/DEBIAN/control").write_text(control)
        program = Path(directory, "package/usr/bin/busybox-installed")
        program.write_bytes(Path(needs_program("busybox")).read_bytes())
        program.chmod(0o755)
        run_on_host("dpkg-deb", "-Znone", "--root-owner-group", "-b", f"{directory}/package", f"{directory}/worked.deb")
        stage.engine.docker("cp", f"{directory}/worked.deb", f"{container.id}:/tmp/worked.deb")
        stage.shell(container, "mkdir -p /var/lib/dpkg/info; cd /; dpkg-deb -x /tmp/worked.deb /")
        seconds = unique_seconds()
        stage.engine.execute(container, "busybox-installed", "sleep", seconds, options=("-d",))
        wait_for_process(seconds, first="busybox-installed")
        yield


@contextmanager
def run_tool_from_volume(stage: Stage) -> Iterator[None]:
    """An init container copies a tool to a shared volume, and the main container runs it."""
    with host_directory() as volume, stage.container("-v", f"{volume}:/shared") as first:
        stage.shell(first, "cp /bin/busybox /shared/busybox-tool")
        with stage.container("-v", f"{volume}:/shared:ro") as second:
            seconds = unique_seconds()
            stage.engine.execute(second, "/shared/busybox-tool", "sleep", seconds, options=("-d",))
            wait_for_process(seconds, first="busybox-tool")
            yield


@contextmanager
def mount_own_file_systems(stage: Stage) -> Iterator[None]:
    """A tmpfs and a bind mount of its own, by a container that was given SYS_ADMIN for it."""
    with stage.container("--cap-add=SYS_ADMIN", "--security-opt", "apparmor=unconfined") as container:
        stage.shell(
            container, "mkdir /tmp/m; mount -t tmpfs none /tmp/m; mount --bind /etc /mnt; umount /mnt; cd /tmp/m"
        )
        stage.sleep_inside(container, options=("-w", "/tmp/m"))
        yield


@contextmanager
def own_namespaces(stage: Stage) -> Iterator[None]:
    """A build tool or browser that puts its workers in namespaces of their own, and joins them again."""
    with stage.container("--cap-add=SYS_ADMIN", "--security-opt", "apparmor=unconfined") as container:
        worker = stage.sleep_inside(container, "unshare", "-m", "-n", "-u", "-i", "--")
        require(namespace(worker, "net") != namespace(container.pid, "net"), "it has no namespace of its own")
        yield


@contextmanager
def burst_of_forks(stage: Stage) -> Iterator[None]:
    """Five hundred children that live for a moment, and two hundred that run a program."""
    with stage.container() as container:
        stage.engine.execute(container, f"{TOOLS}/churn", str(BURST))
        stage.engine.execute(container, f"{TOOLS}/churn", "200", "true")
        yield


@contextmanager
def pipelines(stage: Stage) -> Iterator[None]:
    """A shell at work: pipes, subshells, background jobs, here-documents, xargs."""
    with stage.container() as container:
        script = "seq 200 | xargs -n 1 echo | sort -n | tail -1; (cd /tmp; echo x > y) & wait; find / -xdev | wc -l"
        require(stage.shell(container, script).startswith("200\n"), "the pipeline did not work")
        yield


@contextmanager
def shared_memory_data(stage: Stage) -> Iterator[None]:
    """A data file in /dev/shm that is held open."""
    with stage.container() as container:
        stage.shell(container, "dd if=/dev/zero of=/dev/shm/data bs=1k count=64 2>/dev/null")
        stage.sleep_inside(container, "sh", "-c", 'exec 5</dev/shm/data; exec "$0" "$@"')
        yield


@contextmanager
def dynamic_programs(stage: Stage) -> Iterator[None]:
    """Programs that map the image's shared libraries."""
    with stage.container() as container:
        pid = stage.sleep_inside(container, program="/usr/bin/dynamic-sleep")
        require("libc" in Path(f"/proc/{pid}/maps").read_text(), "it maps no library")
        yield


@contextmanager
def harden_itself(stage: Stage) -> Iterator[None]:
    """The entry point gives up what it was given; `docker exec` still gets what is declared, which is more."""
    with stage.container(command=(f"{TOOLS}/harden", "sleep", "300")) as container:
        wait_until(lambda: int(status(container.pid)["CapBnd"], 16) == 0, "an empty bounding set")
        pid = stage.sleep_inside(container)
        require(int(status(pid)["CapEff"], 16), "the exec has no capability")
        require(status(container.pid)["NoNewPrivs"] == "1" != status(pid)["NoNewPrivs"], "the exec is as restricted")
        yield


@contextmanager
def crash(stage: Stage) -> Iterator[None]:
    """A program dies of SIGABRT, and the kernel handles its core as the host has it configured."""
    with stage.container() as container:
        stage.engine.execute(container, f"{TOOLS}/crash", options=("-w", "/tmp"), check=False)
        yield


@contextmanager
def chroot_with_open_directory(stage: Stage) -> Iterator[None]:
    """Works in a chroot inside the image, with descriptors of the image's directories held open."""
    with stage.container() as container:
        pid = stage.sleep_inside(
            container, "sh", "-c", 'exec 5</etc; exec chroot /jail "$0" "$@"', program="/bin/sleep"
        )
        require(os.readlink(f"/proc/{pid}/fd/5").endswith("/etc"), "it holds no directory")
        yield


WORKLOADS = (
    Workload("switch_user", switch_user),
    Workload("run_setuid_program", run_setuid_program),
    Workload("ping", ping),
    Workload("run_cron", run_cron),
    Workload("drop_privileges", drop_privileges),
    Workload("install_package", install_package, worst=MEDIUM),
    Workload("run_tool_from_volume", run_tool_from_volume, worst=LOW),
    Workload("mount_own_file_systems", mount_own_file_systems, declared=("HW-303", "HW-307")),
    Workload("own_namespaces", own_namespaces, declared=("HW-303", "HW-307")),
    Workload("burst_of_forks", burst_of_forks),
    Workload("pipelines", pipelines),
    Workload("shared_memory_data", shared_memory_data),
    Workload("dynamic_programs", dynamic_programs),
    Workload("harden_itself", harden_itself),
    Workload("crash", crash),
    Workload("chroot_with_open_directory", chroot_with_open_directory),
)
