"""An API server on loopback that lists and watches pods as the real one does, and misbehaves when it is told to.

List and watch with ``fieldSelector`` (``spec.nodeName``), ``resourceVersion``, bookmarks, 410 for what it forgot,
401 for a token that it does not know. A fault is taken by the next request that it is for. Everything runs in one
thread with an event loop of its own, so that thousands may be connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """A request as it came, and when (monotonic clock)."""

    at: float
    query: dict[str, str]
    token: str

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass(frozen=True)
class Fault:
    """What one request gets instead, or before it is cut off.

    ``status`` other than 200: an answer with ``headers``. ``body``: these bytes in place of the list, or as what the
    watch sends first. ``byte_seconds``: the body goes a byte at a time, with that pause. ``is_cut``: then the
    connection is dropped in the midst of the answer; else a watch goes on as usual.
    """

    on: str = "any"  # list, watch, any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    byte_seconds: float = 0.0
    is_cut: bool = False


def pod(name: str = "cart-7d9f-x2x4", *, uid: str = "11111111-2222-4333-8444-555555555555", **keys: Any) -> Json:
    """A pod of a Deployment as the API server writes it; ``keys`` are members of ``metadata``, ``spec``, ``status``."""
    made: Json = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": uid,
            "creationTimestamp": "2026-11-21T22:00:00Z",
            "labels": {"app": "cart", "pod-template-hash": "7d9f"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-7d9f", "uid": "rs", "controller": True}
            ],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {
            "nodeName": "node-1",
            "serviceAccountName": "cart",
            "containers": [{"name": "cart", "image": "shop/cart:1"}],
        },
        "status": {"phase": "Running"},
    }
    for part, values in keys.items():
        made[part].update(values)
    return made


class ApiServer:
    """Use it as a context. ``url`` is where it is; ``asked`` what it was asked."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, window_seconds: float = 3600.0, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.tokens = {"t0ken"}
        self.respects_selector = True
        self.window_seconds = window_seconds
        self.connections = 0
        self.port = port
        self._tls = tls
        self._faults: list[Fault] = []
        self._pods: dict[str, Json] = {}
        self._history: list[tuple[int, str, Json]] = []
        self._version = 1000
        self._forgotten = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._news: asyncio.Condition
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    # For the test's thread ---------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def fail(self, *faults: Fault) -> None:
        """Have the next requests that these are for go wrong."""
        self._call(lambda: self._faults.extend(faults))

    def put(self, *pods: Json) -> None:
        """Add or change pods."""

        def put() -> None:
            for each in pods:
                self._change("MODIFIED" if each["metadata"]["uid"] in self._pods else "ADDED", each)

        self._call(put)

    def delete(self, uid: str) -> None:
        self._call(lambda: self._change("DELETED", self._pods[uid]))

    def bookmark(self) -> None:
        """Tell all watchers how far they are."""
        self._call(lambda: self._change("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {}}))

    def forget(self) -> None:
        """Whoever comes with a version from before now is told 410."""
        self._call(self._forget)

    def cut_all(self) -> int:
        """Drop every connection, as a server that is killed; how many there were."""

        def cut() -> int:
            writers = list(self._writers)
            for writer in writers:
                writer.transport.abort()
            return len(writers)

        return self._call(cut)

    def _call(self, change: Callable[[], T]) -> T:
        async def call() -> T:
            made = change()
            async with self._news:
                self._news.notify_all()
            return made

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    # In the server's thread --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._news = asyncio.Condition()
        started = asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self._tls, backlog=4096)
        self._server = self._loop.run_until_complete(started)
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for writer in self._writers:
            writer.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def _forget(self) -> None:
        self._forgotten, self._history = self._version, []

    def _change(self, kind: str, made: Json) -> None:
        self._version += 1
        made = json.loads(json.dumps(made))
        made["metadata"]["resourceVersion"] = str(self._version)
        if kind == "DELETED":
            del self._pods[made["metadata"]["uid"]]
        elif kind != "BOOKMARK":
            self._pods[made["metadata"]["uid"]] = made
        self._history.append((self._version, kind, made))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head.decode("latin-1"), writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, TimeoutError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        request, *lines = head.split("\r\n")
        target = urlsplit(request.split(" ")[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        asked = Asked(time.monotonic(), dict(parse_qsl(target.query)), token)
        self.asked.append(asked)
        fault = self._take_fault(asked)
        if asked.token not in self.tokens:
            await self._send(writer, 401, b"{}")
        elif target.path != "/api/v1/pods":
            await self._send(writer, 404, b"{}")
        elif fault.status != 200:
            await self._send(writer, fault.status, b"{}", fault.headers)
        elif asked.is_watch:
            await self._watch(asked, fault, writer)
        else:
            items = [each for each in self._pods.values() if self._is_wanted(asked, each)]
            listed = {"kind": "PodList", "metadata": {"resourceVersion": str(self._version)}, "items": items}
            body = json.dumps(listed).encode() if fault.body is None else fault.body
            await self._send(writer, 200, body, fault.headers, fault)

    def _take_fault(self, asked: Asked) -> Fault:
        kind = "watch" if asked.is_watch else "list"
        found = next((each for each in self._faults if each.on in ("any", kind)), None)
        if found is None:
            return Fault()
        self._faults.remove(found)
        return found

    def _is_wanted(self, asked: Asked, made: Json) -> bool:
        selector = asked.query.get("fieldSelector", "")
        node = made.get("spec", {}).get("nodeName")
        return not self.respects_selector or selector in ("", f"spec.nodeName={node}")

    async def _watch(self, asked: Asked, fault: Fault, writer: asyncio.StreamWriter) -> None:
        since = int(asked.query["resourceVersion"])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        if fault.body is not None:
            await self._write(writer, fault.body, fault.byte_seconds, is_chunked=True)
        if fault.is_cut:
            writer.transport.abort()
            raise ConnectionResetError
        ends = time.monotonic() + min(self.window_seconds, float(asked.query["timeoutSeconds"]))
        while (left := ends - time.monotonic()) > 0:
            if since < self._forgotten:
                error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
                await self._write(writer, json.dumps(error).encode() + b"\n", 0, is_chunked=True)
                break
            for version, kind, made in self._history:
                if version > since and (kind == "BOOKMARK" or self._is_wanted(asked, made)):
                    await self._write(
                        writer, json.dumps({"type": kind, "object": made}).encode() + b"\n", 0, is_chunked=True
                    )
            since = max(since, self._version)
            async with self._news:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), left)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        fault: Fault | None = None,
    ) -> None:
        every = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in every.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
        if fault is not None and fault.is_cut:
            writer.write(body[: len(body) // 2])
            await writer.drain()
            writer.transport.abort()
            raise ConnectionResetError
        await self._write(writer, body, fault.byte_seconds if fault is not None else 0, is_chunked=False)

    @staticmethod
    async def _write(writer: asyncio.StreamWriter, body: bytes, byte_seconds: float, *, is_chunked: bool) -> None:
        for part in (body[n : n + 1] for n in range(len(body))) if byte_seconds else (body,):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part)
            await writer.drain()
            await asyncio.sleep(byte_seconds)
