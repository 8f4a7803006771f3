"""What a drill plays with: a throw-away site, two releases of one plugin, synthetic patients.

Nothing here touches the site of the hospital: the home is made for the drill and the keys
are its own.  The site is in clinical mode, so that every gate is passed; for that the
releases state evidence of real patients, which a drill has not: no other site trusts them.

Read next: `drill_papers.py` (the documents), `drill.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adapters.compose import Site
from adapters.config import Configuration
from adapters.config_sections import DatabaseSection
from adapters.governance.drill_measure import CARD, COARSE, criteria
from adapters.governance.drill_papers import APPROVER, ENGINEER, PHYSICIST
from adapters.published import sign_bundle
from adapters.release_builder import build_release
from adapters.rt.write_phantom import PhantomStudy, encode_limb
from governance.accounts import Account
from governance.canary import StudyKey, takes
from governance.ports import Deployment
from governance.release import build, open_release
from validation.phantoms.limb import LimbPhantom, limb

PLUGIN = "example"
NO_PASSWORD = "none: an account of a drill cannot sign in"


def configuration(
    root: Path, minimum_pairs: int, database: DatabaseSection | None = None
) -> Configuration:
    """Return the configuration of the throw-away site: embedded PACS, FHIR folder, one worker.

    Parameters
    ----------
    database : three empty databases; by default SQLite files.
    """
    return Configuration.model_validate(
        {
            "site": {"name": "drill", "node": "drill-a", "mode": "clinical"},
            "database": database or DatabaseSection(),
            "trigger": {"quiet_time_s": 0.2, "poll_interval_s": 0.1},
            "engine": {"polling_interval_s": 0.05},
            "limits": {"free_space_mb": 16},
            "governance": {"minimum_pairs": minimum_pairs, "agreement_floor": 0.8},
            "pacs": [{"name": "pacs", "kind": "folder", "path": str(root / "pacs")}],
            "targets": [
                {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
                {"name": "fhir", "kind": "fhir-folder", "path": str(root / "fhir")},
            ],
        }
    )


def add_people(site: Site) -> None:
    """Add the persons of the drill; none of them can sign in."""
    with site.database.transaction() as transaction:
        for person in (ENGINEER, APPROVER, PHYSICIST):
            account = Account(person.account_id, person.role, NO_PASSWORD, False, site.now())
            transaction.put_account(account)
            site.journal.account(transaction, "add", account, "service:drill")


def add_release(site: Site, version: str, threshold_hu: float) -> str:
    """Make a release of the example plugin with a threshold, sign it, add it; return its digest.

    Two thresholds are two releases whose contours differ a little.
    """
    with TemporaryDirectory() as folder:
        installed = open_release(build_release(PLUGIN, Path(folder)))
        declaration: dict[str, Any] = dict(installed.manifest)
        declaration |= {
            "version": version,
            "parameters": {"threshold_hu": threshold_hu},
            "evidence": "real",
        }
        members = {name: installed.member(name) for name in installed.members}
        members |= {"criteria.json": criteria(), "card.md": members["card.md"] + CARD.encode()}
        path = Path(folder) / f"{PLUGIN}-{version}.osteon"
        path.write_bytes(build(declaration, members))
        sign_bundle(site.keys, path, site.now())
        return site.registry.add(path, person=ENGINEER.account_id).digest


@dataclass(frozen=True, slots=True)
class Patient:
    """A synthetic patient with one study."""

    patient_id: str
    study_instance_uid: str
    written: PhantomStudy


class Patients:
    """Synthetic patients, one after another; the arrays are shared, the names are not."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._phantom: LimbPhantom = limb(COARSE)
        self._numbers = iter(range(1, 1_000_000))

    def next(self) -> Patient:
        """Return the next patient, enrolled, so that its pseudonym is known before it comes."""
        number = next(self._numbers)
        patient_id = f"DRILL-{number:06d}"
        written = PhantomStudy(name=f"drill-{number}", patient_id=patient_id)
        study = written.uid(self._phantom, "study")
        self._site.journal.enrol(study, patient_id)
        return Patient(patient_id, study, written)

    def for_canary(self, canary: Deployment, inside: int, outside: int) -> Iterator[Patient]:
        """Yield so many patients whom the canary takes, and so many whom it does not."""
        wanted = {True: inside, False: outside}
        while any(wanted.values()):
            patient = self.next()
            key = StudyKey(self._site.pseudonyms.subject(patient.study_instance_uid))
            side = takes(canary, key)
            if wanted[side]:
                wanted[side] -= 1
                yield patient

    def send(self, patient: Patient) -> None:
        """Store the patient's study in the archive."""
        files = tuple(encode_limb(self._phantom, patient.written).values())
        self._site.archives["pacs"].store(patient.study_instance_uid, files)
