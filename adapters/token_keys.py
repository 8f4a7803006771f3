"""Keys in a token: PKCS#11 (a hardware module, a card, SoftHSM), named by a URI.

    pkcs11:token=osteon;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so

``pin-source=file:PATH`` may name a file of mode 0600; ``pin-value`` is refused, because a URI
stands in files and messages.  The key must be an Ed25519 key (CKM_EDDSA); its secret never
leaves the token.  python-pkcs11 is an extra (`osteon[pkcs11]`).

Source: RFC 7512; PKCS#11 v3.0 section 2.3.14 (EdDSA), with the curve as in RFC 8410.

Read next: `key_passwords.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from adapters.key_passwords import token_pin
from audit.errors import ConfigurationError
from audit.keys import KEY_SIZE, read_secret

ED25519 = "1.3.101.112"
_KNOWN = ("token", "object", "type", "serial", "module-path", "pin-source")


class TokenError(ConfigurationError):
    """A token, its module or its key cannot be used."""

    code = "KEY_TOKEN"
    advice = "Check the PKCS#11 URI: module-path, token, object; and that the token is there."


@dataclass(frozen=True, slots=True)
class TokenUri:
    """The parts of a PKCS#11 URI that are used."""

    module: str
    token: str
    label: str
    pin_source: str = ""


class TokenKey:
    """An Ed25519 key in a token; each signature opens a session and closes it."""

    def __init__(self, uri: TokenUri, pin: str) -> None:
        self._uri, self.pin = uri, pin

    def __repr__(self) -> str:
        return f"TokenKey({self._uri.token}/{self._uri.label})"

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature that the token makes.

        Raises
        ------
        TokenError : the token does not answer.
        """
        library = _library()

        def signed(session: Any) -> bytes:
            key = session.get_key(
                object_class=library.ObjectClass.PRIVATE_KEY, label=self._uri.label
            )
            return bytes(key.sign(data, mechanism=library.Mechanism.EDDSA))

        return _in_session(self._uri, self.pin, signed)

    def public(self) -> bytes:
        """Return the 32 bytes of the public key, as the token keeps it."""
        library = _library()

        def found(session: Any) -> bytes:
            key = session.get_key(
                object_class=library.ObjectClass.PUBLIC_KEY, label=self._uri.label
            )
            return bytes(key[library.Attribute.EC_POINT])[-KEY_SIZE:]

        return _in_session(self._uri, self.pin, found)


def open_token(text: str) -> TokenKey:
    """Return the key that a URI names; asks for the PIN where no file is named."""
    uri = parse_uri(text)
    pin = read_secret(Path(uri.pin_source)) if uri.pin_source else token_pin()
    return TokenKey(uri, pin)


def use_token_key(text: str) -> TokenKey:
    """Return the key that a URI names; one that is not there is made, and never leaves the token.

    Raises
    ------
    TokenError : the token cannot make it.
    """
    library, uri, found = _library(), parse_uri(text), open_token(text)

    def make(session: Any) -> bytes:
        if list(session.get_objects({library.Attribute.LABEL: uri.label})):
            return b""
        curve = session.create_domain_parameters(
            library.KeyType.EC_EDWARDS,
            {library.Attribute.EC_PARAMS: _curve()},
            local=True,
        )
        curve.generate_keypair(
            mechanism=library.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=uri.label
        )
        return b""

    _in_session(uri, found.pin, make, writable=True)
    return found


def parse_uri(text: str) -> TokenUri:
    """Return the parts of a PKCS#11 URI.

    Raises
    ------
    TokenError : it is none, has an unknown part, or a PIN in it.
    """
    scheme, _, rest = text.strip().partition(":")
    path, _, query = rest.partition("?")
    pairs = [part.partition("=") for part in (*path.split(";"), *query.split("&")) if part]
    found = {name: unquote(value) for name, _, value in pairs}
    if "pin-value" in found:
        raise TokenError(
            "expected a URI without a PIN, found one",
            advice="Leave pin-value out: use pin-source=file:PATH or OSTEON_PKCS11_PIN_FILE.",
        )
    missing = [name for name in ("module-path", "token", "object") if not found.get(name)]
    if scheme != "pkcs11" or set(found) - set(_KNOWN) or len(found) != len(pairs) or missing:
        raise TokenError(f"expected a PKCS#11 URI with {', '.join(missing) or 'known parts'}")
    source = found.get("pin-source", "").removeprefix("file:")
    return TokenUri(found["module-path"], found["token"], found["object"], source)


def _in_session(uri: TokenUri, pin: str, work: Any, *, writable: bool = False) -> bytes:
    """Return what ``work`` makes of an open session; foreign errors become ours."""
    library = _library()
    try:
        token = library.lib(uri.module).get_token(token_label=uri.token)
        with token.open(user_pin=pin, rw=writable) as session:
            return bytes(work(session))
    except (library.PKCS11Error, RuntimeError, OSError) as error:
        raise TokenError(
            f"expected token {uri.token[:40]!r} to answer, found {type(error).__name__}"
        ) from error


def _library() -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise TokenError(
            "expected python-pkcs11, found it not installed",
            advice="Install it: `pip install osteon[pkcs11]`.",
        ) from error
    return pkcs11


def _curve() -> bytes:
    from pkcs11.util.ec import encode_named_curve_parameters

    return bytes(encode_named_curve_parameters(ED25519))
