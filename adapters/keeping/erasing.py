"""Erasure: nothing at this site leads from a patient to the pseudonym any more.

1. An administrator proposes, by patient id or by pseudonym; the order lies in the vault.
2. An approver, another person, approves.  A legal hold, evidence of an incident, or work that
   is still going on refuses it.
3. Identifiers go from the site database, in one transaction with the record of the erasure,
   which says who and not whose; then from the work engine and the outbox.
4. The salts go last, and with them the order, which knows the runs: what was cut short goes on.
5. What was deleted is taken out of the database files too.

The log does not change, so every proof holds.  What an archive keeps is the archive's: an object
of ours there names its run, and from images the id of a run can be computed again.  Who erases
a patient erases those, too; `Erased.objects` lists them.

Source: GDPR Art. 17; REGULATORY.md GDPR-32.

Read next: `adapters/database/vault.py`, `adapters/database/erasing.py`.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.database import Transaction
from adapters.engine.serving import settings_of
from adapters.governance.persons import Person
from audit.errors import NotFoundError, RefusalError
from governance.holds import KIND as HOLD
from governance.holds import SNAPSHOT, decode, refuse_purge
from governance.retention import PROPOSERS, require_two

if TYPE_CHECKING:
    from adapters.compose import Site

_STUDY, _PATIENT = "study:", "patient:"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took.

    Parameters
    ----------
    salts : salts and ways back in the vault.
    rows, files : of the site database; folders of the outbox.
    objects : SOP Instance UIDs of objects of ours that archives may still hold.
    is_scrubbed : False while a reader or the engine kept old bytes in a file.
    """

    salts: int
    rows: int
    files: int
    objects: tuple[str, ...]
    event_id: str
    is_scrubbed: bool


def propose(
    site: Site, person: Person, *, patient_id: str = "", issuer: str = "", pseudonym: str = ""
) -> str:
    """Keep an order to erase a patient, which another person has to approve; return its id.

    Raises
    ------
    NotFoundError : nobody is known under that id or pseudonym.
    RefusalError : another role, a hold, evidence, or open runs.
    """
    if person.role not in PROPOSERS:
        raise RefusalError(
            f"expected {PROPOSERS[0]} to propose an erasure, found {person.role}",
            reasons=("ROLE_NOT_PERMITTED",),
        )
    patient = f"{_PATIENT}{issuer}|{patient_id}"
    if pseudonym:
        patient = site.vault.reveal(pseudonym)
        if not patient.startswith(_PATIENT):
            raise NotFoundError("expected the pseudonym of a patient, found another")
    found, studies = site.vault.known(patient)
    with site.database.transaction() as transaction:
        _require_free(transaction, found, studies)
        site.journal.access(transaction, "erasure", "propose", person.account_id)
    order_id = f"erase-{site.now():%Y%m%d}-{secrets.token_hex(3)}"
    site.vault.order_erasure(order_id, patient, person.account_id, person.role)
    site.seal()
    return order_id


def approve(site: Site, order_id: str, person: Person) -> Erased:
    """Carry out an order with the approval of a second person.

    Raises
    ------
    NotFoundError : there is no such order, or it was carried out.
    RefusalError : one person alone, another role, a hold, evidence, or open runs.
    """
    patient, proposer, role = site.vault.erasure_order(order_id)
    require_two((proposer, role), (person.account_id, person.role))
    pseudonym, subjects = site.vault.known(patient)
    studies = [item.removeprefix(_STUDY) for item in subjects]

    with site.database.reading() as transaction:
        _require_free(transaction, pseudonym, subjects)
        present = [run_id for run_id, _ in transaction.runs_of_studies(studies)]
    runs = site.vault.begin_erasure(order_id, present)
    files = sum((site.home.outbox / run_id).exists() for run_id in runs)

    def write(transaction: Transaction) -> tuple[tuple[str, ...], int, str]:
        _require_free(transaction, pseudonym, subjects)
        objects = tuple(
            item.sop_instance_uid
            for run_id in runs
            for item in transaction.documents(run_id)
            if item.sop_instance_uid
        )
        rows = transaction.erase_identifiers(studies, runs) + transaction.erase_reasons(pseudonym)
        body = {
            "subjects": len(subjects) + 1,
            "rows": rows,
            "files": files,
            "decided_by": proposer,
            "approved_by": person.account_id,
        }
        return objects, rows, site.journal.erasure(transaction, body, person.account_id)

    objects, rows, event_id = site.database.run(write)
    for run_id in runs:
        _remove_files(site, run_id)
    is_scrubbed = _forget_work(site, runs)
    salts = site.vault.erase(patient)
    site.seal(force=True)
    is_scrubbed = site.database.scrub() and is_scrubbed
    return Erased(salts, rows, files, objects, event_id, is_scrubbed)


def _require_free(transaction: Transaction, pseudonym: str, subjects: Iterable[str]) -> None:
    """Return when nothing stands in the way of an erasure; RefusalError names what does."""
    studies = [item.removeprefix(_STUDY) for item in subjects]
    runs = transaction.runs_of_studies(studies)
    refuse_purge(transaction, run_ids=[run_id for run_id, _ in runs], subjects=[pseudonym])
    if any(is_open for _, is_open in runs):
        raise RefusalError(
            "expected every run of the patient closed, found one open",
            reasons=("RUN_OPEN",),
            advice="Wait for it, or discard it: `osteon runs discard`.",
        )
    known = {run_id for run_id, _ in runs}
    for document in transaction.governed_all(HOLD):
        hold = decode(document.content)
        concerned = pseudonym in hold.subjects or known & set(hold.run_ids)
        if concerned and transaction.governed(SNAPSHOT, hold.incident_id) is not None:
            raise RefusalError(
                f"the evidence of {hold.incident_id} holds the patient's input",
                reasons=("EVIDENCE_KEPT",),
                advice="Evidence of an incident outlasts its hold (GDPR Art. 17(3)(e)).",
            )


def _remove_files(site: Site, run_id: str) -> None:
    for folder in (site.home.outbox / run_id, site.home.staging / run_id):
        if folder.is_dir():
            shutil.rmtree(folder)


def _forget_work(site: Site, run_ids: tuple[str, ...]) -> bool:
    """Delete the closed work of runs from the engine's database; True when no bytes are left."""
    from dbos import DBOSClient

    url = settings_of(site).url
    file = url.removeprefix("sqlite:///") if url.startswith("sqlite") else ""
    if file and not Path(file).exists():
        return True
    client = DBOSClient(system_database_url=url)
    try:
        for run_id in run_ids:
            found = client.list_workflows(
                workflow_id_prefix=run_id, load_input=False, load_output=False
            )
            client.delete_workflows([item.workflow_id for item in found])
    finally:
        client.destroy()
    return _compact(file) if file else True


def _compact(file: str) -> bool:
    """Write a SQLite file anew without what was deleted; False while somebody uses it."""
    try:
        with sqlite3.connect(file, timeout=10, isolation_level=None) as connection:
            connection.execute("VACUUM")
            row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()
    except sqlite3.OperationalError:
        return False
    return int(row[0]) == 0
