"""A container process goes after a namespace of the host, or of another container.

A descriptor of a namespace is the ticket to it: setns(2) with it needs no path and no process of the host any more, and
a descriptor can be passed on. Nobody opens one but to enter, or to keep it for later.

*Fires on:* an open descriptor of a container process is a namespace of the host that the container's first process has
not, or one that the first process of another container has. Medium for a foreign network, ipc, uts, cgroup or time
namespace where the container shares the host's network (network plug-ins keep the pods'), else high. That it was
*entered* is told by HW-101 and HW-102. Or it opened such a namespace, or the kernel refused it setns(2) (medium).
"""

from __future__ import annotations

import re

from collectors.events import Exec, FileTouched, ProcessEvent, Refused, Seen, Touch
from collectors.facts import NAMESPACE_KINDS, DescriptorKind, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    Holder,
    NodeView,
    Severity,
    Tier,
    actor,
    judge_holder,
)

_LINK = re.compile(rb"(mnt|pid|net|ipc|uts|user|cgroup|time):\[(\d{1,20})\]")  # namespaces(7)
_DEEP = frozenset({"mnt", "pid", "user"})


def check(event: ProcessEvent, view: NodeView) -> Found:
    """What the process was refused, or whose each namespace is that it holds."""
    if isinstance(event, Refused):
        yield from _refused(event, view)
        return
    if isinstance(event, FileTouched):
        yield from _opened(event, view)
        return
    yield from judge_holder(event.process, view, _judge)


def _judge(held: Holder, view: NodeView) -> Found:
    found = tuple(dict.fromkeys(_foreign(held, view)))
    if not found:
        return
    is_network_agent = held.first.confinement.namespaces.net == view.host.namespaces.net
    is_light = is_network_agent and all(kind not in _DEEP for kind, _, _ in found)
    yield Finding(
        "holds open: " + ", ".join(f"the {kind} namespace of {whose}" for kind, _, whose in found[:8]),
        held.member.container.id,
        held.member.process.key,
        evidence=(
            ("namespaces", tuple(f"{kind}:[{inode}]" for kind, inode, _ in found)),
            ("of", tuple(dict.fromkeys(whose for _, _, whose in found))),
        ),
        severity=Severity.MEDIUM if is_light else Severity.HIGH,
        inherited=True,
    )


def _refused(event: Refused, view: NodeView) -> Found:
    """An attempt to enter some namespace; which one, the kernel does not say."""
    member = (yield from actor(event.process, view)) if event.call == "setns" else None
    if member is not None:
        yield Finding(
            "was refused to enter a namespace",
            member.container.id,
            event.process.key,
            evidence=(("call", event.call), ("error", event.error)),
            severity=Severity.MEDIUM,
            inherited=True,
        )


def _opened(event: FileTouched, view: NodeView) -> Found:
    """A namespace that was opened, by its number; its kind is that of whoever has it."""
    is_namespace = event.touch is Touch.NAMESPACE and event.file is not None
    member = (yield from actor(event.process, view)) if is_namespace else None
    if member is None or isinstance(member.first, Unknown) or event.file is None:
        if member is not None and isinstance(member.first, Unknown):
            yield Blind(f"first process: {member.first.why}", event.process.key)
        return
    number = event.file.inode
    own = member.first.confinement.namespaces
    kinds = [kind for kind in NAMESPACE_KINDS if getattr(own, kind) != number]
    hosts = [kind for kind in kinds if getattr(view.host.namespaces, kind) == number]
    others = [kind for kind in kinds if view.namespace_owners(kind, number)]
    if not hosts and not others:
        return
    kind = (hosts or others)[0]
    is_light = own.net == view.host.namespaces.net and kind not in _DEEP
    yield Finding(
        f"opened the {kind} namespace of {'the host' if hosts else 'another container'}",
        member.container.id,
        event.process.key,
        evidence=(("namespaces", (f"{kind}:[{number}]",)),),
        severity=Severity.MEDIUM if is_light else Severity.HIGH,
        inherited=True,
    )


def _foreign(held: Holder, view: NodeView) -> list[tuple[str, int, str]]:
    """Kind, inode and owner of the namespaces that are neither the container's nor nobody's."""
    found = []
    for each in held.descriptors:
        link = _LINK.fullmatch(each.target) if each.kind is DescriptorKind.NAMESPACE else None
        if link is None:
            continue
        kind, inode = link[1].decode("ascii"), int(link[2])
        if inode == getattr(held.first.confinement.namespaces, kind):
            continue
        if inode == getattr(view.host.namespaces, kind):
            found.append((kind, inode, "the host"))
        else:
            owners = view.namespace_owners(kind, inode)
            found += [(kind, inode, f"container {owner[:12]}") for owner in owners[:1]]
    return found


DETECTOR = Detector(
    id="HW-201",
    name="namespace_entry_attempted",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, Refused, FileTouched),
    check=check,
    holds=True,
    weakest=Tier.POLL,
    summary="A container process holds a namespace of the host or of another container, or was refused to enter one.",
    benign=(
        (
            "Network plug-ins and meshes that run as pods (Cilium, Calico, Istio's node agent) keep the network "
            "namespaces of other pods open: medium where they share the host's network; make an exception for them."
        ),
        "A container that was given the host's namespace by declaration: it is its own.",
        "Sandboxes (bubblewrap, browsers, nested runtimes) hold namespaces of their own making: silent.",
        "Runtimes and CNI plug-ins are processes of the host.",
    ),
    misses=(
        "Below the ebpf tier: a descriptor that is closed again between two looks, and setns by a pidfd.",
        "Below the ebpf tier: an attempt that the kernel refused.",
        "A namespace that no first process of a container has, and not the host: of another host process.",
    ),
    advice=(
        "See whether the process also entered: HW-101 or HW-102 of the same container.",
        "Ask where it has it from: /proc of the host (hostPID), a mounted /run/netns, or a socket of another process.",
        "An agent of the node that does so by design: make an exception for its image.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/setns.2.html",
        "https://man7.org/linux/man-pages/man7/namespaces.7.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
