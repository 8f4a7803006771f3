"""No patient data in the log: every way into a record is fed with it, and none is found.

Every text that a person types or another system sends carries a patient: headers, notes,
reasons, what a plugin says in words, answers of servers, references and settings.  Names
that the site or a release gives (accounts, archives, roles, plugins, equipment) are its own.
"""

import random
import string
from dataclasses import replace
from typing import Any

import pytest

from adapters.database.consent_records import Consent
from adapters.database.group_commit import GroupCommit
from adapters.database.transaction import Transaction
from audit.scanner import scan, spellings
from governance.accounts import Account
from plugins.host.ports import Delivered
from plugins.host.routing import Decision, Reason
from tests.simulators.run_values import RELEASE, answer_for, case_for, documents_for, request_for
from tests.simulators.site_database import Recorded

LETTERS = string.ascii_letters + "äöüßéèçñŁøÅ"
SMALL, WHOLE = 1_500, 100_000


class Person:
    """A patient that nobody has, with everything that could identify one."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.family, self.given = self._word(6, 12).title(), self._word(5, 9).title()
        self.name = chance.choice(
            [
                f"{self.family}^{self.given}",
                f"{self.given} {self.family}",
                f"{self.family}, {self.given}",
                f"{self.family}^{self.given}^^Dr.",
                self.family,
            ]
        )
        self.number = chance.choice(
            [
                f"{chance.randrange(10**7, 10**9)}",
                f"PID-{chance.randrange(10**6, 10**8)}",
                f"{self._word(2, 3).upper()}{chance.randrange(10**6)}/{chance.randrange(10**4)}",
            ]
        )
        year, month, day = (
            chance.randrange(1930, 2024),
            chance.randrange(1, 13),
            chance.randrange(10, 29),
        )
        self.born = chance.choice([f"{year}{month:02}{day}", f"{year}-{month:02}-{day}"])
        self.study, self.series, self.frame = (self._uid() for _ in range(3))
        self.instances = tuple(f"{self.series}.{number}" for number in range(1, 4))
        self.accession = f"ACC{chance.randrange(10**8)}"
        self.words = (self.family, self.given, self.number, self.accession)

    def _word(self, low: int, high: int) -> str:
        count = self._chance.randrange(low, high)
        return "".join(self._chance.choice(LETTERS) for _ in range(count)).lower()

    def _uid(self) -> str:
        chance = self._chance
        root = chance.choice(
            ["1.2.276.0.7230010.3.1", "1.3.12.2.1107.5.2", "1.2.826.0.1.3680043.8"]
        )
        return f"{root}.{chance.randrange(1, 10**9)}.{chance.randrange(1, 10**12)}"

    def text(self) -> str:
        """Return free text with the patient in it, in one of the forms that people write."""
        return self._chance.choice(
            [
                self.name,
                self.number,
                self.born,
                self.accession,
                self.study,
                f"{self.name} ({self.born})",
                f"Pat. {self.given} {self.family}, geb. {self.born}",
                f"MRN={self.number}; DOB={self.born}",
                f"WRONG_SIDE {self.name} {self.number}",
                f"see study {self.study} of {self.family}",
                f"{self.family}\n{self.given}",
                f"mail {self.family.lower()}@example.org",
                f"{self.family}" * 12,
            ]
        )

    def identifying(self) -> list[str]:
        """Return what must be found nowhere."""
        dates = [self.born.replace("-", "")]
        uids = [self.study, self.series, self.frame, *self.instances]
        return [*self.words, *dates, *uids]


def _request(person: Person, number: int, chance: random.Random) -> Any:
    return request_for(
        number,
        study_instance_uid=person.study,
        series={"ct": person.series},
        sop_instance_uids=person.instances,
        parameters={"note": person.text(), "threshold": chance.random()},
        supersedes=None,
    )


def _case(person: Person) -> Any:
    case = case_for()
    volume = replace(
        case.images["ct"],
        study_instance_uid=person.study,
        series_instance_uid=person.series,
        geometry=replace(case.images["ct"].geometry, frame_of_reference_uid=person.frame),
        sop_class_uid=person.text(),
        modality=person.text(),
        sop_instance_uids=person.instances,
        acquisition={
            "manufacturer": "ACME MEDICAL",
            "protocol": person.text(),
            "series_description": person.text(),
            "kvp": 120.0,
        },
        notes=(person.text(),),
    )
    return replace(
        case,
        study_instance_uid=person.study,
        images={"pet": volume, "ct": volume},
        body_part=person.text(),
        notes=(person.text(), person.name),
    )


def _answer(person: Person, case: Any) -> Any:
    answer = answer_for(case)
    (region,) = answer.prediction.findings
    region = replace(region, description=person.text())
    uncertainty = replace(
        answer.prediction.uncertainty, reasons=(person.text(), f"LOW_SCORE {person.text()}")
    )
    prediction = replace(answer.prediction, findings=(region,), uncertainty=uncertainty)
    explanation = replace(
        answer.explanation,
        target=person.text(),
    )
    return replace(answer, prediction=prediction, explanation=explanation)


def _run(site: Recorded, person: Person, number: int, chance: random.Random) -> None:
    """One run with every text of it fuzzed: nine records."""
    journal, request = site.journal, _request(person, number, chance)
    journal.opened(request)
    case = _case(person)
    journal.input_read(request, case, "sha256:" + f"{number:064x}")
    documents = tuple(
        replace(item, notes=(person.text(),), study_instance_uid=person.study)
        for item in documents_for(request)
    )
    journal.inferred(request, _answer(person, case), documents, {"quality_flags": ["metal"]})
    sent = Delivered("pacs", "RTSTRUCT", person.instances[0], "failed", person.text())
    journal.delivered(request, (sent,))
    journal.closed(request, "failed", person.text())
    other = replace(request, run_id=f"{number:032x}")
    journal.opened(other)
    journal.refused(other, (person.text(), person.text()))
    journal.discarded(other, "account:a")


def _others(site: Recorded, person: Person, chance: random.Random) -> Any:
    """Return a function that writes one record of each kind that belongs to no run."""
    journal = site.journal
    account = Account("dr-x", "clinician", "x", False, site.clock(), None)

    def write(transaction: Transaction) -> None:
        journal.study_event(transaction, "arrived", person.study, pacs="pacs")
        decision = Decision(
            plugin="contouring",
            plugin_version="0.1.0",
            release_digest=RELEASE,
            applies=False,
            series={"ct": person.series},
            sop_instance_uids=person.instances,
            reasons=(Reason("STUDY_RULE", "BodyPartExamined", "LEG", person.text(), "ct"),),
        )
        journal.route_decision(transaction, person.study, decision, "quiet")
        journal.fault(transaction, person.text(), "pacs")
        journal.guard(transaction, "envelope", "refused", RELEASE)
        journal.stop(transaction, "contouring", "stop", "account:a")
        before, after = person.text(), person.text()
        journal.configuration_change(transaction, "site.name", before, after, "account:a")
        journal.account(transaction, "added", account, "account:a")
        journal.access(transaction, "patient", person.text(), "account:a")
        reasons = (person.text(), f"NOT_CERTIFIED {person.text()}")
        journal.refused_act(transaction, "activate", RELEASE, reasons, "account:a")
        stated = Consent("permit", person.text(), "GDPR-9-2-h")
        journal.consent(transaction, person.study, stated, "account:a")

    return write


@pytest.mark.reg("AIA-21")
@pytest.mark.parametrize(
    "count",
    [SMALL, pytest.param(WHOLE, marks=pytest.mark.acceptance)],
    ids=lambda count: f"{count} records",
)
def test_no_patient_data_reaches_the_log(sqlite_recorded: Recorded, count: int) -> None:
    """Names, numbers, dates of birth, UIDs and free text through every door: 0 hits."""
    site, chance = sqlite_recorded, random.Random(count)
    group = GroupCommit(site.database, site.log)
    written, number, hits, seen = 0, 0, [], 0
    while written < count:
        number += 1
        person = Person(chance)
        site.journal.enrol(person.study, person.number, person.text())
        if number % 3 == 0:
            _run(site, person, number, chance)
        else:
            group.run(_others(site, person, chance))
        words = spellings(person.identifying())
        with site.database.reading() as store:
            size = store.tree_size()
            for leaf in store.leaves(written, size):
                seen += 1
                hits += [(leaf.kind, hit, leaf.leaf) for hit in scan(leaf.leaf, words)]
        written = size
    assert seen == written >= count
    assert hits[:3] == []


def test_the_scanner_sees_what_is_there() -> None:
    """A scanner that finds nothing proves nothing: planted data is found in every spelling."""
    person = Person(random.Random(7))
    words = spellings([*person.identifying(), "1961-02-03"])
    planted = {
        b'{"a":"%s"}' % person.family.upper().encode(): "known word",
        b'{"a":"x%sx"}' % person.given.lower().encode(): "known word",
        b'{"a":"%s"}' % person.number.encode(): "known word",
        b'{"a":"03.02.1961"}': "known word",
        b'{"a":"%s"}' % person.study.encode(): "unique identifier",
        b'{"a":"1961-02-03"}': "date",
        b'{"a":"Muster^Max"}': "person name",
        b'{"a":"max@example.org"}': "e-mail address",
        b'{"a":"0721 5551234"}': "telephone number",
        b'{"a":"the patient fell asleep, again"}': "sentence",
    }
    for data, hit in planted.items():
        assert hit in set(scan(data, words)), data
    clean = (
        b'{"a":"2.25.329800735698586629295641978511506172918","b":"1.2.840.10008.5.1.4.1.1.2",'
        b'"t":"2026-11-24T09:00:00.000000Z","h":"hmac:v1:00","d":"sha256:0123"}'
    )
    assert list(scan(clean, words)) == []
