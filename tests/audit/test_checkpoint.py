"""Checkpoints in the form of C2SP: foreign notes, round trips, and what must be refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import (
    Checkpoint,
    Signer,
    load_signer,
    new_signer,
    parse,
    parse_key,
    parse_secret,
    sign,
    verify,
    verify_note,
)
from audit.errors import ConfigurationError, LogTamperedError

# From the documentation of golang.org/x/mod/sumdb/note.
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNATURE = (
    "\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ORIGIN = "osteon.test/site"
CHECKPOINT = Checkpoint(ORIGIN, 42, b"\x05" * 32)
SIGNER = Signer(ORIGIN, b"\x07" * 32)


def test_note_of_another_implementation_is_made_and_verified() -> None:
    """The example of Go's note package gives the same key and signature, byte for byte."""
    signer = parse_secret(SECRET)
    assert signer.secret_text() == SECRET
    assert signer.verifier.text() == PUBLIC
    assert signer.sign_note(TEXT) == f"{TEXT}\n{SIGNATURE}"
    assert verify_note(f"{TEXT}\n{SIGNATURE}", parse_key(PUBLIC)) == TEXT


def test_key_id_is_that_of_a_public_log() -> None:
    """The key of Go's checksum database has the key id that it publishes."""
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    assert parse_key(text).text() == text


@given(st.integers(0, 2**63), st.binary(min_size=32, max_size=32))
def test_signed_checkpoint_comes_back(size: int, root: bytes) -> None:
    """What one signs the other reads."""
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert verify(sign(checkpoint, SIGNER), SIGNER.verifier) == checkpoint


@given(st.integers(0, len(sign(CHECKPOINT, SIGNER).encode()) * 8 - 1))
def test_no_bit_can_change(bit: int) -> None:
    """A note with any one bit turned is refused."""
    data = bytearray(sign(CHECKPOINT, SIGNER).encode())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(LogTamperedError):
        verify(data.decode(errors="replace"), SIGNER.verifier)


def test_signatures_of_others_are_left_alone() -> None:
    """A witness adds its line, and the log's own signature still counts."""
    witness = new_signer("witness.example/w")
    text = verify_note(sign(CHECKPOINT, SIGNER), SIGNER.verifier)
    line = witness.sign_note(text).removeprefix(f"{text}\n")
    both = sign(CHECKPOINT, SIGNER) + line
    assert verify(both, SIGNER.verifier) == CHECKPOINT
    assert verify_note(both, witness.verifier) == text
    with pytest.raises(LogTamperedError, match="none"):
        verify(sign(CHECKPOINT, SIGNER), new_signer(ORIGIN).verifier)


def test_checkpoint_of_another_log_is_refused() -> None:
    """A key vouches for the log of its own name only."""
    other = Checkpoint("osteon.test/other", 42, b"\x05" * 32)
    with pytest.raises(LogTamperedError, match="origin"):
        verify(sign(other, SIGNER), SIGNER.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        "origin\n1\n",
        "\n1\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n",
        "origin\n01\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n",
        "origin\n-1\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n",
        "origin\n1\nBQUF\n",
        "origin\n1\nnot base64\n",
    ],
)
def test_malformed_checkpoint_is_refused(text: str) -> None:
    """Text that is not origin, size and root hash is no checkpoint."""
    with pytest.raises(LogTamperedError):
        parse(text)


def test_extension_lines_are_left_alone() -> None:
    """A checkpoint of another log may say more than we read."""
    text = "origin\n1\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\nextension\n"
    assert parse(text).size == 1


def test_key_file_is_made_once_and_kept_secret(tmp_path: Path) -> None:
    """A key file has mode 0600, gives the same key again, and is refused when open."""
    path = tmp_path / "log.key"
    first = load_signer(path, ORIGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signer(path, ORIGIN).verifier == first.verifier
    with pytest.raises(ConfigurationError, match="key of"):
        load_signer(path, "osteon.test/other")
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="0600"):
        load_signer(path, ORIGIN)


@pytest.mark.parametrize(
    "text",
    ["", "a+b", SECRET, PUBLIC.replace("c74f20a3", "c74f20a4"), PUBLIC[:-4], "a b+c74f20a3+AAAA"],
)
def test_malformed_key_is_refused(text: str) -> None:
    """A key whose parts disagree is not used."""
    with pytest.raises(ConfigurationError):
        parse_key(text)
