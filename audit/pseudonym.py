"""Pseudonyms: names in records that only the vault can turn back.

A pseudonym is HMAC-SHA256 under the site's key and the salt of whom it concerns.  Each
study has its own salt (its UIDs are known before its patient is), each patient too;
`Pseudonyms.enrol` says whose study it is.  Deleting the salts makes the pseudonyms
impossible to link again, and leaves every hash of the log as it is (GDPR Art. 17).

Read next: `record.py`.
"""

from __future__ import annotations

import hashlib
import hmac

from audit.kinds import NOT_EVALUATED
from audit.ports import Vault

AGE_BANDS = ((0, "0-9"), (10, "10-17"), (18, "18-39"), (40, "40-64"), (65, "65+"))
"""Lower bound in years and name.  Source: REGULATORY.md AIA-9.9 (a stratum under 18) and
the worked record of section 3 (10-17); the rest is as coarse as drift strata allow."""


def short(uid: str) -> str:
    """Return the first 12 hexadecimal digits of SHA-256: names a UID in messages."""
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


def age_band(age_years: float | None) -> str:
    """Return the band of an age in years, ``not-evaluated`` when it is unknown or absurd."""
    if age_years is None or not 0 <= age_years < 150:
        return NOT_EVALUATED
    return [name for lower, name in AGE_BANDS if age_years >= lower][-1]


class Pseudonyms:
    """Makes pseudonyms under the key of a site.

    Parameters
    ----------
    key : 32 secret bytes (`audit.keys.symmetric_key`).
    vault : salts, and the only way back.
    """

    def __init__(self, key: bytes, vault: Vault) -> None:
        self._key = key
        self._vault = vault

    def enrol(self, study_instance_uid: str, patient_id: str, issuer: str = "") -> str:
        """Note whose study it is and return the patient's pseudonym."""
        patient = _patient(patient_id, issuer)
        self._vault.link(_study(study_instance_uid), patient)
        return self._of_patient(patient)

    def subject(self, study_instance_uid: str) -> str:
        """Return the pseudonym of the study's patient; ``not-evaluated`` before `enrol`."""
        patient = self._vault.patient_of(_study(study_instance_uid))
        return NOT_EVALUATED if patient is None else self._of_patient(patient)

    def reviewer(self, account_id: str) -> str:
        """Return the pseudonym under which a person's assessments stand."""
        subject = f"person:{account_id}"
        digest = self._hmac(b"osteon.person/1", subject, account_id)
        pseudonym = f"reviewer:{digest.hex()[:24]}"
        self._vault.remember(subject, pseudonym, account_id)
        return pseudonym

    def studies_with(self, study_instance_uid: str) -> tuple[str, ...]:
        """Return every study of the patient of a study, that one first."""
        study = _study(study_instance_uid)
        patient = self._vault.patient_of(study)
        linked = self._vault.studies_of(patient) if patient else ()
        others = sorted(name for name in linked if name != study)
        return tuple(name.removeprefix("study:") for name in (study, *others))

    def patient(self, patient_id: str, issuer: str = "") -> str:
        """Return the pseudonym of a patient, whoever's study it is about."""
        return self._of_patient(_patient(patient_id, issuer))

    def uid(self, study_instance_uid: str, uid: str) -> str:
        """Return a UID's pseudonym: 2.25 and 128 bits of the HMAC (PS3.5 B.2)."""
        subject = _study(study_instance_uid)
        digest = self._hmac(b"osteon.uid/1", subject, uid)
        pseudonym = f"2.25.{int.from_bytes(digest[:16], 'big')}"
        self._vault.remember(subject, pseudonym, uid)
        return pseudonym

    def reference(self, study_instance_uid: str, text: str) -> str:
        """Return the pseudonym of a text about a study's patient, such as where a consent lies."""
        subject = _study(study_instance_uid)
        pseudonym = f"hmac:v1:{self._hmac(b'osteon.reference/1', subject, text).hex()[:32]}"
        self._vault.remember(subject, pseudonym, text)
        return pseudonym

    def reveal(self, pseudonym: str) -> str:
        """Return the UID or ``patient:issuer|id`` behind a pseudonym.

        The caller records the access.

        Raises
        ------
        NotFoundError : it is unknown, or its patient was erased.
        """
        return self._vault.reveal(pseudonym)

    def erase(self, patient_id: str, issuer: str = "") -> int:
        """Make every pseudonym of a patient impossible to link; return what was deleted."""
        return self._vault.erase(_patient(patient_id, issuer))

    def _of_patient(self, patient: str) -> str:
        pseudonym = f"hmac:v1:{self._hmac(b'osteon.patient/1', patient, patient).hex()[:32]}"
        self._vault.remember(patient, pseudonym, patient)
        return pseudonym

    def _hmac(self, purpose: bytes, subject: str, value: str) -> bytes:
        salt = self._vault.salt(subject)
        return hmac.digest(self._key, purpose + b"\0" + salt + value.encode(), "sha256")


def _study(study_instance_uid: str) -> str:
    return f"study:{study_instance_uid}"


def _patient(patient_id: str, issuer: str) -> str:
    return f"patient:{issuer}|{patient_id}"
