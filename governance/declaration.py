"""The EU declaration of conformity of one release: drafted, signed, checked, revoked.

The draft is generated from what the provider declared; the act is a person's: place, name,
function, on whose behalf.  It names the release digest, so that it holds for no other bytes,
and is sealed by the site's key for documents.  The CE marking and the notified body's number
are shown only while such a declaration is valid, and in clinical mode only.

Source: Regulation (EU) 2024/1689 Art. 47, 48 and Annex V items 1 to 8; Regulation (EU)
2017/745 Art. 19, 20; REGULATORY.md AIA-16, AIA-47.

Read next: `declaration_report.py`, `technical_file/gates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.errors import RefusalError, SignatureError
from governance.classification import Classification
from governance.gates import Objection
from governance.provider import Provider, Standard
from governance.sealed import Sealer, open_sealed, seal
from governance.signing import TrustedKey

KIND = "declaration"
"""Governed document by release digest."""
SCHEMA = "osteon.declaration/1"
AI_ACT = "Regulation (EU) 2024/1689"
MDR = "Regulation (EU) 2017/745"
ITEMS = tuple(f"item_{number}" for number in range(1, 9))
ADVICE = {
    "DECLARATION_MISSING": "Sign it: `osteon technical-file declare RELEASE`.",
    "DECLARATION_INVALID": "The document was changed after it was signed: sign it again.",
    "DECLARATION_MISMATCH": "Sign a declaration for this release; each names its own digest.",
    "DECLARATION_INCOMPLETE": "Record what is missing, then sign it again.",
    "DECLARATION_REVOKED": "The provider took it back; the release cannot be used clinically.",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The release that is declared."""

    plugin: str
    version: str
    release_digest: str
    title: str


@dataclass(frozen=True, slots=True)
class Signer:
    """Item 8: who signs, where, as what, and for whom."""

    place: str
    name: str
    function: str
    on_behalf_of: str


@dataclass(frozen=True, slots=True)
class CeMarking:
    """What may be shown beside the name: CE, and who was the notified body."""

    notified_body: str
    certificate_id: str
    udi_di: str


def draft(
    subject: Subject,
    provider: Provider | None,
    standards: tuple[Standard, ...],
    classification: Classification | None,
) -> dict[str, Any]:
    """Return items 1 to 7 as far as the recorded documents state them; None where they do not.

    Item 3 names who is responsible; item 5 says complies or no_personal_data; item 7 is
    class_I where the class needs no notified body.
    """
    device = provider.devices.get(subject.plugin) if provider else None
    return {
        "schema": SCHEMA,
        "plugin": subject.plugin,
        "version": subject.version,
        "release_digest": subject.release_digest,
        "item_1": device and {
            "name": device.name, "type": device.kind, "version": subject.version,
            "release_digest": subject.release_digest, "basic_udi_di": device.basic_udi_di,
            "udi_di": device.udi_di,
        },
        "item_2": provider and {
            "name": provider.name, "address": provider.address,
            "representative": provider.representative,
        },
        "item_3": "provider",
        "item_4": provider and [AI_ACT, *(act for act in provider.other_acts if act != AI_ACT)],
        "item_5": provider and _personal_data(provider),
        "item_6": [
            {"reference": item.reference, "title": item.title, "extent": item.extent,
             "oj_reference": item.oj_reference}
            for item in standards
        ] or None,
        "item_7": _assessment(provider, classification),
    }  # fmt: skip


def open_items(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the items of Annex V that a draft leaves open; item 8 until it is signed."""
    return tuple(item for item in ITEMS if not content.get(item))


def declare(
    content: Mapping[str, Any], signer: Signer, person: str, sealer: Sealer, at: datetime
) -> dict[str, Any]:
    """Return the signed declaration.

    Parameters
    ----------
    person : account that signs.

    Raises
    ------
    RefusalError : an item of Annex V is open (DECLARATION_INCOMPLETE); nothing was signed.
    """
    signed = {
        **content,
        "item_8": {
            "place": signer.place, "date": at.date().isoformat(), "name": signer.name,
            "function": signer.function, "on_behalf_of": signer.on_behalf_of,
        },
        "author": person,
        "revoked": "",
    }  # fmt: skip
    missing = open_items(signed)
    if missing or not all(signed["item_8"].values()):
        raise RefusalError(
            f"the declaration leaves open: {', '.join(missing) or 'item_8'}",
            reasons=("DECLARATION_INCOMPLETE",),
            advice=ADVICE["DECLARATION_INCOMPLETE"],
        )
    return seal(signed, sealer, at)


def revoke(
    document: Mapping[str, Any], reason: str, person: str, sealer: Sealer, at: datetime
) -> dict[str, Any]:
    """Return the declaration as taken back, sealed again."""
    return seal({**document, "revoked": reason, "author": person}, sealer, at)


def objections(
    document: Mapping[str, Any] | None, release_digest: str, trust: tuple[TrustedKey, ...]
) -> tuple[Objection, ...]:
    """Return why a declaration does not hold for a release; none when it does."""
    if document is None:
        return (_objection("DECLARATION_MISSING", "expected a declaration of conformity"),)
    try:
        content = open_sealed(document, trust)
    except SignatureError as error:
        return (_objection("DECLARATION_INVALID", str(error)),)
    found = []
    if content.get("release_digest") != release_digest:
        text = f"expected a declaration of {release_digest}, found one of another release"
        found.append(_objection("DECLARATION_MISMATCH", text))
    if open_items(content):
        text = f"the declaration leaves open: {', '.join(open_items(content))}"
        found.append(_objection("DECLARATION_INCOMPLETE", text))
    if content.get("revoked"):
        found.append(_objection("DECLARATION_REVOKED", "the declaration was revoked"))
    return tuple(found)


def ce_marking(
    document: Mapping[str, Any] | None,
    release_digest: str,
    mode: str,
    trust: tuple[TrustedKey, ...],
) -> CeMarking | None:
    """Return what may be shown with a release; None in research mode or without a valid act."""
    if mode != "clinical" or document is None or objections(document, release_digest, trust):
        return None
    assessed = document["item_7"] if isinstance(document["item_7"], Mapping) else {}
    body = f"{assessed['name']} ({assessed['number']})" if assessed else ""
    return CeMarking(body, assessed.get("certificate_id", ""), document["item_1"]["udi_di"])


def _personal_data(provider: Provider) -> str:
    return "complies" if provider.processes_personal_data else "no_personal_data"


def _assessment(provider: Provider | None, record: Classification | None) -> Any:
    if provider is None or record is None:
        return None
    body = provider.notified_body
    if body is None:
        return "class_I" if record.mdr_class == "I" else None
    return {
        "name": body.name, "number": body.number, "procedure": body.procedure,
        "certificate_id": body.certificate_id,
    }  # fmt: skip


def _objection(code: str, text: str) -> Objection:
    return Objection(code, text, ADVICE[code])
