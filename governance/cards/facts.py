"""What a model card can say of a release, gathered once for every export.

A text that no source states is MISSING, in every export alike.

Read next: `aid_rt.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance import classification, risk
from governance.accuracy import Accuracy
from governance.declaration import CeMarking
from governance.provider import PROVIDER, read_provider
from governance.release import MANIFEST
from governance.technical_file.card_text import items, part
from governance.technical_file.contents_evidence import accuracy_of
from governance.technical_file.contents_office import register_of
from governance.technical_file.contents_release import LIMITS, input_specification
from governance.technical_file.found import MALFORMED, Missing
from governance.technical_file.sources import CARD, MONITORING, Sources
from governance.technical_file.statements import KIND as STATEMENT

MISSING = "MISSING"
RESEARCH = "Research use only; not a certified medical device"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Everything that the exports quote; a text that nobody states is MISSING.

    Parameters
    ----------
    card : parts of the plugin's card by title.
    specification : the input specification in words.
    accuracy : None while none was measured.
    """

    plugin: str
    version: str
    release_digest: str
    title: str
    developer: str
    contact: str
    purpose: str
    card: Mapping[str, str]
    limits: tuple[str, ...]
    specification: Mapping[str, Any]
    manifest: Mapping[str, Any]
    accuracy: Accuracy | None
    risk_class: str
    hazards: tuple[str, ...]
    monitoring: str
    statements: Mapping[str, str]
    stage: str = RESEARCH

    def text(self, *titles: str) -> str:
        """Return the first part of the card under one of these titles, else MISSING."""
        return next((self.card[title] for title in titles if self.card.get(title)), MISSING)

    def stated(self, path: str) -> str:
        """Return what a person stated on a field of the technical file, else MISSING."""
        return self.statements.get(path, MISSING)

    def modalities(self) -> tuple[str, ...]:
        """Return the modalities of the inputs in order."""
        return tuple(row["modality"] for row in self.specification.get("inputs", ()))


def card_facts(sources: Sources, marking: CeMarking | None = None) -> CardFacts:
    """Return the facts of a release as its sources state them.

    Parameters
    ----------
    marking : the CE marking, where it may be shown; else the card says research.
    """
    manifest = sources.content(MANIFEST) or {}
    card = sources.content(CARD) or ""
    measured = accuracy_of(sources)
    developer, contact = _provider(sources)
    return CardFacts(
        plugin=sources.plugin or MISSING,
        version=sources.version or MISSING,
        release_digest=sources.release_digest or MISSING,
        title=str(manifest.get("title") or MISSING),
        developer=developer,
        contact=contact,
        purpose=" ".join(str(manifest.get("intended_purpose") or MISSING).split()),
        card=_parts(card),
        limits=items(part(card, *LIMITS)),
        specification=input_specification(manifest) if manifest else {},
        manifest=manifest,
        accuracy=None if isinstance(measured, Missing) else measured,
        risk_class=_risk_class(sources),
        hazards=_hazards(sources),
        monitoring=_monitoring(sources),
        statements=_statements(sources),
        stage=RESEARCH if marking is None else f"CE {marking.notified_body}".strip(),
    )


def _parts(card: str) -> dict[str, str]:
    titles = ("not meant for", "input", "output", "method", "data", "explanation")
    return {title: part(card, title) for title in titles if part(card, title)}


def _provider(sources: Sources) -> tuple[str, str]:
    try:
        found = read_provider(sources.content(PROVIDER))
    except MALFORMED:
        return MISSING, MISSING
    return found.name, found.email


def _risk_class(sources: Sources) -> str:
    document = sources.content(classification.KIND)
    if not isinstance(document, Mapping):
        return MISSING
    return f"MDR class {document.get('mdr_class')} (rule {document.get('mdr_rule')})"


def _hazards(sources: Sources) -> tuple[str, ...]:
    if sources.content(risk.KIND) is None:
        return ()
    try:
        found = register_of(sources).hazards
    except MALFORMED:
        return ()
    return tuple(f"{item.title}: {item.harm} ({item.severity})" for item in found)


def _monitoring(sources: Sources) -> str:
    plan = sources.content(MONITORING)
    system = plan.get("system") if isinstance(plan, Mapping) else None
    return str(system) if system else MISSING


def _statements(sources: Sources) -> dict[str, str]:
    prefix = f"{STATEMENT}/"
    return {
        name.removeprefix(prefix): str(source.content.get("text", MISSING))
        for name, source in sources.found.items()
        if name.startswith(prefix) and not source.content.get("not_applicable")
    }
