"""The netlink socket of the process connector: asks the kernel to tell, hears only the kernel, says why not.

Sources: ``drivers/connector/cn_proc.c``, ``drivers/connector/connector.c``, netlink(7).

* Not the event filter of kernel 6.6 (``struct proc_input``): a filtered record has taken its number before it is
  filtered, so every SID and COMM would look like a loss, and the filter also swallows the acknowledgement. What it
  would save are the three rarest kinds. Guarded by ``test_counts_no_loss_when_comm_and_session_change``.
* ENOBUFS does not break the socket: the kernel reports it once, and delivers again as soon as the queue was empty.
* Whoever has CAP_NET_ADMIN in this network namespace may send to the socket: the sender's port must be the kernel's, 0.
* Before 6.6 the kernel counts LISTEN and IGNORE blindly, so IGNORE is sent only by who was heard when it said LISTEN.

No thread of its own: one thread owns the socket. Bounded: the kernel's receive buffer, and the batch that is asked for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from typing import NamedTuple, Self

from collectors.closing import closed_on_failure
from collectors.connector.decode import (
    CN_IDX_PROC,
    CN_VAL_PROC,
    NLMSG_DONE,
    SOURCE,
    AckRecord,
    decode,
)
from collectors.errors import CollectorError, Denied, Malformed, Unsupported, from_os_error

NETLINK_CONNECTOR = 11  # include/uapi/linux/netlink.h
SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
# enum proc_cn_mcast_op, include/uapi/linux/cn_proc.h
LISTEN = 1
IGNORE = 2
PROBE = 0  # no operation: the kernel answers EINVAL, numbered like every record of the CPU that it was sent on

_REQUEST = struct.Struct("=IHHII" + "IIIIHH" + "I")  # nlmsghdr, cn_msg, enum proc_cn_mcast_op
_OPERATION_BYTES = 4
_DATAGRAM_BYTES = 4096  # the kernel sends one record of 76 bytes at a time
_KERNEL_PORT = 0
_ATTEMPTS_ON_ENOBUFS = 8
_ACK_BATCH = 64


class Batch(NamedTuple):
    """What one turn of reading brought; ``is_drained`` says that the queue was empty at its end."""

    datagrams: list[bytes]
    is_overrun: bool
    is_drained: bool


class ConnectorSocket:
    """A socket that the kernel has confirmed to be listening; made by ``open``, given back by ``close``."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._is_listening = False
        self.strangers = 0  # datagrams that did not come from the kernel

    @classmethod
    def open(cls, *, receive_buffer_bytes: int, ack_timeout_seconds: float = 1.0) -> Self:
        """A listening socket. ``Denied`` without the capability, ``Unsupported`` where the kernel does not tell us."""
        try:
            connection = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_CONNECTOR
            )
            opened = cls(connection)
            with closed_on_failure(opened):
                _set_receive_buffer(connection, receive_buffer_bytes)
                connection.bind((0, CN_IDX_PROC))
                token = int.from_bytes(os.urandom(4), "little") >> 1
                opened._request(LISTEN, token)
                opened._await_acknowledgement(token, ack_timeout_seconds)
        except OSError as error:
            raise _refusal(error) from error
        return opened

    def fileno(self) -> int:
        """The descriptor to poll for POLLIN."""
        return self._socket.fileno()

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel gave: twice what it was asked for, or what ``net.core.rmem_max`` allows."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def receive(self, limit: int) -> Batch:
        """Up to ``limit`` datagrams, without waiting; a socket that no longer works raises ``CollectorError``."""
        datagrams: list[bytes] = []
        is_overrun = False
        overruns = 0
        receive = self._socket.recvfrom
        for _ in range(limit):
            try:
                datagram, (port, _groups) = receive(_DATAGRAM_BYTES)
            except BlockingIOError:
                return Batch(datagrams, is_overrun, is_drained=True)
            except OSError as error:
                overruns += 1
                if error.errno != errno.ENOBUFS or overruns > _ATTEMPTS_ON_ENOBUFS:
                    raise from_os_error(SOURCE, error) from error
                is_overrun = True
                continue
            if port == _KERNEL_PORT:
                datagrams.append(datagram)
            else:
                self.strangers += 1
        return Batch(datagrams, is_overrun, is_drained=False)

    def probe(self) -> None:
        """Make every CPU that this thread may run on send one record, so that a gap shows without waiting for an event.

        Moves the calling thread from CPU to CPU and back. A CPU that it may not run on is not asked.
        """
        allowed = os.sched_getaffinity(0)
        try:
            for cpu in sorted(allowed):
                if _moved_to({cpu}):
                    self._request(PROBE, 0)
        except OSError as error:
            raise from_os_error(SOURCE, error) from error
        finally:
            _moved_to(allowed)

    def close(self) -> None:
        """Tell the kernel that nobody listens here any more, and give the socket back."""
        if self._is_listening:
            self._is_listening = False
            # A broken socket cannot say so: the kernel goes on numbering records for one listener too many, no more.
            with contextlib.suppress(OSError):
                self._request(IGNORE, 0)
        with contextlib.suppress(OSError):
            self._socket.close()

    def _request(self, operation: int, token: int) -> None:
        """Send one request to the kernel, which handles it before this returns (on this CPU, in our context)."""
        self._socket.sendto(
            _REQUEST.pack(
                _REQUEST.size,
                NLMSG_DONE,
                0,
                0,
                0,
                CN_IDX_PROC,
                CN_VAL_PROC,
                0,
                token,
                _OPERATION_BYTES,
                0,
                operation,
            ),
            (_KERNEL_PORT, 0),
        )

    def _await_acknowledgement(self, token: int, timeout_seconds: float) -> None:
        """Read until the answer to ``token``; records before it belong to the time before we listened.

        Other listeners' answers reach us as well, so the token tells ours apart.
        """
        deadline = time.monotonic() + timeout_seconds
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            poller.poll(left * 1000)
            for datagram in self.receive(_ACK_BATCH).datagrams:
                answer = _answer_in(datagram, token)
                if answer is None:
                    continue
                if answer.error in {errno.EPERM, errno.EACCES}:
                    raise Denied(SOURCE, "the process connector needs CAP_NET_ADMIN on this kernel")
                if answer.error:
                    raise Unsupported(SOURCE, f"the process connector refused to listen: {os.strerror(answer.error)}")
                self._is_listening = True
                return
        raise Unsupported(
            SOURCE,
            "the process connector did not answer: no CONFIG_PROC_EVENTS, or not in the node's own pid and user "
            "namespace (hostPID)",
        )


