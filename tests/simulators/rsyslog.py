"""A real syslog server: Debian's rsyslog with TLS and mutual authentication, on loopback.

`rsyslog` starts one with an authority of its own; a test stops and starts it.  What it received
lies in a file, one message a line, as it came.

Read next: `tests/adapters/test_audit_repository.py`.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_START_S = 15.0
_DRIVERS = {"gtls": "lmnsd_gtls.so", "ossl": "lmnsd_ossl.so"}
_CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="512k"
  defaultNetstreamDriver="{driver}" defaultNetstreamDriverCAFile="{folder}/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/server.pem"
  defaultNetstreamDriverKeyFile="{folder}/server.key")
module(load="imtcp" StreamDriver.Name="{driver}" StreamDriver.Mode="1"
  StreamDriver.AuthMode="x509/name" PermittedPeer=["osteon.test"])
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omfile" file="{folder}/received.log" template="raw")
"""


@dataclass
class Authority:
    """A certificate authority of a test."""

    folder: Path
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.certificate = self.folder / "ca.pem"
        self._write(
            self.certificate, self._build(self._name, self._key.public_key(), authority=True)
        )

    def issue(self, name: str, *dns: str) -> tuple[Path, Path]:
        """Return certificate and key files for a name on loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns[0])])
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self._write(certificate, self._build(subject, key.public_key(), dns))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret

    def _build(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        dns: tuple[str, ...] = (),
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if authority:
            usage = x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        if dns:
            names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
            names.append(x509.IPAddress(ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@dataclass
class Rsyslog:
    """One server; `start` and `stop` may be called again and again."""

    program: str
    driver: str
    authority: Authority
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it listens."""
        folder = self.authority.folder
        path = folder / "rsyslog.conf"
        path.write_text(_CONFIGURATION.format(folder=folder, driver=self.driver, port=self.port))
        self.process = subprocess.Popen(
            [self.program, "-n", "-f", str(path), "-i", str(folder / "pid")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("rsyslog did not listen")

    def stop(self) -> None:
        """Stop the server in order; what it received is on disk then."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)
            self.process = None

    def received(self) -> list[bytes]:
        """Return the messages that it got, in order."""
        path = self.authority.folder / "received.log"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [line for line in lines if b"AuditMessage" in line]


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[Rsyslog]:
    """A running rsyslog with mutual TLS; client certificate ``client.pem`` and ``client.key``."""
    program = shutil.which("rsyslogd") or shutil.which("/usr/sbin/rsyslogd")
    places = list(Path("/usr/lib").glob("*/rsyslog/")) if program else []
    drivers = [name for name, file in _DRIVERS.items() if any((p / file).exists() for p in places)]
    if program is None or not drivers:
        pytest.skip("syslog server: rsyslog with a TLS driver is not installed")
    authority = Authority(tmp_path / "syslog")
    authority.issue("server", "localhost")
    authority.issue("client", "osteon.test")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Rsyslog(program, drivers[-1], authority, port)
    server.start()
    yield server
    server.stop()
