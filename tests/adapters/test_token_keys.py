"""Keys in a token (PKCS#11): SoftHSM makes and keeps them, and the suite never sees the secret."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.compose import open_site
from adapters.key_changes import confirm, propose_rotation, protect
from adapters.key_files import read_key_file
from adapters.key_passwords import KeyLockedError
from adapters.keys import key_path
from adapters.published import sign_bundle
from adapters.token_keys import TokenError, open_token, parse_uri, use_token_key
from audit.errors import ConfigurationError
from tests.simulators.governed_site import ADMINISTRATOR, ANSWER, APPROVER, governed_site
from tests.simulators.released_plugins import bundle

MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
)
MODULE = next((path for path in MODULES if path.exists()), None)
PIN = "481516"


@dataclass(frozen=True)
class Token:
    """A token of SoftHSM with a PIN in a file."""

    folder: Path

    def uri(self, label: str, **changes: str) -> str:
        """Return the URI of a key in it."""
        parts = {"token": "osteon", "object": label} | changes
        path = ";".join(f"{name}={value}" for name, value in parts.items())
        return f"pkcs11:{path}?module-path={MODULE}&pin-source=file:{self.folder / 'pin'}"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """A new token, where SoftHSM and python-pkcs11 are installed."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    if MODULE is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed (Debian: softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    (folder / "pin").write_text(f"{PIN}\n")
    (folder / "pin").chmod(0o600)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SOFTHSM2_CONF", str(settings))
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", "osteon", "--pin", PIN,
             "--so-pin", "11223344"], check=True, capture_output=True,
        )  # fmt: skip
        yield Token(folder)


@pytest.fixture
def label(tmp_path: Path) -> Iterator[str]:
    """A name for a key that no other test has."""
    return iter(f"k-{tmp_path.parent.name}-{tmp_path.name}-{number}" for number in range(9))


def test_a_key_is_made_in_the_token_and_signs(token: Token, label: Iterator[str]) -> None:
    """Its signature holds under the public key; the second call finds the same key."""
    uri = token.uri(next(label))
    made = use_token_key(uri)
    signature = made.sign(b"a checkpoint")
    Ed25519PublicKey.from_public_bytes(made.public()).verify(signature, b"a checkpoint")
    assert use_token_key(uri).public() == made.public()
    assert PIN not in repr(made)


def test_a_site_signs_with_keys_in_a_token(
    token: Token, label: Iterator[str], tmp_path: Path
) -> None:
    """Release and log keys rotate into the token; releases and log are verified as ever."""
    with governed_site(tmp_path) as (site, _):
        for purpose in ("release", "log"):
            made = propose_rotation(
                site, purpose, "into the token", ADMINISTRATOR, token.uri(next(label))
            )
            confirm(site, made.act_id, APPROVER)
            assert read_key_file(key_path(site.home, purpose)).form == "token"
            assert PIN not in key_path(site.home, purpose).read_text()
        with open_site(site.home, configuration=site.configuration, now=site.now) as again:
            path = tmp_path / "trial.osteon"
            path.write_bytes(bundle(ANSWER))
            digest = again.registry.add(sign_bundle(again.keys, path, again.now())).digest
            assert again.registry.verify(digest) == again.keys.release_key_id
            again.seal(force=True)
            assert again.verify_log().tree_size > 0
            with pytest.raises(ConfigurationError, match="token"):
                protect(again, "release", lambda: b"correct horse battery", ADMINISTRATOR)
            made = propose_rotation(again, "release", "out of it", ADMINISTRATOR)
            with pytest.raises(ConfigurationError, match="URI"):
                confirm(again, made.act_id, APPROVER)
            made = propose_rotation(again, "log", "on", ADMINISTRATOR, token.uri(next(label)))
            confirm(again, made.act_id, APPROVER)
            again.seal(force=True)
            assert again.verify_log().tree_size > 0


def test_a_wrong_pin_or_token_is_told(
    token: Token, label: Iterator[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused by one code, and the PIN is in no message."""
    use_token_key(token.uri(name := next(label)))
    wrong = tmp_path / "pin"
    wrong.write_text("999999\n")
    wrong.chmod(0o600)
    plain = token.uri(name).partition("&")[0]
    for uri in (
        f"{plain}&pin-source=file:{wrong}",
        token.uri(name, token="other"),
        token.uri("no-such-key"),
        token.uri(name).replace(str(MODULE), "/no/such/module.so"),
    ):
        with pytest.raises(TokenError) as caught:
            open_token(uri).sign(b"x")
        assert caught.value.code == "KEY_TOKEN"
        assert "999999" not in str(caught.value)
    for variable in ("OSTEON_PKCS11_PIN", "OSTEON_PKCS11_PIN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(KeyLockedError):
        open_token(plain)
    monkeypatch.setenv("OSTEON_PKCS11_PIN", PIN)
    assert len(open_token(plain).sign(b"x")) == 64


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "file:/a",
        "pkcs11:token=a;object=b",
        "pkcs11:token=a?module-path=/m",
        "pkcs11:token=a;object=b?module-path=/m&pin-value=1234",
        "pkcs11:token=a;object=b;colour=red?module-path=/m",
        "pkcs11:token=a;token=b;object=c?module-path=/m",
    ],
)
def test_a_malformed_uri_is_refused(uri: str) -> None:
    """Unknown or missing parts, parts that come twice, and a PIN in the URI."""
    with pytest.raises(TokenError) as caught:
        parse_uri(uri)
    assert "1234" not in str(caught.value)


def test_parts_are_decoded() -> None:
    """Percent-encoding as RFC 7512 has it."""
    found = parse_uri("pkcs11:token=my%20token;object=a%3Bb;type=private?module-path=/m")
    assert (found.token, found.label, found.module) == ("my token", "a;b", "/m")
