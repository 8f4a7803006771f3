"""Link patients without naming them: a keyed pseudonym, the same for one key and patient.

    pseudonym = "p-" || hex(HMAC-SHA-256(key, "osteon.cohort.patient" || 0x00 || id))[0:32]

The key is a secret of the site, so that ids cannot be tried out against a manifest.  A public
data set whose ids are published gets a key that anybody can make from its name; it protects
nothing, keeps ids out of records, and lets another site make the same cohort digest.

Source: RFC 2104; Regulation (EU) 2016/679 Art. 4(5).

Read next: `leakage.py`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

_PURPOSE = b"osteon.cohort.patient\x00"
_PUBLIC = b"osteon.cohort.public-data\x00"
SECRET_SIZE = 32


@dataclass(frozen=True, slots=True)
class Linkage:
    """A key that makes pseudonyms of patients; never printed.

    Parameters
    ----------
    key_id : says which key it was, and nothing about the key.
    """

    key: bytes
    key_id: str

    def __post_init__(self) -> None:
        if len(self.key) != SECRET_SIZE:
            raise ValueError(f"expected a key of {SECRET_SIZE} bytes, found {len(self.key)}")

    def __repr__(self) -> str:
        return f"Linkage({self.key_id})"

    def pseudonym(self, patient_id: str) -> str:
        """Return the pseudonym of a patient: the same for the same id, whoever spells it.

        Spaces around the id do not count (PS3.5: padding of LO is not significant).
        """
        text = patient_id.strip().encode()
        return f"p-{hmac.new(self.key, _PURPOSE + text, hashlib.sha256).hexdigest()[:32]}"


def secret_linkage(key: bytes) -> Linkage:
    """Return the linkage of a site's secret key."""
    known = hmac.new(key, b"osteon.cohort.key-id", hashlib.sha256).hexdigest()[:12]
    return Linkage(key, f"secret-{known}")


def public_linkage(data_set: str) -> Linkage:
    """Return the linkage of a public data set, the same everywhere.

    Parameters
    ----------
    data_set : its published name, e.g. a DOI.
    """
    return Linkage(hashlib.sha256(_PUBLIC + data_set.encode()).digest(), f"public:{data_set}")
