"""Persons behind a plugin: named, trained, informed, and assessed in time, or no clinical use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from audit.errors import ConfigurationError
from governance import declaration, personnel
from governance.gates import Passage
from governance.instructions import instructions, version_of
from governance.personnel import (
    ACKNOWLEDGED,
    DPIA,
    FRIA,
    OVERSEERS,
    TRAINING,
    instructions_in_force,
    objections,
    overseers,
    ran_on,
    read_assessment,
    read_training,
)
from governance.report import LANGUAGES
from governance.technical_file.gates import Desk
from tests.simulators.papers import NOW, PLUGIN, TRUST, Papers, complete, small_release, sources_of

ON = NOW.date()
VERSIONS = ("1.0.0-en-a", "1.0.0-de-b")
TRAINED: dict[str, Any] = {
    "schema": "osteon.training/1", "plugin": PLUGIN, "account": "anna", "topic": "limits",
    "by": "provider", "on": "2026-01-01", "valid_until": "2099-01-01",
}  # fmt: skip
ASSESSED: dict[str, Any] = {
    "schema": "osteon.assessment-record/1", "reference": "DPIA-7", "signed_by": "dpo",
    "signed_on": "2026-01-01", "review_due": "2099-01-01",
}  # fmt: skip
READ: dict[str, Any] = {
    "schema": "osteon.ifu-acknowledgement/1", "plugin": PLUGIN, "account": "anna",
    "release_digest": "sha256:1", "ifu_version": VERSIONS[1], "language": "de",
}  # fmt: skip


def ready() -> Papers:
    """Return the papers of a plugin whose persons are ready."""
    papers = Papers()
    papers.put(OVERSEERS, PLUGIN, {"overseers": [{"account": "anna", "role": "clinician"}]})
    papers.put(TRAINING, f"{PLUGIN}/anna", TRAINED)
    papers.put(ACKNOWLEDGED, f"{PLUGIN}/anna", READ)
    papers.put(DPIA, PLUGIN, ASSESSED)
    return papers


def codes(papers: Papers, on: date = ON) -> list[str]:
    """Return what is objected."""
    found = objections(papers, PLUGIN, VERSIONS, on)
    assert all(item.advice and item.text for item in found)
    return [item.code for item in found]


@pytest.mark.reg("AIA-26.1")
def test_persons_who_are_ready_stand_in_nobodys_way() -> None:
    """Named, trained, informed in either language, assessed: no objection."""
    assert codes(ready()) == []


TWO = {"overseers": [{"account": "anna", "role": "clinician"}, "bernd"]}


@pytest.mark.reg("AIA-14.4a")
@pytest.mark.reg("AIA-26.1")
@pytest.mark.reg("AIA-26.9")
@pytest.mark.reg("GDPR-30")
@pytest.mark.parametrize(
    ("kind", "name", "content", "found"),
    [
        (OVERSEERS, PLUGIN, {"overseers": []}, ["OVERSEER_MISSING"]),
        (OVERSEERS, PLUGIN, TWO, ["OVERSEER_UNTRAINED", "IFU_NOT_ACKNOWLEDGED"]),
        (TRAINING, f"{PLUGIN}/anna", TRAINED | {"valid_until": "2026-01-02"},
         ["OVERSEER_UNTRAINED"]),
        (ACKNOWLEDGED, f"{PLUGIN}/anna", READ | {"ifu_version": "0.9.0-de-b"},
         ["IFU_NOT_ACKNOWLEDGED"]),
        (DPIA, PLUGIN, ASSESSED | {"review_due": "2026-01-02"}, ["DPIA_OVERDUE"]),
        (FRIA, PLUGIN, ASSESSED, []),
        (FRIA, PLUGIN, ASSESSED | {"review_due": "2026-01-02"}, ["FRIA_OVERDUE"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(
    kind: str, name: str, content: dict[str, Any], found: list[str]
) -> None:
    """Nobody, untrained, an older version of the instructions, an assessment out of time."""
    papers = ready()
    papers.put(kind, name, content)
    assert codes(papers) == found


def test_an_empty_site_lacks_persons_and_assessment() -> None:
    """Nothing on record: nobody oversees it, and nobody assessed it; no fundamental rights."""
    assert codes(Papers()) == ["OVERSEER_MISSING", "DPIA_MISSING"]


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_training, TRAINED | {"schema": "other"}),
        (read_training, TRAINED | {"valid_until": "2025-12-31"}),
        (read_training, TRAINED | {"by": ""}),
        (read_training, TRAINED | {"more": 1}),
        (read_training, {k: v for k, v in TRAINED.items() if k != "topic"}),
        (read_assessment, ASSESSED | {"review_due": "soon"}),
        (read_assessment, ASSESSED | {"reference": " "}),
        (read_assessment, {}),
    ],
)
def test_malformed_records_are_refused(
    read: Callable[[dict[str, Any]], object], content: dict[str, Any]
) -> None:
    """Nothing half-read counts as training or assessment."""
    with pytest.raises(ConfigurationError):
        read(content)


@pytest.mark.reg("AIA-14.4a")
def test_the_gate_asks_for_the_instructions_as_they_are_now() -> None:
    """A new source makes another version, which has to be acknowledged again."""
    release = small_release()
    papers = complete(release)
    for kind, name, content in (
        (TRAINING, f"{PLUGIN}/anna", TRAINED), (DPIA, PLUGIN, ASSESSED),
    ):  # fmt: skip
        papers.put(kind, name, content)
    desk = Desk(lambda _digest, _documents: sources_of(release, papers), lambda: TRUST)
    passage = Passage(
        "site", "clinical", PLUGIN, release.digest, release.manifest, "canary", "active", "anna",
        "approver", NOW,
    )  # fmt: skip

    def asked(passage: Passage) -> list[str]:
        return [item.code for item in desk.personnel_gate(passage, papers)]

    assert desk.personnel_gate in desk.gates()
    assert asked(passage) == ["IFU_NOT_ACKNOWLEDGED"]
    for language in LANGUAGES:
        version = version_of(instructions(sources_of(release, papers), language))
        papers.put(ACKNOWLEDGED, f"{PLUGIN}/anna", READ | {"ifu_version": version})
        assert asked(passage) == []
    papers.put(OVERSEERS, PLUGIN, TWO)
    assert asked(passage) == ["OVERSEER_UNTRAINED", "IFU_NOT_ACKNOWLEDGED"]
    for other in (
        replace(passage, mode="research"),
        replace(passage, before="standby"),  # the way back is open: the safe state comes first
        replace(passage, after="shadow"),
        replace(passage, after="suspended"),
    ):
        assert asked(other) == []


def test_a_record_of_a_run_names_its_papers() -> None:
    """The declaration while it stands, and the instructions acknowledged last for the release."""
    papers = ready()
    assert instructions_in_force(papers, "sha256:1") == VERSIONS[1]
    assert ran_on(papers, "sha256:2") == {"doc_id": "", "ifu_version": ""}
    papers.put(declaration.KIND, "sha256:1", {"revoked": ""})
    found = ran_on(papers, "sha256:1")
    assert found["doc_id"].startswith("sha256:")
    papers.put(declaration.KIND, "sha256:1", {"revoked": "wrong address"})
    assert ran_on(papers, "sha256:1")["doc_id"] == ""
    assert overseers(papers, PLUGIN) == (("anna", "clinician"),)
    assert personnel.standing(papers, PLUGIN)[0].acknowledged == VERSIONS[1]
