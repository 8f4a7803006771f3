"""Where a case lies along each dimension that an item may be split by.

    scanner       manufacturer, model and station (a digest of its name) of the reference image
    site          the archive that the study lies in; several hospitals may share one installation
    age_band, sex, tumour_site   what reading told of the patient, as the record has it
    structure     of an assessment (`reading.py`)

A fact that nothing told is `NOT_KNOWN`, a stratum like others.

Read next: `governance/monitoring/strata.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.kinds import NOT_EVALUATED
from governance.monitoring.plan import AGE_BAND, SCANNER, SEX, SITE, TUMOUR_SITE
from governance.monitoring.strata import NOT_KNOWN

_REFERENCE = ("ct", "mr", "image")
_SCANNER = ("manufacturer", "model", "station")
_SUBJECT = {AGE_BAND: "age_band", SEX: "sex", TUMOUR_SITE: "site_code"}


def place(pacs: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the stratum of a run along each dimension, from the archive and what was read.

    Parameters
    ----------
    facts : of `RunRow`: acquisition by role, and the subject without identity.
    """
    subject = facts.get("subject", {})
    found = {name: _word(subject.get(key)) for name, key in _SUBJECT.items()}
    return {**found, SITE: _word(pacs), SCANNER: _scanner(facts.get("acquisition", {}))}


def _scanner(acquisition: Mapping[str, Any]) -> str:
    roles = [role for role in _REFERENCE if role in acquisition] or sorted(acquisition)
    stated = acquisition[roles[0]] if roles else {}
    return " ".join(str(stated[key]) for key in _SCANNER if stated.get(key)) or NOT_KNOWN


def _word(value: Any) -> str:
    return str(value) if value and value != NOT_EVALUATED else NOT_KNOWN
