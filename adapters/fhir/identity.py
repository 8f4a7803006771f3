"""Identifiers of patient and study that a bundle quotes and never makes.

They come from the DICOM headers of the reference series (PS3.3 C.7.1.1, C.7.2.1) at the
moment of writing; they stay out of logs, records and file names.

Read next: `bundle.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from audit.errors import MissingAttributeError

_OID = re.compile(r"^[0-2](\.(0|[1-9][0-9]*))+$")
_SYSTEM = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class FhirIdentity:
    """Name whom and which study a bundle is about, by the hospital's own identifiers.

    Parameters
    ----------
    patient_id : PatientID (0010,0020), empty when the headers carry none.
    patient_id_issuer : IssuerOfPatientID (0010,0021), an OID, a URI or a local name.
    accession_number : AccessionNumber (0008,0050), may be empty.
    study_instance_uid : StudyInstanceUID (0020,000D).

    Raises
    ------
    MissingAttributeError : there is no Study Instance UID.
    """

    patient_id: str
    patient_id_issuer: str
    accession_number: str
    study_instance_uid: str

    def __post_init__(self) -> None:
        if not self.study_instance_uid:
            raise MissingAttributeError("expected a Study Instance UID, found none")

    def __repr__(self) -> str:
        """Return a text without identifiers, because texts end up in logs."""
        return "FhirIdentity(...)"

    def patient_system(self) -> str:
        """Return the issuer as a URI, the namespace of the patient's identifier.

        An OID becomes ``urn:oid:``, a URI stays, a local name goes under
        ``urn:osteon:issuer:``, and no issuer at all gives ``urn:osteon:issuer:unknown``.
        """
        issuer = self.patient_id_issuer.strip()
        if _OID.match(issuer):
            return f"urn:oid:{issuer}"
        if _SYSTEM.match(issuer):
            return issuer
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", issuer).strip("-")
        return f"urn:osteon:issuer:{slug or 'unknown'}"
