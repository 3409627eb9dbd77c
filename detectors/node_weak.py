"""The node itself is weak where it decides whether a break-out works.

An engine that listens on TCP without TLS, a kubelet that asks nobody who he is, a runtime or kernel with published
break-outs: any container of the node may use these, however well it is confined itself.

*Fires on:* a check below that fails, by the node's own files, arguments and settings. What is medium or worse is told
each for itself; all milder ones (settings that would make a break-out harder) make one finding. Published break-outs
(``collectors.known_breakouts``) are told once for each program, high for runtimes, medium for the kernel, low for a
build of a distribution, which may have repaired them under the old number; always only likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collectors.events import NodeSeen
from collectors.facts import Unknown
from collectors.known_breakouts import breakouts_of, is_distribution_build
from collectors.node_facts import CgroupLayout, DockerDaemon, Kubelet, NodeFacts
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    EvidenceValue,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Tier,
)

# The numbers are those of the CIS Docker Benchmark 1.6.0 and the CIS Kubernetes Benchmark 1.9.0.
_DOCKER, _KUBERNETES = "CIS Docker 1.6.0: ", "CIS Kubernetes 1.9.0: "
_WRITABLE_BY_OTHERS, _OPEN_TO_OTHERS = 0o022, 0o007
_SOCKET_FILES = frozenset({"/run/docker.sock", "/run/containerd/containerd.sock"})
_SECRET_FILES = frozenset({"/etc/kubernetes/kubelet.conf", "/etc/kubernetes/admin.conf", "/var/lib/kubelet/kubeconfig"})
_FILE_REFERENCES = {
    "/run/docker.sock": _DOCKER + "3.16",
    "/run/containerd/containerd.sock": _DOCKER + "3.24",
    "/etc/docker/daemon.json": _DOCKER + "3.18",
    "/etc/kubernetes/kubelet.conf": _KUBERNETES + "4.1.5",
    "/etc/kubernetes/admin.conf": _KUBERNETES + "1.1.13",
    "/var/lib/kubelet/kubeconfig": _KUBERNETES + "4.1.5",
    "/var/lib/kubelet/config.yaml": _KUBERNETES + "4.1.9",
}
_LEAST_TOLD_ALONE = Severity.MEDIUM


@dataclass(frozen=True, slots=True)
class Weakness:
    """One failed check; ``name`` is stable. ``reference`` is empty where no benchmark has the check."""

    name: str
    what: str
    severity: Severity
    reference: str = ""


def check(event: NodeSeen, _view: NodeView) -> Found:
    """Hold the node against every check."""
    node = event.node
    unknowns = (node.docker, node.kubelet, node.lsms, node.cgroups, *(each.version for each in node.software))
    for why in dict.fromkeys(each.why for each in unknowns if isinstance(each, Unknown)):
        yield Blind(why)
    yield from _breakouts(node)
    found = tuple(_weaknesses(node))
    for each in found:
        if each.severity >= _LEAST_TOLD_ALONE:
            yield Finding(each.what, None, evidence=_evidence(each), severity=each.severity, identity=(each.name,))
    mild = tuple(each for each in found if each.severity < _LEAST_TOLD_ALONE)
    if mild:
        yield Finding(
            f"the node leaves {len(mild)} settings off that make a break-out harder",
            None,
            evidence=(
                ("checks", tuple(each.name for each in mild)),
                ("found", tuple(each.what for each in mild)),
                ("references", tuple(each.reference or "-" for each in mild)),
            ),
            severity=max(each.severity for each in mild),
            identity=("hardening",),
        )


def _evidence(weakness: Weakness) -> tuple[tuple[str, EvidenceValue], ...]:
    reference = (("reference", weakness.reference),) if weakness.reference else ()
    return (("check", weakness.name), *reference)


def _breakouts(node: NodeFacts) -> Iterator[Finding]:
    """Published break-outs of what runs here, by its version."""
    for each in node.software:
        if isinstance(each.version, Unknown) or not (known := breakouts_of(each.name, each.version)):
            continue
        is_rebuilt = is_distribution_build(each.version)
        severity = Severity.MEDIUM if each.name == "kernel" else Severity.HIGH
        yield Finding(
            f"{each.name} {each.version} has published break-outs: {', '.join(breakout.id for breakout in known)}"
            + (" (unless the distribution repaired it under this number)" if is_rebuilt else ""),
            None,
            evidence=(
                ("software", each.name),
                ("version", each.version),
                ("version_from", each.source),
                ("breakouts", tuple(breakout.id for breakout in known)),
                ("fixed_in", tuple(" ".join(breakout.fixed) for breakout in known)),
                ("needs", tuple(breakout.needs for breakout in known)),
                ("sources", tuple(breakout.source for breakout in known)),
            ),
            severity=Severity.LOW if is_rebuilt else severity,
            confidence=Confidence.LIKELY,
            identity=("breakouts", each.name),
        )


def _weaknesses(node: NodeFacts) -> Iterator[Weakness]:
    if isinstance(node.docker, DockerDaemon):
        yield from _of_docker(node.docker)
    if isinstance(node.kubelet, Kubelet):
        yield from _of_kubelet(node.kubelet)
    yield from _of_files(node)
    yield from _of_kernel(node)


def _of_docker(docker: DockerDaemon) -> Iterator[Weakness]:
    open_hosts = [host for host in docker.hosts if host.startswith("tcp://")]
    if open_hosts and not docker.verifies_tls:
        what = f"the Docker daemon listens on {', '.join(open_hosts)} and asks for no certificate"
        yield Weakness("docker_tcp_without_tls", what, Severity.HIGH, _DOCKER + "2.7")
    if docker.seccomp_profile == "unconfined":
        what = "the Docker daemon starts containers without a seccomp filter"
        yield Weakness("docker_seccomp_off", what, Severity.MEDIUM, _DOCKER + "2.17")
    if not docker.userns_remap:
        what = "Docker gives containers no user namespace (userns-remap)"
        yield Weakness("docker_userns_remap_off", what, Severity.INFO, _DOCKER + "2.9")
    if docker.icc:
        what = "containers on Docker's default bridge reach each other (icc)"
        yield Weakness("docker_icc_on", what, Severity.INFO, _DOCKER + "2.2")
    if not docker.no_new_privileges:
        what = "Docker lets containers gain privileges by set-uid programs (no-new-privileges)"
        yield Weakness("docker_no_new_privileges_off", what, Severity.INFO, _DOCKER + "2.14")
    if not docker.live_restore:
        what = "containers end when the Docker daemon is updated (live-restore), so it seldom is"
        yield Weakness("docker_live_restore_off", what, Severity.INFO, _DOCKER + "2.15")


def _of_kubelet(kubelet: Kubelet) -> Iterator[Weakness]:
    if kubelet.authorization_mode == "AlwaysAllow":
        severity = Severity.HIGH if kubelet.anonymous_auth else Severity.MEDIUM
        what = "the kubelet lets everybody it knows do everything (authorization AlwaysAllow)"
        yield Weakness("kubelet_always_allow", what, severity, _KUBERNETES + "4.2.2")
    if kubelet.anonymous_auth:
        what = "the kubelet answers requests without a name (anonymous-auth)"
        yield Weakness("kubelet_anonymous_auth", what, Severity.MEDIUM, _KUBERNETES + "4.2.1")
    if not kubelet.has_client_ca:
        what = "the kubelet checks no client certificates (client-ca-file)"
        yield Weakness("kubelet_no_client_ca", what, Severity.LOW, _KUBERNETES + "4.2.3")
    if kubelet.read_only_port:
        what = f"the kubelet shows all pods to everybody on port {kubelet.read_only_port}"
        yield Weakness("kubelet_read_only_port", what, Severity.MEDIUM, _KUBERNETES + "4.2.4")
    if not kubelet.seccomp_default:
        what = "pods run without a seccomp filter unless they ask for one (seccompDefault)"
        yield Weakness("kubelet_seccomp_default_off", what, Severity.LOW, _KUBERNETES + "4.2.14")
    if not kubelet.protect_kernel_defaults:
        what = "the kubelet changes sysctls of the node as it likes (protectKernelDefaults)"
        yield Weakness("kubelet_protect_kernel_defaults_off", what, Severity.INFO)


def _of_files(node: NodeFacts) -> Iterator[Weakness]:
    """Sockets that others may use, configuration that others may write, keys that others may read."""
    for each in node.files:
        bad = _OPEN_TO_OTHERS if each.path in _SOCKET_FILES | _SECRET_FILES else 0
        if each.path not in _SOCKET_FILES:
            bad |= _WRITABLE_BY_OTHERS
        if each.uid != 0 or each.mode & bad:
            what = f"{each.path} has the owner {each.uid} and the mode {each.mode:04o}"
            yield Weakness(f"file_mode:{each.path}", what, Severity.MEDIUM, _FILE_REFERENCES.get(each.path, ""))


def _of_kernel(node: NodeFacts) -> Iterator[Weakness]:
    if not isinstance(node.lsms, Unknown) and not node.lsms & {"apparmor", "selinux", "smack", "tomoyo"}:
        yield Weakness(
            "no_lsm", "the kernel has no AppArmor, SELinux or their like", Severity.LOW, _DOCKER + "5.2, 5.3"
        )
    if node.cgroups in {CgroupLayout.V1, CgroupLayout.HYBRID}:
        yield Weakness("cgroup_v1", "cgroup v1 is mounted: its release_agent runs programs on the host", Severity.LOW)
    if node.sysctl("kernel.unprivileged_bpf_disabled") == 0:
        yield Weakness("unprivileged_bpf", "anybody may load BPF programs", Severity.LOW)
    if _allows_user_namespaces(node):
        yield Weakness("unprivileged_userns", "anybody may make a user namespace and be root in it", Severity.INFO)
    if node.sysctl("kernel.yama.ptrace_scope") == 0:
        yield Weakness("ptrace_scope", "processes of one user may trace each other", Severity.INFO)
    if node.sysctl("kernel.kexec_load_disabled") == 0:
        yield Weakness("kexec", "another kernel may be loaded (kexec)", Severity.INFO)
    if node.sysctl("vm.unprivileged_userfaultfd") == 1:
        yield Weakness("userfaultfd", "anybody may stop the kernel at a page fault (userfaultfd)", Severity.INFO)
    if node.sysctl("kernel.kptr_restrict") == 0 or node.sysctl("kernel.dmesg_restrict") == 0:
        yield Weakness("kernel_addresses", "anybody may read addresses of the kernel", Severity.INFO)
    if node.lockdown == "none":
        yield Weakness("lockdown", "root may change the running kernel (lockdown)", Severity.INFO)


def _allows_user_namespaces(node: NodeFacts) -> bool:
    return (
        node.sysctl("kernel.unprivileged_userns_clone") != 0
        and node.sysctl("user.max_user_namespaces") not in {None, 0}
        and node.sysctl("kernel.apparmor_restrict_unprivileged_userns") != 1
    )


DETECTOR = Detector(
    id="HW-351",
    name="node_weak",
    family=Family.EXPOSURE,
    severity=Severity.LOW,
    techniques=(ESCAPE_TO_HOST,),
    wants=(NodeSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="The node's engine, kubelet, kernel or runtime is configured, or of an age, so that a break-out works.",
    benign=(
        "Settings that are off by default nearly everywhere make one finding, told again only when it changes.",
        "Programs that a distribution repaired under an old number: low and likely, silent where the build is known.",
        "An engine or kubelet that does not run here is not asked about.",
    ),
    misses=(
        "Break-outs that the table does not hold: it is dated, and no vulnerability scanner.",
        "Programs whose version neither a package database nor their build information tells (counted as blind).",
        "Kernels that are repaired under an old number as a rule: RHEL and its kin (counted as blind).",
        "An engine in a mount namespace of its own (snap), a kubelet inside another program (k3s), its drop-ins.",
        "Berkeley DB and ndb databases of rpm.",
    ),
    advice=(
        "Take what is high first: TLS or no TCP for the engine, Webhook authorization for the kubelet, updates.",
        "hullwatch scan --exposure lists it with the ways out of each container.",
        "Ask the distribution's security tracker whether the very build is repaired, and except the finding if so.",
    ),
    references=(
        "https://www.cisecurity.org/benchmark/docker",
        "https://www.cisecurity.org/benchmark/kubernetes",
        "https://docs.docker.com/reference/cli/dockerd/",
        "https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
