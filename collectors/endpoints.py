"""Services that govern a node or hold its secrets, by port and address, and which addresses are the node's own.

Sources: the documentation of Docker, the kubelet, etcd, AWS, Azure, Google and Alibaba Cloud; ``/proc/net/fib_trie``
(``net/ipv4/fib_trie.c``).
"""

from __future__ import annotations

from collectors.bounded import read_bounded
from collectors.errors import CollectorError

_MAX_ROUTES_BYTES = 8 << 20

NODE_PORTS = frozenset({2375, 2376, 2379, 2380, 10250, 10255})
METADATA = frozenset(
    {
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd00:ec2::23",
    }
)


def read_local_addresses(proc: str) -> frozenset[str]:
    """The node's own addresses, as its first process sees them, else as we do; none where neither can be read."""
    for process in ("1", "self"):
        try:
            return parse_local_addresses(
                read_bounded(f"{proc}/{process}/net/fib_trie", _MAX_ROUTES_BYTES, source="proc/net/fib_trie")
            )
        except CollectorError:
            continue
    return frozenset()


def parse_local_addresses(data: bytes) -> frozenset[str]:
    """The addresses of ``/proc/net/fib_trie`` that are the node's own (``/32 host LOCAL``), without loopback."""
    found: set[str] = set()
    address = ""
    for line in data.split(b"\n"):
        text = line.strip()
        if text.startswith(b"|-- "):
            address = text[4:].decode("ascii", "replace")
        elif text == b"/32 host LOCAL" and not is_loopback(address):
            found.add(address)
    return frozenset(found)


def is_loopback(address: str) -> bool:
    """The address is the namespace's own."""
    return address.startswith("127.") or address == "::1"
