from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.errors import Gone
from collectors.events import Event, KernelValue
from collectors.facts import NOT_READ, Container, Unknown
from collectors.host import Roots
from collectors.values import SETTLE_NS, KernelValues, parse_binfmt_entry
from tests.support import build
from tests.support.proctree import Tree, build_tree, namespace_links

MOUNTINFO = (
    b"22 1 254:0 / / rw - ext4 /dev/vda rw\n"
    b"30 22 0:25 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n"
    b"31 22 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    b"32 22 0:27 / /proc/sys/fs/binfmt_misc rw - binfmt_misc binfmt_misc rw\n"
)
GROUP = "sys/fs/cgroup/devices/docker/" + build.container_id()
QEMU = b"enabled\ninterpreter /usr/bin/qemu\nflags: OCF\noffset 0\nmagic 7f454c46\n"


class Node:
    """A made-up /proc, /sys and root with a watch over them; ``events`` is what it told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        sysctls: Tree = {
            "kernel": {"core_pattern": b"core\n", "kptr_restrict": b"1\n", "tainted": b"0\n"},
            "net": {"core": {"bpf_jit_harden": b"2\n"}},
        }
        build_tree(
            root / "proc",
            {
                "sys": sysctls,
                "modules": b"ext4 1 2 - Live 0x0\n",
                "1": {"mountinfo": MOUNTINFO},
                "self": {"ns": namespace_links()},
            },
        )
        build_tree(root / "sys", {"kernel": {"kexec_loaded": b"0\n"}})
        build_tree(root / "host/sys/fs/cgroup", {each: {"release_agent": b"\n"} for each in ("devices", "systemd")})
        build_tree(root / "host/proc/sys/fs/binfmt_misc", {"register": b"", "status": b"enabled\n", "qemu": QEMU})
        build_tree(
            root / "host" / GROUP,
            {"devices.list": b"c 1:3 rwm\nb *:* m\n", "notify_on_release": b"0\n", "x": {"notify_on_release": b"0\n"}},
        )
        self.events: list[Event] = []
        self.containers: list[Container] = [
            build.container(cgroup_paths=frozenset({b"/docker/" + build.container_id().encode()}))
        ]
        self.now_ns = build.NOW_NS
        self.values = KernelValues(
            Roots(str(root / "proc"), str(root / "sys"), str(root / "host")),
            build.host_baseline(),
            self.events.append,
            clock_ns=lambda: self.now_ns,
            containers=lambda: self.containers,
        )

    def write(self, path: str, data: bytes) -> None:
        (self.root / path).write_bytes(data)

    def look(self) -> list[tuple[str, object, object]]:
        """What a look tells: name, before and after."""
        self.values.look()
        told, self.events[:] = [each for each in self.events if isinstance(each, KernelValue)], []
        return [(each.name, each.before, each.after) for each in told]

    def settle(self) -> None:
        self.look()
        self.now_ns += SETTLE_NS
        self.look()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_everything_that_is_there_is_met_once(node: Node) -> None:
    assert sorted(node.look(), key=str) == sorted(
        [
            ("core_pattern", NOT_READ, b"core"),
            ("kernel.kptr_restrict", NOT_READ, b"1"),
            ("net.core.bpf_jit_harden", NOT_READ, b"2"),
            ("tainted", NOT_READ, b"0"),
            ("kexec_loaded", NOT_READ, b"0"),
            ("foreign_modules", NOT_READ, b""),
            ("binfmt_misc", NOT_READ, b"qemu /usr/bin/qemu OCF"),
            ("release_agent", NOT_READ, b""),
            ("release_agent", NOT_READ, b""),
        ],
        key=str,
    )
    assert node.look() == []


def test_tells_a_value_that_changed_with_the_one_at_the_start(node: Node) -> None:
    node.look()
    node.write("proc/sys/kernel/core_pattern", b"|/tmp/a\n")
    assert node.look() == [("core_pattern", b"core", b"|/tmp/a")]
    node.write("proc/sys/kernel/core_pattern", b"|/tmp/b\n")
    node.values.look()
    assert node.events == [
        KernelValue(
            node.now_ns, "core_pattern", b"|/tmp/a", b"|/tmp/b", b"/proc/sys/kernel/core_pattern", at_start=b"core"
        )
    ]


def test_tells_which_hierarchy_got_a_release_agent(node: Node) -> None:
    node.look()
    node.write("host/sys/fs/cgroup/devices/release_agent", b"/cmd\n")
    node.values.look()
    (event,) = node.events
    assert isinstance(event, KernelValue)
    assert (event.name, event.where, event.after) == (
        "release_agent",
        b"/sys/fs/cgroup/devices/release_agent",
        b"/cmd",
    )


def test_values_of_another_namespace_are_not_the_hosts(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (tmp_path / "proc/self/ns/net").unlink()
    os.symlink("net:[4026539999]", tmp_path / "proc/self/ns/net")
    moved = KernelValues(
        Roots(str(tmp_path / "proc"), str(tmp_path / "sys"), str(tmp_path / "host")),
        build.host_baseline(),
        node.events.append,
        clock_ns=lambda: 0,
        containers=list,
    )
    moved.look()
    assert "net.core.bpf_jit_harden" not in {each.name for each in node.events if isinstance(each, KernelValue)}


def test_tells_only_modules_that_are_not_installed(node: Node) -> None:
    node.look()
    release = os.uname().release
    build_tree(
        node.root / "host/lib/modules" / release,
        {"modules.dep": b"kernel/fs/nfs/nfs.ko.xz: kernel/x.ko\n", "modules.builtin": b"kernel/a/snd-pcm.ko\n"},
    )
    node.write("proc/modules", b"ext4 1 2\nnfs 1 2\nsnd_pcm 1 2\n")
    assert node.look() == []
    node.write("proc/modules", b"ext4 1 2\nnfs 1 2\nevil 1 2\n")
    assert node.look() == [("foreign_modules", b"", b"evil")]
    node.write("proc/modules", b"ext4 1 2\nevil 2 2\n")
    assert node.look() == []
    node.write("proc/modules", b"ext4 1 2\n")
    assert node.look() == [("foreign_modules", b"evil", b"")]


def test_tells_an_entry_of_binfmt_misc_that_was_made(node: Node) -> None:
    node.look()
    node.write("host/proc/sys/fs/binfmt_misc/evil", b"enabled\ninterpreter /tmp/x\nflags: \n")
    assert node.look() == [
        ("binfmt_misc", b"qemu /usr/bin/qemu OCF", b"evil /tmp/x\nqemu /usr/bin/qemu OCF"),
    ]


def test_a_disabled_entry_of_binfmt_misc_has_no_interpreter() -> None:
    assert parse_binfmt_entry(b"qemu", QEMU.replace(b"enabled", b"disabled")) == b"qemu disabled OCF"


def test_a_containers_cgroup_is_read_when_it_has_settled(node: Node) -> None:
    node.look()
    node.now_ns += SETTLE_NS - 1
    assert node.look() == []
    node.now_ns += 1
    assert node.look() == [
        ("devices.list", NOT_READ, b"b *:* m\nc 1:3 rwm"),
        ("notify_on_release", NOT_READ, b"0"),
        ("notify_on_release", NOT_READ, b"0"),
    ]


def test_a_clock_that_was_set_back_delays_no_look_at_a_container(node: Node) -> None:
    node.look()
    node.now_ns -= 3600 * 10**9
    assert [name for name, *_ in node.look()] == ["devices.list", "notify_on_release", "notify_on_release"]


def test_tells_what_changed_in_a_containers_cgroups(node: Node) -> None:
    node.settle()
    node.write(f"host/{GROUP}/x/notify_on_release", b"1\n")
    node.write(f"host/{GROUP}/devices.list", b"a *:* rwm\n")
    assert node.look() == [
        ("devices.list", b"b *:* m\nc 1:3 rwm", b"a *:* rwm"),
        ("notify_on_release", b"0", b"1"),
    ]


def test_forgets_a_container_that_is_gone(node: Node) -> None:
    node.settle()
    gone, node.containers[:] = list(node.containers), []
    assert node.look() == []
    node.containers[:] = gone
    node.settle()
    node.write(f"host/{GROUP}/devices.list", b"a *:* rwm\n")
    assert node.look() == [("devices.list", b"b *:* m\nc 1:3 rwm", b"a *:* rwm")]


def test_a_value_that_is_gone_is_no_news(node: Node) -> None:
    node.look()
    (node.root / "sys/kernel/kexec_loaded").unlink()
    assert node.look() == []


def test_a_value_that_is_too_large_is_unknown(node: Node) -> None:
    node.look()
    node.write("proc/sys/kernel/core_pattern", b"x" * 5000)
    assert node.look() == [("core_pattern", b"core", Unknown("too_large: kernel value"))]


def test_what_is_not_as_at_the_start_is_told_again_after_a_loss(node: Node) -> None:
    node.look()
    node.write("proc/sys/kernel/kptr_restrict", b"0\n")
    node.look()
    node.values.tell_again_at_next_look()
    assert node.look() == [("kernel.kptr_restrict", b"1", b"0")]
    assert node.look() == []


def test_tells_when_the_programs_of_a_containers_devices_change(tmp_path: Path) -> None:
    node = Node(tmp_path)
    unified = b"33 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "proc/1/mountinfo").write_bytes(MOUNTINFO + unified)
    programs: dict[bytes, tuple[int, ...]] = {}
    group = b"/sys/fs/cgroup/unified/docker/" + build.container_id().encode()

    def read(directory: bytes) -> tuple[int, ...]:
        if directory.removeprefix(os.fsencode(tmp_path / "host")) != group:
            raise Gone("device programs", "no such directory")
        return programs[group]

    node.values = KernelValues(
        Roots(str(tmp_path / "proc"), str(tmp_path / "sys"), str(tmp_path / "host")),
        build.host_baseline(),
        node.events.append,
        clock_ns=lambda: node.now_ns,
        containers=lambda: node.containers,
        read_programs=read,
    )
    told = []
    for ids in ((17,), (17,), (17, 18), ()):
        programs[group] = ids
        node.values.look()
        node.now_ns += SETTLE_NS + 1
        values = [each for each in node.events if isinstance(each, KernelValue)]
        told.append([each.after for each in values if each.name == "device_programs"])
    assert told == [[], [b"17"], [b"17", b"17 18"], [b"17", b"17 18", b""]]


READ_AS_THE_AGENT = """
from collectors.events import KernelValue
from agent.assembly import assemble
from agent.config_schema import Config
told = []
assemble(Config(), told.append, watch_mounts=False).values.look()
print([each.after.why for each in told if isinstance(each, KernelValue) and each.name == "net.core.bpf_jit_harden"])
print([each.name for each in told if isinstance(each, KernelValue) and "denied" in repr(each.after)])
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
@pytest.mark.skipif(not os.path.exists("/proc/sys/net/core/bpf_jit_harden"), reason="this kernel has no such value")
def test_what_nobody_may_read_who_keeps_few_rights_is_not_called_denied() -> None:
    """By a process with the capabilities of the manifests, of this very node."""
    few = "--bounding-set=-all,+sys_ptrace,+dac_read_search,+bpf,+net_admin"
    ran = subprocess.run(  # noqa: S603  (a fixed command)
        ["setpriv", few, "--inh-caps=-all", "--", sys.executable, "-c", READ_AS_THE_AGENT],  # noqa: S607
        check=True,
        capture_output=True,
    )
    assert ran.stdout.decode().splitlines() == ["['unsupported: only who has CAP_SYS_ADMIN may read it']", "[]"]
