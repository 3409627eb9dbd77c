"""A container runs as root, and its root is the host's root.

Without a user namespace uid 0 inside is uid 0 outside: what keeps it in are namespaces, capabilities and filters, and
any single fault of theirs gives the node. In a user namespace the same fault gives a nobody.

*Fires on:* a container whose bundle names uid 0 and whose first process has the host's user namespace; info. The
evidence says whether ``no_new_privs`` is off too. A pod's sandbox is silent.
"""

from __future__ import annotations

from collectors.declarations import in_own_user_namespace
from collectors.events import ContainerSeen
from collectors.facts import Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

OPENS = ("is root on the host as soon as one wall falls",)
OPENS_WITHOUT_NO_NEW_PRIVS = (*OPENS, "gains privileges by set-uid programs of its image")


def check(event: ContainerSeen, view: NodeView) -> Found:
    """Say that root inside is root outside."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    if declared.uid != 0 or (container.pod is not None and container.pod.is_sandbox):
        return
    first = view.first_process(container.id)
    if isinstance(first, Unknown):
        yield Blind(first.why)  # a rootless engine declares no user namespace, and lives in one
        return
    if not in_own_user_namespace(declared, first, view.host):
        yield Finding(
            "runs as root, and its root is the host's",
            container.id,
            evidence=(
                ("uid", declared.uid),
                ("no_new_privs", declared.no_new_privs),
                ("opens", OPENS if declared.no_new_privs else OPENS_WITHOUT_NO_NEW_PRIVS),
            ),
        )


DETECTOR = Detector(
    id="HW-308",
    name="root_in_host_user_namespace",
    family=Family.EXPOSURE,
    severity=Severity.INFO,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container runs as root in the host's user namespace.",
    benign=(
        "Most containers of the world: worth knowing, never worth a call. Leave out what is below low to be rid of it.",
        "Rootless engines, user namespaces of docker and of pods (hostUsers: false).",
    ),
    misses=(
        "A container that starts as another user and has set-uid programs in its image.",
        "A user namespace whose mapping includes uid 0 of the host.",
        "A container without a bundle, or whose first process was not seen (counted as blind).",
    ),
    advice=(
        "Set a user in the image or in the pod, and no_new_privs (allowPrivilegeEscalation: false).",
        "Turn user namespaces on: userns-remap of docker, hostUsers: false of a pod.",
    ),
    references=(
        "https://docs.docker.com/engine/security/userns-remap/",
        "https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
