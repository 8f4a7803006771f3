"""Time-stamps: one of a foreign authority and one of our own test authority hold offline."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.checkpoint import Checkpoint, Signer, sign
from audit.errors import ConfigurationError, LogTamperedError
from audit.timestamp import ask, check, read_authorities
from tests.simulators.time_stamp_authority import EmbeddedAuthority, OpensslAuthority, issue

NOTE = sign(
    Checkpoint("osteon.test/site", 5, b"\x05" * 32), Signer("osteon.test/site", b"\x07" * 32)
)
ISSUED = issue()


@pytest.fixture(params=["embedded", "openssl"])
def answer(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], bytes]:
    """An authority of each make."""
    if request.param == "openssl":
        return OpensslAuthority(ISSUED, tmp_path).answer
    return EmbeddedAuthority(ISSUED).answer


@pytest.mark.reg("TLOG-2")
def test_a_time_stamp_holds_offline(answer: Callable[[bytes], bytes]) -> None:
    """What an authority answered is checked with its root alone, then and later."""
    request = ask(NOTE)
    before = datetime.now(UTC)
    token = answer(request.as_bytes())
    roots = read_authorities(ISSUED.root_pem())
    for asked in (request, None):
        stamped = check(token, NOTE, roots, asked)
        assert abs(stamped.at - before) < timedelta(minutes=1)
        assert 0 < stamped.accuracy_s <= 1
    with pytest.raises(LogTamperedError, match="fault"):
        check(token, NOTE + "x", roots)
    with pytest.raises(LogTamperedError, match="fault"):
        check(token, NOTE, read_authorities(issue().root_pem()))
    with pytest.raises(LogTamperedError, match="fault"):
        check(token, NOTE, roots, ask(NOTE))  # another nonce
    with pytest.raises(LogTamperedError, match="fault"):
        check(token, NOTE, ())
    for at in (40, len(token) // 2, len(token) - 5):
        broken = token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]
        with pytest.raises(LogTamperedError, match="fault"):
            check(broken, NOTE, roots)


def test_openssl_accepts_the_time_stamps_of_the_embedded_authority(tmp_path: Path) -> None:
    """A foreign verifier says the same as we do, on the files of a bundle."""
    token = EmbeddedAuthority(ISSUED).answer(ask(NOTE).as_bytes())
    (tmp_path / "a.tsr").write_bytes(token)
    (tmp_path / "5.txt").write_text(NOTE)
    (tmp_path / "ca.pem").write_bytes(ISSUED.root_pem())
    command = ["openssl", "ts", "-verify", "-data", "5.txt", "-in", "a.tsr", "-CAfile", "ca.pem"]
    good = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verification: OK" in good.stdout + good.stderr
    (tmp_path / "5.txt").write_text(NOTE + "x")
    bad = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert bad.returncode != 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda imprint, nonce: (imprint[:-1] + bytes([imprint[-1] ^ 1]), nonce),
        lambda imprint, nonce: (imprint, nonce[:-1] + bytes([nonce[-1] ^ 1])),
        lambda imprint, nonce: (imprint, nonce[:0]),
    ],
    ids=["another imprint", "another nonce", "no nonce"],
)
def test_a_bad_authority_is_found(
    spoil: Callable[[bytes, bytes], tuple[bytes, bytes]],
) -> None:
    """A token over something else, or for another question, does not count."""
    request = ask(NOTE)
    token = EmbeddedAuthority(ISSUED, spoil=spoil).answer(request.as_bytes())
    with pytest.raises(LogTamperedError, match="fault"):
        check(token, NOTE, read_authorities(ISSUED.root_pem()), request)


@pytest.mark.parametrize("answer", [b"", b"\x30\x00", b"x" * 100, b"\x30\x05\x30\x03\x02\x01\x02"])
def test_other_bytes_are_no_time_stamp(answer: bytes) -> None:
    """Rubbish and a rejection end in one clear error."""
    with pytest.raises(LogTamperedError, match="fault"):
        check(answer, NOTE, read_authorities(ISSUED.root_pem()))


def test_a_file_without_certificates_is_refused() -> None:
    """The configuration says so before anything is asked."""
    with pytest.raises(ConfigurationError, match="PEM"):
        read_authorities(b"no certificate")
