"""A container process reads a secret that is the host's, or another pod's.

Password hashes, private keys, kubeconfigs and tokens make their reader somebody else: root on the node, the kubelet, an
administrator of the cluster, another workload. A mounted directory of the host is enough, or another process'
environment in /proc.

*Fires on:* a container process opened one of the watched secrets of the host for reading
(``collectors.watched_objects``), judged by what the kernel calls the file, through whatever path; a token or secret
volume of a pod that is not its own; or the environment of a process outside its container. Below the eBPF tier it is
who was found to have such a secret open, when somebody had opened it or at a sweep. Medium for keys of the control
plane that the bundle mounts by themselves.
"""

from __future__ import annotations

from collectors.events import FileTouched, ProcessReached, Touch, WatchKind
from collectors.facts import Container, Unknown
from detectors.base import (
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
    may_reach,
)

_READS = frozenset({Touch.READ, Touch.WRITTEN})
ENVIRON = "environ"
CONTROL_PLANE = "/etc/kubernetes/"  # where kubeadm puts what its static pods are given


def check(event: FileTouched | ProcessReached, view: NodeView) -> Found:
    """A watched secret, or another's environment."""
    if isinstance(event, ProcessReached):
        if event.call == ENVIRON:
            yield from _environment(event, view)
        return
    secrets = [each for each in event.watched if each.kind is WatchKind.SECRET]
    if event.touch not in _READS or not secrets:
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    own = _pod_uid(member.container)
    foreign = tuple(sorted(each.path for each in secrets if not each.pod_uid or each.pod_uid != own))
    if foreign:
        is_given = all(_is_given(each, member.container) for each in foreign)
        yield Finding(
            f"opened a secret of the host: {foreign[0]}",
            member.container.id,
            event.process.key,
            evidence=(("host_path", foreign), ("path", event.path)),
            severity=Severity.MEDIUM if is_given else None,
            identity=(member.container.id, *foreign),
            inherited=True,
        )


def _is_given(path: str, container: Container) -> bool:
    """A key or kubeconfig of the control plane, and the bundle mounts it, or a directory of them, for the container."""
    sources = container.sources
    return not isinstance(sources, Unknown) and any(
        each.path.startswith(CONTROL_PLANE) and f"{path}/".startswith(f"{each.path}/") for each in sources
    )


def _environment(event: ProcessReached, view: NodeView) -> Found:
    reader = yield from actor(event.process, view)
    if reader is None:
        return
    target = view.process_by_pid(event.target_pid)
    victim = view.member(target) if target is not None else None
    if target is None or isinstance(victim, Unknown):
        yield Blind(victim.why if isinstance(victim, Unknown) else "gone: whose environment it is", event.process.key)
        return
    if view.is_becoming(target) or (victim is not None and may_reach(reader, victim, view)):
        return
    whose = "of the host" if victim is None else "of another container"
    yield Finding(
        f"opened the environment of a process {whose}",
        reader.container.id,
        event.process.key,
        evidence=(("target_pid", target.key.pid), ("target_name", target.name)),
        inherited=True,
    )


def _pod_uid(container: Container) -> str | None:
    return container.pod.uid if container.pod is not None else container.pod_uid


DETECTOR = Detector(
    id="HW-220",
    name="host_secret_read",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        Technique("T1552.001", "Credentials In Files", "TA0006", "Credential Access"),
        Technique("T1003.008", "/etc/passwd and /etc/shadow", "TA0006", "Credential Access"),
        Technique("T1528", "Steal Application Access Token", "TA0006", "Credential Access"),
    ),
    wants=(FileTouched, ProcessReached),
    check=check,
    weakest=Tier.POLL,
    summary="A container process opened a secret of the host, of another pod, or of a process outside.",
    benign=(
        "A pod that reads its own service-account token and its own secret volumes: silent.",
        "/etc/shadow and keys of the container's own image: other inodes, silent.",
        (
            "kube-apiserver, etcd and other pods of a control plane read keys and kubeconfigs below /etc/kubernetes "
            "that are mounted for them, and nothing above: medium; make an exception for their images."
        ),
        "Backup, scanners and compliance pods that read all of the host by design: told; make an exception.",
        "A monitoring pod that reads the environment of processes of the host (some APM agents do): told.",
    ),
    misses=(
        "Below the ebpf tier: who has closed it again before it is looked for, a millisecond or two after the open.",
        "Below the ebpf tier: who opens what others of the host open all the time, within half a second of that.",
        "Below the ebpf tier: the environment of another process.",
        "A secret that is mapped, or, in the ebpf tier, that came as an open descriptor.",
        "Secrets in places that are not on the list: add them with watched_objects in the configuration.",
        "Before Linux 6.13: what io_uring opens without a descriptor.",
    ),
    advice=(
        "Take the secret for stolen: change the password, roll the key, revoke the token, and look for its use.",
        "Mount less of the host into the workload.",
    ),
    references=(
        "https://attack.mitre.org/techniques/T1552/001/",
        "https://kubernetes.io/docs/concepts/security/service-accounts/",
        "https://man7.org/linux/man-pages/man5/shadow.5.html",
    ),
)
