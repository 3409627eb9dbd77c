"""The sink ``syslog`` with Debian's rsyslog: a process of our own, on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agent.errors import SinkError
from agent.output_schema import SyslogConfig, TlsConfig
from agent.sinks.syslog import SyslogSink
from tests.agent import alerts
from tests.support import rsyslog
from tests.support.certificates import Certificates
from tests.support.opened_sinks import opened
from tests.support.rsyslog import Rsyslog
from tests.support.scripted_receiver import ScriptedReceiver

BATCH = alerts.batch(20)
HOSTILE = alerts.stored_whole(alerts.escaped(name=b'a"]\\b\n\x1b'))

TCP = 'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")'
needs_rsyslog = pytest.mark.skipif(rsyslog.command() is None, reason="rsyslogd is not installed")


def sink_for(address: str, **keys: Any) -> SyslogSink:
    return opened(SyslogSink(SyslogConfig(name="log", address=address, **{"timeout_seconds": 5.0, **keys})))


@needs_rsyslog
def test_rsyslog_takes_structured_data_over_tcp(tmp_path: Path) -> None:
    with Rsyslog(tmp_path, 'module(load="imtcp")', TCP) as receiver:
        sink = sink_for(f"tcp://127.0.0.1:{receiver.port}")
        sink.send(BATCH)
        sink.send([HOSTILE])
        messages = [json.loads(line) for line in receiver.messages(21)]
    first = messages[0]
    assert (first["version"], first["pri"], first["host"]) == ("1", "82", "node-1")
    assert (first["app"], first["msgid"]) == ("hullwatch", "HW-101")
    assert first["time"] == "2025-11-21T04:40:00.000000Z"
    assert [f'id="{alert.id}"' in message["sd"] for alert, message in zip(BATCH, messages[:20], strict=True)] == [
        True
    ] * 20
    assert first["msg"].startswith("\ufeffContainer web-1 (debian:12), process nsenter (pid 4242): ")
    assert r' process="a\"\]\\b\\x0a\\x1b" pid="4242"' in messages[20]["sd"]


@needs_rsyslog
@pytest.mark.parametrize(("content", "start"), [("json", "{"), ("cee", "@cee: {")])
def test_rsyslog_takes_the_whole_alert_as_json(tmp_path: Path, content: str, start: str) -> None:
    with Rsyslog(tmp_path, 'module(load="imtcp")', TCP) as receiver:
        sink = sink_for(f"tcp://127.0.0.1:{receiver.port}", content=content, max_message_bytes=65_536)
        sink.send(BATCH)
        messages = [json.loads(line) for line in receiver.messages(20)]
    for alert, message in zip(BATCH, messages, strict=True):
        text = message["msg"].removeprefix(" ")
        assert text.startswith(start)
        assert json.loads(text.removeprefix("@cee: ")) == json.loads(alert.document)
        assert message["sd"] == "-"


@needs_rsyslog
@pytest.mark.skipif(not rsyslog.can_tls(), reason="rsyslog-openssl is not installed")
def test_rsyslog_takes_alerts_over_tls_with_a_client_certificate(tmp_path: Path, certificates: Certificates) -> None:
    modules = (
        f'global(defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{certificates.authority}" '
        f'defaultNetstreamDriverCertFile="{certificates.certificate("server")}" '
        f'defaultNetstreamDriverKeyFile="{certificates.key("server")}")\n'
        'module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/name" '
        'permittedPeer=["client.example"])'
    )
    tls = TlsConfig(
        ca_file=certificates.authority,
        certificate_file=certificates.certificate("client"),
        key_file=certificates.key("client"),
    )
    with Rsyslog(tmp_path, modules, TCP) as receiver:
        sink = sink_for(f"tls://127.0.0.1:{receiver.port}", tls=tls)
        sink.send(BATCH)
        assert len(receiver.messages(20)) == 20


@needs_rsyslog
def test_rsyslog_takes_datagrams_on_a_unix_socket(tmp_path: Path, socket_path: str) -> None:
    inputs = f'input(type="imuxsock" socket="{socket_path}" useSpecialParser="off" parseHostname="on" ruleset="all")'
    modules = 'module(load="imuxsock" sysSock.use="off")'
    with Rsyslog(tmp_path, modules, inputs, ready=Path(socket_path)) as receiver:
        sink = sink_for(f"unix://{socket_path}")
        sink.send(BATCH)
        messages = [json.loads(line) for line in receiver.messages(20)]
    assert (messages[0]["version"], messages[0]["host"], messages[0]["app"]) == ("1", "node-1", "hullwatch")


@needs_rsyslog
def test_rsyslog_takes_a_stream_on_a_unix_socket(tmp_path: Path, socket_path: str) -> None:
    inputs = f'input(type="imptcp" path="{socket_path}" ruleset="all")'
    with Rsyslog(tmp_path, 'module(load="imptcp")', inputs, ready=Path(socket_path)) as receiver:
        sink = sink_for(f"unix://{socket_path}")
        sink.send(BATCH)
        messages = [json.loads(line) for line in receiver.messages(20)]
    assert [message["version"] for message in messages] == ["1"] * 20


@needs_rsyslog
def test_sends_again_to_an_rsyslog_that_came_back(tmp_path: Path, socket_path: str) -> None:
    inputs = f'input(type="imptcp" path="{socket_path}" ruleset="all")'
    sink = sink_for(f"unix://{socket_path}")
    with Rsyslog(tmp_path, 'module(load="imptcp")', inputs, ready=Path(socket_path)) as receiver:
        sink.send(BATCH[:10])
        receiver.messages(10)
    with pytest.raises(SinkError, match="cannot be reached"):
        sink.send(BATCH[10:])
    Path(socket_path).unlink(missing_ok=True)
    with Rsyslog(tmp_path, 'module(load="imptcp")', inputs, ready=Path(socket_path)) as receiver:
        sink.send(BATCH[10:])
        receiver.messages(20)


def test_json_that_is_too_long_goes_as_structured_data() -> None:
    got = bytearray()

    def act(connection: socket.socket) -> None:
        while data := connection.recv(65_536):
            got.extend(data)

    with ScriptedReceiver([act]) as receiver:
        sink = sink_for(receiver.address, content="json", max_message_bytes=2048)
        sink.send(BATCH[:1])
        sink.close()
        time.sleep(0.05)
    length, _, message = bytes(got).partition(b" ")
    assert int(length) == len(message) <= 2048
    assert b"[hullwatch@32473 id=" in message


def test_waits_for_a_receiver_that_reads_nothing_and_gives_up() -> None:
    over = threading.Event()
    big = alerts.stored_whole(alerts.escaped(arguments=b"x" * 4000))
    with ScriptedReceiver([lambda _: over.wait(5)]) as receiver:
        sink = sink_for(receiver.address, timeout_seconds=0.5, content="json", max_message_bytes=65_536)
        with pytest.raises(SinkError, match=r"too long|no answer within"):
            sink.send([big] * 1500)
        over.set()


def test_gives_up_on_a_datagram_socket_that_nobody_reads(socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(socket_path)
        large = alerts.stored_whole(alerts.escaped(arguments=b"x" * 4000))
        sink = sink_for(f"unix://{socket_path}", content="json", max_message_bytes=1_048_576, timeout_seconds=0.5)
        with pytest.raises(SinkError, match=r"it took too long|no answer within"):
            sink.send([large] * 200)  # nobody reads


def test_says_that_the_socket_is_not_there(socket_path: str) -> None:
    with pytest.raises(SinkError, match=r"log: .* cannot be reached: No such file or directory"):
        sink_for(f"unix://{socket_path}").send(BATCH)


def test_refuses_an_impostor(certificates: Certificates) -> None:
    with ScriptedReceiver([lambda _: None], tls=certificates.server_context("other")) as receiver:
        sink = sink_for(receiver.address, tls=TlsConfig(ca_file=certificates.authority))
        with pytest.raises(SinkError, match="IP address mismatch"):
            sink.send(BATCH)
