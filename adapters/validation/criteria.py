"""Fix acceptance criteria: signed, recorded before the first result, and never changed after.

What was fixed for a release and a cohort is a governed document, sealed by the site's key; its
audit record is in the tree before the command returns.  A cohort counts by its content, so that
sealing it anew does not let criteria in that come after a look.

Source: REGULATORY.md AIA-9.8 (log index of the criteria < index of the first result).

Read next: `opening.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.database import Transaction
from adapters.governance.persons import Person
from adapters.validation.cohorts import Kept, require
from audit import canonical
from governance.release import digest_of
from governance.sealed import open_sealed, seal, sealed_at
from validation.cohort.strata import with_mandatory
from validation.cohort.wear import Opening
from validation.criteria.document import Criteria, CriteriaError
from validation.criteria.reading import digest_of_document, read_criteria
from validation.criteria.spending import alpha_planned

if TYPE_CHECKING:
    from adapters.compose import Site

KIND, OPENING = "acceptance_criteria", "cohort_opening"
BY_DIGEST, RUN = "acceptance-criteria", "validation-run"
"""Kinds by which a run finds criteria, and tells that it began."""
FIXERS = ("physicist", "engineer", "approver", "compliance")


@dataclass(frozen=True, slots=True)
class Fixed:
    """Criteria that were fixed for a release and a cohort.

    Parameters
    ----------
    document : the JSON as it was fixed.
    """

    digest: str
    recorded_at: datetime
    criteria: Criteria
    document: bytes


def fix(site: Site, raw: bytes, release_digest: str, kept: Kept, person: Person) -> Fixed:
    """Fix criteria for a release and a cohort; the same again changes nothing.

    Raises
    ------
    RefusalError : the role may not.
    CriteriaError : malformed (CRITERIA_MALFORMED), of another plugin (CRITERIA_OTHER_PLUGIN),
        a stratum named that is nowhere defined, more error than the cohort's seal allows
        (CRITERIA_ALPHA), or a look was taken (CRITERIA_LATE).
    """
    require(person, FIXERS)
    criteria, row = read_criteria(raw), site.registry.row(release_digest)
    if criteria.plugin != row.plugin:
        raise _refused("CRITERIA_OTHER_PLUGIN", f"criteria of {row.plugin}")
    known = {rule.name for rule in with_mandatory((*criteria.strata, *kept.cohort.strata))}
    asked = {item.stratum for item in criteria.criteria} - {"all", "every"}
    if asked - known:
        raise _refused("CRITERIA_STRATUM_UNKNOWN", "strata that criteria or cohort define")
    budget = kept.cohort.seal
    if budget.state == "sealed" and alpha_planned(criteria) > budget.alpha + 1e-9:
        raise _refused(
            "CRITERIA_ALPHA", f"looks that spend at most the {budget.alpha:g} of the cohort's seal"
        )
    digest = digest_of_document(raw)

    def write(transaction: Transaction) -> None:
        name = name_of(release_digest, kept)
        before = transaction.governed(KIND, name)
        if before is not None and before.content["criteria_digest"] == digest:
            return
        looks = openings(transaction, kept.content_digest)
        if any(item.release_digest == release_digest for item in looks) or has_run(
            transaction, release_digest, kept
        ):
            raise _refused("CRITERIA_LATE", "criteria fixed before the first result")
        content = seal(
            {
                "criteria": json.loads(raw),
                "criteria_digest": digest,
                "release_digest": release_digest,
                "cohort_content": kept.content_digest,
                "fixed_by": person.account_id,
            },
            site.keys.sealer,
            site.now(),
        )
        at = site.now()
        document = transaction.put_governed(KIND, name, content, person.account_id, at)
        site.journal.governed(transaction, document)
        plain = transaction.put_governed(BY_DIGEST, digest, json.loads(raw), person.account_id, at)
        site.journal.governed(transaction, plain)

    site.database.run(write)
    site.seal()
    return fixed(site, release_digest, kept)


def fixed(site: Site, release_digest: str, kept: Kept, raw: bytes | None = None) -> Fixed:
    """Return the criteria that are fixed for a release and a cohort.

    Parameters
    ----------
    raw : a file that claims to be them; None asks for none.

    Raises
    ------
    CriteriaError : none are fixed (CRITERIA_MISSING), or the file or the kept document was
        changed after (CRITERIA_CHANGED).
    SignatureError : the kept document does not carry the site's signature.
    """
    with site.database.reading() as transaction:
        document = transaction.governed(KIND, name_of(release_digest, kept))
    if document is None:
        raise _refused("CRITERIA_MISSING", "criteria fixed for the release and the cohort")
    content: dict[str, Any] = open_sealed(document.content, site.registry.trust())
    whole = canonical.encode(content["criteria"])
    digest = digest_of(whole)
    is_bound = content["release_digest"] == release_digest
    if digest != content["criteria_digest"] or not is_bound:
        raise _refused("CRITERIA_CHANGED", "the criteria that were fixed")
    if raw is not None and digest_of_document(raw) != digest:
        raise _refused("CRITERIA_CHANGED", "the criteria that were fixed")
    at = datetime.fromisoformat(sealed_at(document.content))
    return Fixed(digest, at, read_criteria(whole), whole)


def recorded_criteria(transaction: Transaction, digest: str) -> Criteria:
    """Return criteria that were fixed, by their digest.

    Raises
    ------
    CriteriaError : none of that digest are on record (CRITERIA_MISSING).
    """
    document = transaction.governed(BY_DIGEST, digest)
    if document is None:
        raise _refused("CRITERIA_MISSING", "the criteria of an earlier look on record")
    return read_criteria(canonical.encode(document.content))


def openings(transaction: Transaction, content_digest: str) -> tuple[Opening, ...]:
    """Return every look at the cases of a cohort, oldest first."""
    return tuple(
        Opening(**{name: str(item.content[name]) for name in Opening.__dataclass_fields__})
        for item in transaction.governed_history(OPENING, content_digest)
    )


def has_run(transaction: Transaction, release_digest: str, kept: Kept) -> bool:
    """Return whether a run of the release on the cohort is on record."""
    same = {kept.digest, kept.content_digest}
    plans = [item.content.get("plan", item.content) for item in transaction.governed_all(RUN)]
    return any(
        plan["release_digest"] == release_digest and plan["cohort_digest"] in same for plan in plans
    )


def name_of(release_digest: str, kept: Kept) -> str:
    """Return the name under which criteria of a release and a cohort are kept."""
    return f"{release_digest}:{kept.content_digest}"


def _refused(code: str, expected: str) -> CriteriaError:
    advice = (
        "Criteria stay as they were fixed; other ones need patients that no run has looked at."
        if code in ("CRITERIA_CHANGED", "CRITERIA_LATE")
        else None
    )
    return CriteriaError(f"expected {expected}", reasons=(code,), advice=advice)
