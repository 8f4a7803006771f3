"""Which releases run a study at this site now: the rules of `governance.canary` over the database.

Read next: `governance/canary.py`, `../engine/feed.py`, which asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.database import Transaction
from adapters.database.journal import SiteJournal
from adapters.pacs import InstanceReference, Pacs
from adapters.registry import ReleaseRegistry
from adapters.rt.read_part10 import read_identity
from audit.kinds import NOT_EVALUATED
from audit.pseudonym import Pseudonyms
from governance.canary import COURSE_STATES, Plan, StudyKey, assign, course_of
from governance.deployment import is_authorised
from governance.ports import Deployment
from governance.stops import STOPPED, stop_of
from plugins.host.facts import StudyFacts


@dataclass(frozen=True, slots=True)
class Rota:
    """Plans for the studies of one site.

    Parameters
    ----------
    course : how long after a result a patient counts as in course; zero switches it off.
    """

    registry: ReleaseRegistry
    pseudonyms: Pseudonyms
    journal: SiteJournal
    course: timedelta
    now: Callable[[], datetime]

    def plans(self, transaction: Transaction, facts: StudyFacts) -> Mapping[str, Plan]:
        """Return by plugin what runs a study, in one state of the database."""
        by_plugin: dict[str, list[Deployment]] = {}
        for item in transaction.deployments():
            if item.site == self.registry.site:
                by_plugin.setdefault(item.plugin, []).append(item)
        return {
            plugin: self._plan(transaction, plugin, items, facts)
            for plugin, items in sorted(by_plugin.items())
        }

    def know_patient(self, pacs: Pacs, facts: StudyFacts) -> None:
        """Enrol a study's patient where it matters who it is: one header is read.

        It does where a patient could be in course on a release, or a canary takes its share
        by patient.  The number goes to the vault and nowhere else.
        """
        if self._subject(facts) != NOT_EVALUATED or not self._patient_matters():
            return
        self.journal.enrol(facts.study_instance_uid, *_first_header(pacs, facts))

    def _patient_matters(self) -> bool:
        with self.registry.database.reading() as transaction:
            canary = any(item.state == "canary" for item in transaction.deployments())
            return canary or (
                bool(self.course) and transaction.any_course(self.now() - self.course)
            )

    def _plan(
        self,
        transaction: Transaction,
        plugin: str,
        deployments: list[Deployment],
        facts: StudyFacts,
    ) -> Plan:
        if stop_of(transaction, plugin) is not None:
            running = [item for item in deployments if item.state in COURSE_STATES]
            about = running[0].release_digest if running else ""
            return Plan((), STOPPED.code if about else "", about)
        certified = self.registry.certified(transaction)
        now, mode = self.now(), self.registry.mode
        subject = self._subject(facts)
        course = ""
        if self.course and subject != NOT_EVALUATED:
            rows = transaction.courses(plugin, subject)
            name = f"{plugin}/{subject}"
            course = course_of(transaction, name, rows, now - self.course)
        return assign(
            deployments,
            self._key(facts, subject),
            course,
            lambda item: is_authorised(item, now, mode, certified),
        )

    def _key(self, facts: StudyFacts, subject: str) -> StudyKey:
        study = facts.study_instance_uid
        known = subject != NOT_EVALUATED
        stations = {item.tags.get("StationName", "") for item in facts.series} - {""}
        return StudyKey(
            subject if known else self.pseudonyms.uid(study, study),
            facts.sender,
            tuple(sorted(stations)),
        )

    def _subject(self, facts: StudyFacts) -> str:
        return self.pseudonyms.subject(facts.study_instance_uid)


def _first_header(pacs: Pacs, facts: StudyFacts) -> tuple[str, str]:
    """Return number and issuer of the patient, from the header of one instance; empty if none."""
    for series in facts.series:
        for uid in series.sop_instance_uids[:1]:
            reference = InstanceReference(facts.study_instance_uid, series.series_instance_uid, uid)
            header = read_identity(pacs.retrieve_instance(reference))
            return (
                str(header.get("PatientID", "") or ""),
                str(header.get("IssuerOfPatientID", "") or ""),
            )
    return "", ""
