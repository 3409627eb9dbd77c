"""A container reads or writes the wire below TCP and UDP.

A packet socket sees all that passes the container's interface, and on the host's network all that passes the node's; a
raw socket forges. Neighbours are spoofed with it (ARP, DNS), and packet sockets have been the way into the kernel
(CVE-2020-14386).

*Fires on:* a container has a packet socket open, or a raw socket of another protocol than ICMP, which is ping's.
Medium on the host's network, else low. The engine tells it once for each (container, kind, executable).
"""

from __future__ import annotations

from collectors.events import RawSocketHeld
from collectors.facts import Executable, Process, Unknown
from detectors.base import Blind, Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier

PINGS = frozenset({1, 58})  # ICMP and ICMPv6, include/uapi/linux/in.h and in6.h


def check(event: RawSocketHeld, view: NodeView) -> Found:
    """Leave ping alone, and look whose network it is."""
    if event.kind == "raw" and event.protocol in PINGS:
        return
    first = view.first_process(event.container_id)
    if isinstance(first, Unknown):
        yield Blind(f"first process: {first.why}", event.process)
        return
    is_hosts = first.confinement.namespaces.net == view.host.namespaces.net
    holder = view.process(event.process) if event.process is not None else None
    program = _program(holder)
    yield Finding(
        f"has a {event.kind} socket open" + (" on the host's network" if is_hosts else ""),
        event.container_id,
        event.process,
        evidence=(("kind", event.kind), ("protocol", event.protocol), ("executable", program)),
        severity=Severity.MEDIUM if is_hosts else Severity.LOW,
        identity=(event.container_id, event.kind, program.decode("utf-8", "backslashreplace")),
    )


def _program(process: Process | None) -> bytes:
    if process is None:
        return b""
    return process.executable.path if isinstance(process.executable, Executable) else process.name


DETECTOR = Detector(
    id="HW-228",
    name="raw_socket_opened",
    family=Family.TECHNIQUE,
    severity=Severity.LOW,
    techniques=(
        Technique("T1040", "Network Sniffing", "TA0006", "Credential Access"),
        Technique("T1557", "Adversary-in-the-Middle", "TA0006", "Credential Access"),
    ),
    wants=(RawSocketHeld,),
    check=check,
    weakest=Tier.POLL,
    summary="A container has a packet socket or a raw socket open.",
    benign=(
        "ping and traceroute with ICMP: silent.",
        "Network agents (Cilium, MetalLB, keepalived, DHCP) live on these sockets: once for each; make an exception.",
        "tcpdump in a debug container: that is what it is for.",
    ),
    misses=(
        "Below the ebpf tier: a socket that is closed before a look (every five sweeps).",
        "Sniffing with bpf (HW-216), and on the host by a process that left the container.",
    ),
    advice=(
        "Take CAP_NET_RAW from workloads that need no ping: engines grant it by default.",
        "Not expected: look for spoofing in the pod's network, and who is its neighbour.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/packet.7.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2020-14386",
        "https://attack.mitre.org/techniques/T1040/",
    ),
)
