"""Open a cohort for one run of the harness: checked, on record, then read; closed afterwards.

1. Criteria are fixed, and the file at hand is still what was fixed.
2. No case's patient is among those that the release learned from.
3. A sealed cohort is not worn, its error budget holds one more look, and whoever asks has no part
   in making the release.
4. The opening and its audit record are written in one transaction, and are in the tree.
5. Only then is the data key unwrapped.  Plaintext stays in memory, and the key is forgotten.

There is no other way in: no command gives out the files of a sealed cohort.  An opening that
was refused is on record too.

Read next: `cohorts.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.governance.persons import Person
from adapters.validation.cohorts import KEY, SEAL, Kept, linkage_of, require, sealed_bytes
from adapters.validation.criteria import OPENING, Fixed, fixed, openings, recorded_criteria
from audit.errors import RefusalError
from audit.keys import symmetric_key
from governance.approvals import builders
from validation.cohort.cases import CohortFiles, FolderFiles
from validation.cohort.leakage import Member, members_of, require_no_leak
from validation.cohort.manifest import CohortError, Seal
from validation.cohort.seal import OpenedFiles, decode, unwrap
from validation.cohort.wear import Opening, require_unworn
from validation.criteria.spending import alpha_of_run, require_alpha

if TYPE_CHECKING:
    from adapters.compose import Site

SEALS = "cohort_seal"
OPENERS = ("physicist", "engineer", "approver", "compliance")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which run wants to open a cohort.

    Parameters
    ----------
    criteria : the file of criteria at hand; None where it is not asked to be the same.
    """

    run_id: str
    release_digest: str
    method: str
    criteria: bytes | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A cohort while it is open: its files, the criteria fixed for it, and the number of the look.

    Parameters
    ----------
    members : what the release learned from: for the choice of members (`fair_members`).
    """

    files: CohortFiles
    fixed: Fixed
    look: int
    members: tuple[Member, ...]


@contextmanager
def opened(site: Site, kept: Kept, asked: Asked, person: Person) -> Iterator[Opened]:
    """Open a cohort for a run of the harness; nothing can be read after the block.

    Raises
    ------
    CriteriaError : none are fixed, or they were changed (CRITERIA_MISSING, CRITERIA_CHANGED).
    CohortError : LEAKED_PATIENT, SEAL_WORN, SEAL_ALPHA_SPENT, SEAL_OTHER_KEY, SEAL_TAMPERED.
    RefusalError : the role may not (ROLE_NOT_PERMITTED), or the person made the release
        (BUILDER_MAY_NOT_OPEN).
    """
    try:
        require(person, OPENERS)
        held = fixed(site, asked.release_digest, kept, asked.criteria)
        members = _members(site, kept, asked)
        look = _record(site, kept, asked, held, person)
    except RefusalError as refusal:
        _refused(site, kept, asked, person, refusal)
        raise
    if kept.cohort.seal.state != "sealed":
        yield Opened(FolderFiles(kept.folder), held, look, members)
        return
    wrapped = decode((kept.folder / SEAL).read_bytes())
    if wrapped.cohort_digest != kept.digest:
        raise CohortError("expected the seal of this cohort", reasons=("SEAL_TAMPERED",))
    key = unwrap(wrapped, symmetric_key(site.home.keys / KEY))
    files = OpenedFiles(lambda entry: sealed_bytes(kept, entry), key, kept.digest)
    try:
        yield Opened(files, held, look, members)
    finally:
        files.close()


def _members(site: Site, kept: Kept, asked: Asked) -> tuple[Member, ...]:
    """Return the members of the release; CohortError where a case leaked to them."""
    manifest = json.loads(site.registry.row(asked.release_digest).manifest)
    members = members_of(manifest, linkage_of(site.home, kept.cohort.linkage_key_id))
    require_no_leak(kept.cohort, members, asked.method)
    return members


def _record(site: Site, kept: Kept, asked: Asked, held: Fixed, person: Person) -> int:
    """Write the opening and its record, in the tree, and return the number of the look."""

    def write(transaction: Transaction) -> int:
        _require_no_builder(site, transaction, kept, asked, person)
        seals = _seals(transaction, kept, person, site)
        before = openings(transaction, kept.content_digest)
        look = require_unworn(seals, before, asked.run_id)
        opening = Opening(
            asked.run_id, asked.release_digest, held.digest, kept.digest, person.account_id
        )
        is_again = any(item.run_id == asked.run_id for item in before)
        if not is_again:
            _require_alpha(transaction, seals, before, held)
            at = site.now()
            document = transaction.put_governed(
                OPENING, kept.content_digest, asdict(opening), person.account_id, at
            )
            site.journal.governed(transaction, document)
        run = (asked.run_id, asked.release_digest, held.digest)
        action = "opened-again" if is_again else "opened"
        digests = (kept.digest, kept.content_digest)
        site.journal.cohort(transaction, action, digests, person.account_id, run=run, look=look)
        return look

    look = site.database.run(write)
    site.seal()
    return look


def _seals(transaction: Transaction, kept: Kept, person: Person, site: Site) -> list[Seal]:
    """Return every seal that the cases of the cohort ever had here; this one is kept too."""
    content = asdict(kept.cohort.seal)
    at, name = site.now(), kept.content_digest
    known = [item.content for item in transaction.governed_history(SEALS, name)]
    if content not in known:
        document = transaction.put_governed(SEALS, name, content, person.account_id, at)
        site.journal.governed(transaction, document)
        known.append(content)
    return [Seal(str(c["state"]), int(c["openings"]), float(c["alpha"])) for c in known]


def _require_alpha(
    transaction: Transaction, seals: list[Seal], before: tuple[Opening, ...], held: Fixed
) -> None:
    """Return unless the looks at the plugin's releases would spend more error than was sealed."""
    looks: Counter[str] = Counter()
    spent = 0.0
    for item in before:
        criteria = recorded_criteria(transaction, item.criteria_digest)
        if criteria.plugin == held.criteria.plugin:
            looks[item.criteria_digest] += 1
            spent += alpha_of_run(criteria, looks[item.criteria_digest])
    require_alpha(seals, spent, alpha_of_run(held.criteria, looks[held.digest] + 1))


def _require_no_builder(
    site: Site, transaction: Transaction, kept: Kept, asked: Asked, person: Person
) -> None:
    """Return unless the cohort is sealed and the person built or registered the release."""
    row = site.registry.row(asked.release_digest)
    history = transaction.deployment_history(row.plugin)
    by = next((h.decided_by for h in history if h.release_digest == row.digest), "")
    made = builders(json.loads(row.manifest), by)
    if kept.cohort.seal.state == "sealed" and person.account_id in made:
        raise RefusalError(
            "expected a person who neither built nor registered the release",
            reasons=("BUILDER_MAY_NOT_OPEN",),
            advice="Let somebody run the harness who had no part in making the release.",
        )


def _refused(site: Site, kept: Kept, asked: Asked, person: Person, refusal: RefusalError) -> None:
    """Put on record that opening was refused, and why."""
    digests = (kept.digest, kept.content_digest)
    codes = [reason.split()[0] for reason in refusal.reasons] or [refusal.code]
    run = (asked.run_id, asked.release_digest, "")
    site.database.run(
        lambda t: site.journal.cohort(
            t, "refused", digests, person.account_id, run=run, refused=codes
        )
    )
    site.seal()
