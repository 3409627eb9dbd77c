"""Certificates for tests, made by the openssl command: an authority, a server, a server of another name, a client."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificates:
    """Where the files are; each certificate's key is beside it, with the suffix ``.key``."""

    directory: Path

    @property
    def authority(self) -> str:
        return str(self.directory / "authority.pem")

    def certificate(self, name: str) -> str:
        return str(self.directory / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.directory / f"{name}.key")

    def server_context(self, name: str = "server", *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(name), self.key(name))
        if wants_client:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_certificates(directory: Path) -> Certificates:
    """All of them, valid for two days."""
    (directory / "openssl.cnf").write_text(_CONFIG, encoding="ascii")
    made = Certificates(directory)
    _make(made, "authority", "authority", [])
    signed = ["-CA", made.authority, "-CAkey", made.key("authority")]
    for name, subject in (
        ("server", "DNS:localhost,IP:127.0.0.1"),
        ("other", "DNS:other.example"),
        ("client", "DNS:client.example"),
    ):
        _make(made, name, "leaf", [*signed, "-addext", f"subjectAltName={subject}"])
    return made


def _make(made: Certificates, name: str, section: str, arguments: list[str]) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-config", str(made.directory / "openssl.cnf"), "-extensions", section, "-subj", f"/CN=hullwatch {name}"),
            *("-days", "2", "-keyout", made.key(name), "-out", made.certificate(name), *arguments),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
