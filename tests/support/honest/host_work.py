"""Honest work of the host beside its containers: administrators, daemons, node agents, network plug-ins."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hierarchies import own_cgroup
from tests.support.patience import patient
from tests.support.processes import (
    end,
    file_id,
    find_processes,
    host_process,
    mount_ids,
    namespace,
    require,
    shares_namespace,
    unique_seconds,
    wait_for_process,
)
from tests.support.stage import (
    CannotHereError,
    Stage,
    Workload,
    host_directory,
    needs_program,
    run_on_host,
    unique_name,
)

DAEMON = (
    "import os, sys\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "os.chdir('/'); os.execvp('sleep', ['sleep', sys.argv[1]])\n"
)


@contextmanager
def chroot_on_host(stage: Stage) -> Iterator[None]:
    """A host process that works in a chroot, as sshd and package builds do."""
    seconds = unique_seconds()
    with host_directory() as directory, stage.container():
        (directory / "sleep").write_bytes(Path(needs_program("busybox")).read_bytes())
        (directory / "sleep").chmod(0o755)
        with host_process("chroot", str(directory), "/sleep", seconds):
            pid = wait_for_process(seconds, first="/sleep")
            require(file_id(f"/proc/{pid}/root") == file_id(directory), "it is not in its chroot")
            yield


@contextmanager
def enter_container_from_host(stage: Stage) -> Iterator[None]:
    """An administrator's nsenter into every namespace of a container, and into its network only."""
    with stage.container() as container:
        everything, network = unique_seconds(), unique_seconds()
        target = ("nsenter", "-t", str(container.pid))
        with (
            host_process(*target, "-m", "-u", "-i", "-n", "-p", "sleep", everything),
            host_process(*target, "-n", "sleep", network),
        ):
            pid = wait_for_process(everything, first="sleep")
            require(shares_namespace(pid, "mnt", container.pid), "it is not in the container's mount namespace")
            require(container.id not in own_cgroup(pid), "it is in the container's cgroup")
            pid = wait_for_process(network, first="sleep")
            require(shares_namespace(pid, "net", container.pid), "it is not in the container's network")
            yield


@contextmanager
def write_sysctl(stage: Stage) -> Iterator[None]:
    """A harmless kernel value is changed from the host, and put back."""
    path = Path("/proc/sys/vm/swappiness")
    before = path.read_text().strip()
    with stage.container():
        try:
            path.write_text("61" if before == "60" else "60")
            require(path.read_text().strip() != before, "the value did not change")
            yield
        finally:
            path.write_text(before)


@contextmanager
def start_daemon(stage: Stage) -> Iterator[None]:
    """A service of the host that detaches by a double fork."""
    seconds = unique_seconds()
    with stage.container():
        try:
            with host_process(sys.executable, "-c", DAEMON, seconds) as starter:
                require(starter.wait(timeout=patient(10)) == 0, "the daemon did not detach")
            wait_for_process(seconds, first="sleep")
            yield
        finally:
            for pid in find_processes(seconds, first="sleep"):
                end(pid)


@contextmanager
def network_namespace(stage: Stage) -> Iterator[None]:
    """`ip netns add`, `exec` and `del`: mounts, joins and leaves namespaces from the host."""
    name, seconds = unique_name(), unique_seconds()
    needs_program("ip")
    directory_was_there = Path("/run/netns").exists()
    with stage.container():
        run_on_host("ip", "netns", "add", name)
        try:
            with host_process("ip", "netns", "exec", name, "sleep", seconds):
                pid = wait_for_process(seconds, first="sleep")
                require(not shares_namespace(pid, "net"), "it has the host's network")
                yield
        finally:
            run_on_host("ip", "netns", "del", name)
            if not directory_was_there:
                # `ip` makes it a mount point of its own the first time.
                run_on_host("umount", "/run/netns")
                Path("/run/netns").rmdir()


@contextmanager
def private_mounts(stage: Stage) -> Iterator[None]:
    """A service with PrivateTmp: a mount namespace and a tmpfs of its own, on the host."""
    seconds = unique_seconds()
    with stage.container():
        script = f"mount -t tmpfs none /tmp && exec sleep {seconds}"
        with host_process("unshare", "-m", "sh", "-c", script):
            pid = wait_for_process(seconds, first="sleep")
            require(not shares_namespace(pid, "mnt"), "it has the host's mount namespace")
            yield


@contextmanager
def node_exporter(stage: Stage) -> Iterator[None]:
    """Host pids and network, the host's root read-only, all of /proc read. Every host program is in its volume."""
    # Propagation into the container is possible only where the host's root is shared, as systemd has it.
    root = next(line for line in mount_ids("self").values() if line.split(" ")[4] == "/")
    propagation = ",rslave" if "shared:" in root else ""
    options = ("--pid=host", "--network=host", "--user", "65534", "-v", f"/:/host:ro{propagation}")
    with stage.container(*options) as container:
        read = "cat /host/proc/[0-9]*/stat /host/proc/[0-9]*/status /host/proc/net/dev 2>/dev/null | wc -l"
        require(int(stage.shell(container, f"{read}; df /host > /dev/null || true").split()[0]), "it read nothing")
        with host_process("sleep", unique_seconds()):
            run_on_host("true")
            stage.sleep_inside(container)
            yield


