"""The signature of a release is asked for again at every step towards use, and at every run.

`SignatureGate` objects in every mode: a release whose key was revoked, or was rotated out before
the release came here, is registered no more, activated no more and loaded no more.

Read next: `signing.py` (whose signature counts), KEYS.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from audit.errors import SignatureError
from governance.gates import Objection, Passage
from governance.ports import GovernedStore
from governance.signing import TrustedKey, verify_signature

NEEDED = ("validated", "approved", "shadow", "canary", "active")


@dataclass(frozen=True, slots=True)
class SignatureGate:
    """Objects to a passage towards use of a release that no counting key signed.

    Parameters
    ----------
    objections : of a release digest, as `signature_objections` finds them.
    """

    objections: Callable[[str], tuple[Objection, ...]]

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return why the signature does not permit the passage."""
        del documents
        return self.objections(passage.release_digest) if passage.after in NEEDED else ()


def require_signature(
    signatures: Iterable[bytes], release_digest: str, trust: tuple[TrustedKey, ...]
) -> TrustedKey:
    """Return the first key whose signature of a release counts.

    Raises
    ------
    SignatureError : none counts; it says why the last one does not.
    """
    failure: SignatureError | None = None
    for item in signatures:
        try:
            return verify_signature(item, release_digest, trust)
        except SignatureError as error:
            failure = error
    raise failure or SignatureError(f"expected a signature on release {release_digest}, found none")


def signature_objections(
    signatures: Iterable[bytes], release_digest: str, trust: tuple[TrustedKey, ...]
) -> tuple[Objection, ...]:
    """Return why no signature of a release counts; none where one does."""
    try:
        require_signature(signatures, release_digest, trust)
    except SignatureError as error:
        return (Objection(error.code, str(error), error.advice),)
    return ()
