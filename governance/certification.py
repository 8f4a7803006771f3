"""Where a certificate is asked for: at a change of state, before a load, at run time.

`CertificateGate` objects to a passage; `Standing` is what a certificate says of a release
at a moment, and `clear` turns it into reasons to refuse a case, or marks upon it.

Read next: `deployment.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.certificate import Certificate, decode, evidence_objections, objections
from governance.commissioning import Commissioned, bars
from governance.gates import Objection, Passage
from governance.ports import GovernedStore
from governance.signing import TrustedKey
from governance.strata import CaseFacts, uncovered

STATE = "certificate_state"
"""Governed document by certificate id: ``state`` suspended or valid, and the ``reason``."""
_NEEDED = ("validated", "approved", "shadow", "canary", "active")
_REAL = ("canary", "active")
RUNTIME = "RUNTIME_DIFFERS"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a release's certificate now.

    Parameters
    ----------
    objections : why the release may not run on it; none when it may.
    certificate : what it says, where it holds.
    barred : what stands in the way in every mode: the release was stopped or suspended.
    commissioned : how the release stands at the site that asks; None where nobody looked.
    """

    objections: tuple[Objection, ...]
    certificate: Certificate | None = None
    barred: tuple[Objection, ...] = ()
    commissioned: Commissioned | None = None

    @property
    def holds(self) -> bool:
        """Return whether nothing is against running on it."""
        return not self.objections and not self.barred


@dataclass(frozen=True, slots=True)
class Office:
    """What a certificate is judged with at a site.

    Parameters
    ----------
    attached : the certificate attached to a release digest; None where there is none.
    trust : the keys that count now.
    """

    attached: Callable[[str], bytes | None]
    trust: Callable[[], tuple[TrustedKey, ...]]

    def standing(
        self,
        release_digest: str,
        manifest: Mapping[str, Any],
        mode: str,
        documents: GovernedStore,
        now: datetime,
    ) -> Standing:
        """Return whether the release may run on its certificate in a mode now."""
        raw = self.attached(release_digest)
        found = objections(raw, release_digest, self.trust(), now, suspended(documents))
        found += evidence_objections(manifest, mode)
        if found or raw is None:
            return Standing(found)
        return Standing((), decode(raw)[0])


@dataclass(frozen=True, slots=True)
class CertificateGate:
    """Objects to a passage towards use without a certificate that holds; fulfils `Gate`.

    The waiver of research mode passes: it is the other way in.
    """

    office: Office

    def __call__(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Return why the certificate does not permit the passage."""
        if passage.after not in _NEEDED or on_waiver(passage):
            return ()
        mode = passage.mode if passage.after in _REAL else "research"
        return self.office.standing(
            passage.release_digest, passage.manifest, mode, documents, passage.decided_at
        ).objections


def on_waiver(passage: Passage) -> bool:
    """Return whether a passage rests on a waiver that is in force; never in clinical mode."""
    expires_at = passage.evidence.get("expires_at")
    if passage.mode != "research" or expires_at is None or "certificate" in passage.evidence:
        return False
    return passage.decided_at < datetime.fromisoformat(expires_at)


def suspended(documents: GovernedStore) -> tuple[str, ...]:
    """Return the ids of the certificates that are suspended at this site."""
    return tuple(
        item.name for item in documents.governed_all(STATE) if item.content["state"] == "suspended"
    )


def clear(standing: Standing, mode: str, facts: CaseFacts) -> tuple[tuple[str, ...], bool]:
    """Return what certificate and commissioning say against a case, and whether it is refused.

    In clinical mode the case is refused; in every other mode it is marked.
    """
    reasons = [item.code for item in standing.objections if mode == "clinical"]
    if standing.commissioned is not None:
        reasons += bars(standing.commissioned, facts)
    if standing.certificate is not None:
        reasons += uncovered(standing.certificate.strata, facts)
    return tuple(reasons), bool(reasons) and mode == "clinical"


def runtime_differences(certified: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of the runtime environment differs from the certified one, as reasons.

    Only what the certificate states is compared; of a processor its class alone: the widest
    instruction set, by which numerical libraries choose their kernels.
    """
    return tuple(
        f"{RUNTIME} {key}"
        for key, value in sorted(certified.items())
        if _class(key, value) != _class(key, found.get(key, ""))
    )


def runtime_of(facts: Mapping[str, str], keys: Iterable[str] = ()) -> dict[str, str]:
    """Return of a worker's runtime facts what a certificate binds results to."""
    wanted = tuple(keys) or ("python", "machine", "processor", "numpy", "scipy", "torch", "threads",
                             "flags")  # fmt: skip
    return {key: facts[key] for key in wanted if key in facts}


def _class(key: str, value: str) -> str:
    return value.rpartition(";")[2].strip() if key == "processor" else value
