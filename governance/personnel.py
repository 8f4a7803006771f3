"""Persons behind a plugin in clinical use: overseers, their training, instructions they know.

In clinical mode no release comes into use while a plugin has no overseer, or one who is not
trained or has not acknowledged the instructions for use of this release as they are now; nor
without an assessment of data protection in its time.  The assessment of fundamental rights is
asked for on the route of Annex III only (AI Act Art. 27).

Documents: ``overseers`` by plugin, ``training`` and ``ifu_acknowledgement`` by plugin and
account, ``dpia`` and ``fria`` by plugin.

Source: REGULATORY.md AIA-14.4a, AIA-26.1, AIA-26.9, GDPR-30; AI Act Art. 4, 14, 26, 27; GDPR
Art. 35.

Read next: `technical_file/gates.py`, which asks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from governance.declaration import KIND as DECLARATION
from governance.gates import Objection
from governance.ports import GovernedDocument, GovernedStore
from governance.reading import Table

OVERSEERS, TRAINING, ACKNOWLEDGED = "overseers", "training", "ifu_acknowledgement"
DPIA, FRIA = "dpia", "fria"
TRAINING_SCHEMA, ACKNOWLEDGED_SCHEMA = "osteon.training/1", "osteon.ifu-acknowledgement/1"
ASSESSMENT_SCHEMA = "osteon.assessment-record/1"
OVERSEER_ROLES = ("clinician", "physicist")
"""Who may oversee: who can assess and stop a result."""
NAMING_ROLES = ("approver",)
"""Who names overseers and records training and assessments; nobody does so about themselves."""
ADVICE = {
    "OVERSEER_MISSING": "Name one: `osteon personnel name PLUGIN ACCOUNT`.",
    "OVERSEER_UNTRAINED": "Record the training: `osteon personnel train PLUGIN ACCOUNT`.",
    "IFU_NOT_ACKNOWLEDGED": "Let each overseer read them: `osteon personnel acknowledge RELEASE`.",
    "DPIA_MISSING": "Assess data protection: `osteon personnel assess dpia PLUGIN`.",
    "DPIA_OVERDUE": "Review the assessment: `osteon personnel assess dpia PLUGIN`.",
    "FRIA_OVERDUE": "Review the assessment: `osteon personnel assess fria PLUGIN`.",
}


@dataclass(frozen=True, slots=True)
class Assessment:
    """An assessment that lies elsewhere: its number there, who signed it, when it is due again."""

    reference: str
    signed_by: str
    signed_on: date
    review_due: date


@dataclass(frozen=True, slots=True)
class Standing:
    """How one overseer stands on a day.

    Parameters
    ----------
    trained_until : last day of the training that is valid longest; None without one.
    acknowledged : version of the instructions that was acknowledged last; empty without.
    """

    account: str
    role: str
    trained_until: date | None
    acknowledged: str


def overseers(documents: GovernedStore, plugin: str) -> tuple[tuple[str, str], ...]:
    """Return account and role of each overseer of a plugin."""
    document = documents.governed(OVERSEERS, plugin)
    rows = document.content.get("overseers", ()) if document is not None else ()
    return tuple(
        (str(row["account"]), str(row.get("role", ""))) if isinstance(row, Mapping) else (row, "")
        for row in rows
    )


def read_training(document: Mapping[str, Any]) -> tuple[str, str, date]:
    """Return plugin, account and last day of a training record; ConfigurationError names a fault.

    A record says who was trained in what by whom, on which day and until when that is valid.
    """
    top = Table(TRAINING, document).only(
        ("schema", "plugin", "account", "topic", "by", "on", "valid_until")
    )
    if top.text("schema") != TRAINING_SCHEMA:
        raise top.fault("schema", TRAINING_SCHEMA)
    for key in ("topic", "by"):
        top.text(key)
    if top.day("valid_until") < top.day("on"):
        raise top.fault("valid_until", "a day after the training")
    return top.text("plugin"), top.text("account"), top.day("valid_until")


def read_assessment(document: Mapping[str, Any]) -> Assessment:
    """Return an assessment; ConfigurationError names a fault."""
    top = Table("assessment", document).only(
        ("schema", "reference", "signed_by", "signed_on", "review_due")
    )
    if top.text("schema") != ASSESSMENT_SCHEMA:
        raise top.fault("schema", ASSESSMENT_SCHEMA)
    return Assessment(
        top.text("reference"), top.text("signed_by"), top.day("signed_on"), top.day("review_due")
    )


def standing(documents: GovernedStore, plugin: str) -> tuple[Standing, ...]:
    """Return how each overseer of a plugin stands."""
    found = []
    for account, role in overseers(documents, plugin):
        training = documents.governed(TRAINING, name_of(plugin, account))
        known = documents.governed(ACKNOWLEDGED, name_of(plugin, account))
        found.append(
            Standing(
                account,
                role,
                read_training(training.content)[2] if training is not None else None,
                str(known.content["ifu_version"]) if known is not None else "",
            )
        )
    return tuple(found)


def objections(
    documents: GovernedStore, plugin: str, versions: Iterable[str], on: date
) -> tuple[Objection, ...]:
    """Return what stands in the way of clinical use; none where persons are ready.

    Parameters
    ----------
    versions : of the instructions for use as they are now, one for each language.
    """
    present, current = standing(documents, plugin), set(versions)
    found = []
    if not present:
        found.append(_objection("OVERSEER_MISSING", f"nobody oversees {plugin}"))
    untrained = [p.account for p in present if p.trained_until is None or p.trained_until < on]
    if untrained:
        text = f"overseers without valid training: {', '.join(untrained)}"
        found.append(_objection("OVERSEER_UNTRAINED", text))
    unread = [p.account for p in present if p.acknowledged not in current]
    if unread:
        text = f"instructions for use as they are now not acknowledged by: {', '.join(unread)}"
        found.append(_objection("IFU_NOT_ACKNOWLEDGED", text))
    found += _assessed(documents, DPIA, plugin, on)
    if documents.governed(FRIA, plugin) is not None:
        found += _assessed(documents, FRIA, plugin, on)
    return tuple(found)


def instructions_in_force(documents: GovernedStore, release_digest: str) -> str:
    """Return the version of the instructions that an overseer acknowledged last for a release."""
    known = [
        item
        for item in documents.governed_all(ACKNOWLEDGED)
        if item.content.get("release_digest") == release_digest
    ]
    newest = max(known, key=lambda item: item.recorded_at, default=None)
    return str(newest.content["ifu_version"]) if newest is not None else ""


def ran_on(documents: GovernedStore, release_digest: str) -> dict[str, str]:
    """Return what an inference record says of the papers: declaration and instructions.

    The declaration is named by the digest of its document, while it is not revoked.
    """
    act = documents.governed(DECLARATION, release_digest)
    stands = act is not None and not act.content.get("revoked")
    return {
        "doc_id": act.digest if act is not None and stands else "",
        "ifu_version": instructions_in_force(documents, release_digest),
    }


def name_of(plugin: str, account: str) -> str:
    """Return the name under which a document about one person and one plugin is kept."""
    return f"{plugin}/{account}"


def _assessed(documents: GovernedStore, kind: str, plugin: str, on: date) -> tuple[Objection, ...]:
    document: GovernedDocument | None = documents.governed(kind, plugin)
    if document is None:
        return (_objection(f"{kind.upper()}_MISSING", f"expected a {kind} of {plugin}"),)
    due = read_assessment(document.content).review_due
    if due >= on:
        return ()
    return (_objection(f"{kind.upper()}_OVERDUE", f"the {kind} was due on {due.isoformat()}"),)


def _objection(code: str, text: str) -> Objection:
    return Objection(code, text, ADVICE[code])