def _answer_in(datagram: bytes, token: int) -> AckRecord | None:
    """The kernel's answer to ``token`` if the datagram holds it; one we cannot read is surely not it."""
    try:
        records = decode(datagram)
    except Malformed:
        return None
    return next((each for each in records if isinstance(each, AckRecord) and each.answers == token + 1), None)


def _moved_to(cpus: set[int]) -> bool:
    """Let the calling thread run on these CPUs only; false where that is refused (offline, a cpuset changed)."""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return False
    return True


def _set_receive_buffer(connection: socket.socket, size_bytes: int) -> None:
    """Set the receive buffer, beyond ``net.core.rmem_max`` where CAP_NET_ADMIN allows it."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size_bytes)
    except PermissionError:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)


def _refusal(error: OSError) -> CollectorError:
    """Why there is no such socket, in words that say what to change."""
    match error.errno:
        case errno.EPROTONOSUPPORT | errno.EAFNOSUPPORT:
            return Unsupported(SOURCE, "this kernel has no connector (CONFIG_CONNECTOR)")
        case errno.ECONNREFUSED:
            return Unsupported(
                SOURCE, "no process connector in this network namespace: it needs the node's (hostNetwork)"
            )
        case errno.EPERM | errno.EACCES:
            return Denied(SOURCE, "the process connector needs CAP_NET_ADMIN on this kernel")
        case _:
            return from_os_error(SOURCE, error)