@contextmanager
def network_plugin(stage: Stage) -> Iterator[None]:
    """A network plug-in: the host's network, NET_ADMIN, host directories; beside it the host enters networks."""
    link = unique_name()
    volumes = ("-v", "/etc:/host/etc:ro", "-v", "/var/log:/var/log/pods:ro")
    with (
        stage.container("--network=host", "--cap-add=NET_ADMIN", *volumes) as plugin,
        stage.container() as container,
    ):
        try:
            # A kernel without dummy links refuses; looking is all that it then does.
            stage.shell(plugin, 'ip link add "$1" type dummy 2>/dev/null || true; ip link; ip route; ip addr', link)
            with host_process("nsenter", "-t", str(container.pid), "-n", "sleep", unique_seconds()):
                run_on_host("nsenter", "-t", str(container.pid), "-n", "ip", "link", "set", "lo", "up")
                stage.sleep_inside(plugin)
                yield
        finally:
            if Path(f"/sys/class/net/{link}").exists():
                run_on_host("ip", "link", "del", link)


@contextmanager
def privileged_daemon(stage: Stage) -> Iterator[None]:
    """A declared privileged container of a node agent that stays where it is."""
    with stage.privileged("--network=host", "--pid=host") as container:
        stage.shell(container, "ps > /dev/null; cat /proc/mounts > /dev/null; ls /dev > /dev/null")
        stage.sleep_inside(container)
        yield


@contextmanager
def debug_from_host(stage: Stage) -> Iterator[None]:
    """Tracing (`strace`) of a container's process from the host."""
    needs_program("strace")
    with stage.container() as container:
        pid = stage.sleep_inside(container)
        with host_process("strace", "-p", str(pid), "-o", "/dev/null"):
            yield


@contextmanager
def look_at_layers(stage: Stage) -> Iterator[None]:
    """A backup or scanner of the host reads files of a container, and copies a program without running it."""
    with stage.container() as container, host_directory() as directory:
        root = f"/proc/{container.pid}/root"
        run_on_host("cp", f"{root}/bin/busybox", str(directory / "copied"))
        run_on_host("find", f"{root}/etc", "-type", "f")
        require((directory / "copied").stat().st_size, "nothing was copied")
        yield


@contextmanager
def sandbox_of_host(stage: Stage) -> Iterator[None]:
    """A sandbox of the host that is no container: every namespace, a user namespace too, and no cgroup of a runtime."""
    seconds = unique_seconds()
    with stage.container():
        command = ("unshare", "--user", "--map-root-user", "-m", "-u", "-i", "-n", "-p", "-f", "sleep", seconds)
        process = subprocess.Popen(command)
        try:
            pid = wait_for_process(seconds, first="sleep")
            require(namespace(pid, "user") != namespace("self", "user"), "it has the host's user namespace")
            yield
        finally:
            process.kill()
            process.wait(timeout=patient(5))
            for left in find_processes(seconds):
                end(left)


@contextmanager
def edit_watched_files(stage: Stage) -> Iterator[None]:
    """An administrator, cron and a package manager change the host's files, while a monitor has all of them mounted.

    Appended to in a loop, replaced by rename as dpkg does it, and password hashes read as every login does.
    """
    job = Path("/etc/cron.d") / unique_name()
    if not job.parent.is_dir():
        raise CannotHereError(f"there is no {job.parent}")
    with stage.container("--pid=host", "-v", "/:/host:ro") as container:
        pid = stage.sleep_inside(
            container, "sh", "-c", 'exec 3< /host/etc/hostname 4< /host/etc/passwd; exec "$0" "$@"'
        )
        require(find_processes(str(job)) == [], "somebody names the file")
        try:
            for number in range(200):
                with job.open("a") as written:
                    written.write(f"# {number}\n")
                Path("/etc/shadow").read_bytes()
                fresh = job.with_name(f"{job.name}.dpkg-new")
                fresh.write_text("# of a package\n")
                fresh.rename(job)
            require(any(each.samefile("/etc/passwd") for each in Path(f"/proc/{pid}/fd").iterdir()), "nothing is held")
            yield
        finally:
            job.unlink(missing_ok=True)
            job.with_name(f"{job.name}.dpkg-new").unlink(missing_ok=True)


@contextmanager
def ship_logs(stage: Stage) -> Iterator[None]:
    """A log shipper: the host's logs mounted read-only and held open, its time zone and accounts too."""
    log = Path("/var/log") / f"{unique_name()}.log"
    log.write_text("begins\n")
    volumes = ("-v", "/var/log:/var/log:ro", "-v", "/etc/passwd:/etc/passwd:ro", "-v", "/etc/group:/etc/group:ro")
    try:
        with stage.container(*volumes, command=("tail", "-f", str(log))) as container:
            with log.open("a") as written:
                for number in range(200):
                    written.write(f"{number}\n")
                    written.flush()
            held = Path(f"/proc/{container.pid}/fd")
            require(any(each.exists() and each.samefile(log) for each in held.iterdir()), "it does not hold the log")
            stage.shell(container, "id root; cat /etc/passwd > /dev/null")
            yield
    finally:
        log.unlink()


WORKLOADS = (
    Workload("chroot_on_host", chroot_on_host),
    Workload("enter_container_from_host", enter_container_from_host),
    Workload("write_sysctl", write_sysctl),
    Workload("start_daemon", start_daemon),
    Workload("network_namespace", network_namespace),
    Workload("private_mounts", private_mounts),
    Workload("node_exporter", node_exporter, declared=("HW-302", "HW-304", "HW-305")),
    Workload("network_plugin", network_plugin, declared=("HW-302", "HW-303", "HW-305")),
    Workload("privileged_daemon", privileged_daemon, declared=("HW-301", "HW-302", "HW-303")),
    Workload("debug_from_host", debug_from_host),
    Workload("look_at_layers", look_at_layers),
    Workload("sandbox_of_host", sandbox_of_host),
    Workload("edit_watched_files", edit_watched_files, declared=("HW-302", "HW-304", "HW-305")),
    Workload("ship_logs", ship_logs, declared=("HW-305",)),
)
