"""Two time-stamp authorities for tests: one written out here, and `openssl ts`.

`EmbeddedAuthority` answers RFC 3161 requests with a CMS SignedData (RFC 5652) that it
encodes itself; `OpensslAuthority` is foreign.  `authority_server` puts either behind HTTP.
"""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEARS = timedelta(days=3650)
POLICY = "1.3.6.1.4.1.99999.1"


@dataclass(frozen=True)
class Issued:
    """A root, and the certificate and key of an authority below it."""

    root: x509.Certificate
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def root_pem(self) -> bytes:
        """Return what a verifier trusts."""
        return self.root.public_bytes(Encoding.PEM)


def issue(name: str = "test authority") -> Issued:
    """Return a new root with an authority that may time-stamp (RFC 3161, 2.3)."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"root of {name}")])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def begin(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(root_name)
        builder = builder.public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - _YEARS).not_valid_after(now + _YEARS)
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        return builder.add_extension(identifier, critical=False)

    usage = {
        "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
        "key_agreement": False, "encipher_only": False, "decipher_only": False,
    }  # fmt: skip
    root = (
        begin(root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage),
            critical=True,
        )
        .sign(root_key, hashes.SHA256())
    )
    certificate = (
        begin(own_name, key.public_key())
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **usage),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    return Issued(root, certificate, key)


# DER (X.690): a tag, the length, the content.


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return _der(0x06, bytes(content))


def _read(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Return (tag, content, where the next begins) of the element at a place."""
    tag, size, begin = data[at], data[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size, begin = int.from_bytes(data[begin : begin + count], "big"), begin + count
    return tag, data[begin : begin + size], begin + size


_SHA256 = _der(0x30, _oid("2.16.840.1.101.3.4.2.1"), _der(0x05))
_ECDSA = _der(0x30, _oid("1.2.840.10045.4.3.2"))
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"


class EmbeddedAuthority:
    """Signs what it is asked for, at the time of its own clock.

    Parameters
    ----------
    spoil : changes the imprint or the nonce that is signed, as a bad authority would.
    """

    def __init__(
        self,
        issued: Issued,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spoil: Callable[[bytes, bytes], tuple[bytes, bytes]] = lambda imprint, nonce: (
            imprint,
            nonce,
        ),
    ) -> None:
        self.issued, self._now, self._spoil, self._serial = issued, now, spoil, 0

    def answer(self, request: bytes) -> bytes:
        """Return a TimeStampResp (RFC 3161, 2.4.2)."""
        _, body, _ = _read(request, 0)
        _, _, at = _read(body, 0)  # version
        start = at
        _, _, at = _read(body, at)  # messageImprint
        imprint, nonce = body[start:at], b""
        while at < len(body):
            tag, _, after = _read(body, at)
            nonce = body[at:after] if tag == 0x02 else nonce
            at = after
        imprint, nonce = self._spoil(imprint, nonce)
        status = _der(0x30, _integer(0))
        return _der(0x30, status, self._token(imprint, nonce))

    def _token(self, imprint: bytes, nonce: bytes) -> bytes:
        self._serial += 1
        moment = self._now().strftime("%Y%m%d%H%M%S.%f").rstrip("0").rstrip(".") + "Z"
        accuracy = _der(0x30, _integer(0), _der(0x80, (20).to_bytes(1, "big")))
        info = _der(
            0x30, _integer(1), _oid(POLICY), imprint, _integer(self._serial),
            _der(0x18, moment.encode()), accuracy, nonce,
        )  # fmt: skip
        certificate = self.issued.certificate.public_bytes(Encoding.DER)
        kind = _der(0x30, _oid("1.2.840.113549.1.9.3"), _der(0x31, _oid(_TST_INFO)))
        digest = _der(0x04, hashlib.sha256(info).digest())
        content = _der(0x30, _oid("1.2.840.113549.1.9.4"), _der(0x31, digest))
        by = _der(0x30, _der(0x04, hashlib.sha256(certificate).digest()))
        signing = _der(0x30, _der(0x30, by))  # SigningCertificateV2 (RFC 5816), SHA-256
        own = _der(0x30, _oid("1.2.840.113549.1.9.16.2.47"), _der(0x31, signing))
        attributes = b"".join(sorted((kind, content, own)))
        signature = self.issued.key.sign(_der(0x31, attributes), ec.ECDSA(hashes.SHA256()))
        issuer = self.issued.certificate.issuer.public_bytes()
        signer = _der(
            0x30, _integer(1),
            _der(0x30, issuer, _integer(self.issued.certificate.serial_number)),
            _SHA256, _der(0xA0, attributes), _ECDSA, _der(0x04, signature),
        )  # fmt: skip
        signed = _der(
            0x30, _integer(3), _der(0x31, _SHA256),
            _der(0x30, _oid(_TST_INFO), _der(0xA0, _der(0x04, info))),
            _der(0xA0, certificate), _der(0x31, signer),
        )  # fmt: skip
        return _der(0x30, _oid(_SIGNED_DATA), _der(0xA0, signed))


class OpensslAuthority:
    """`openssl ts -reply`, with a key and certificate of ours, in a folder.

    It sends its own certificate alone: openssl writes several in the order of the
    configuration, which is not DER, and rfc3161-client 1.0.9 refuses that.
    """

    def __init__(self, issued: Issued, folder: Path) -> None:
        self.issued, self._folder = issued, folder
        key = issued.key.private_bytes(
            Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "key.pem").write_bytes(key)
        (folder / "tsa.pem").write_bytes(issued.certificate.public_bytes(Encoding.PEM))
        (folder / "root.pem").write_bytes(issued.root_pem())
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(
            f"[tsa]\ndefault_tsa = own\n[own]\nserial = {folder}/serial\nsigner_digest = sha256\n"
            f"signer_cert = {folder}/tsa.pem\nsigner_key = {folder}/key.pem\n"
            f"default_policy = {POLICY}\ndigests = sha256, sha512\n"
            "accuracy = secs:1\nclock_precision_digits = 3\ness_cert_id_alg = sha256\n"
        )

    def answer(self, request: bytes) -> bytes:
        """Return what openssl answers."""
        asked, answered = self._folder / "q.tsq", self._folder / "a.tsr"
        asked.write_bytes(request)
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", str(self._folder / "tsa.cnf"),
             "-queryfile", str(asked), "-out", str(answered)],
            check=True, capture_output=True,
        )  # fmt: skip
        return answered.read_bytes()


@contextmanager
def authority_server(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """Put an authority behind HTTP (RFC 3161, 3.4); yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            content = answer(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
