"""Gates of the technical documentation: what of it stands in the way of clinical use.

Five rules, each a `governance.gates.Gate`: the technical file (built, complete, not stale), the
risk register, the risk classification, the declaration of conformity, the persons who oversee
it (`../personnel.py`).  They speak in clinical
mode alone, where a release is to come into use; on the way back to a release that was in use
(rollback) a file that is merely stale does not object, because the safe state comes first.

Source: REGULATORY.md AIA-6.1, AIA-9.1, AIA-11.1, AIA-47; section 2 rules (ii), (iv).

Read next: `../gates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from audit.errors import ConfigurationError, RefusalError, SignatureError
from governance import classification, declaration, personnel, risk, risk_trace
from governance.classification import check_classification, read_classification
from governance.gates import Gate, Objection, Passage
from governance.instructions import SECTIONS, instructions, version_of
from governance.ports import GovernedStore
from governance.report import LANGUAGES
from governance.risk import RiskRegister, read_register
from governance.sealed import open_sealed
from governance.signing import TrustedKey
from governance.technical_file.bundle import KIND, stale_sources
from governance.technical_file.fields import DECLARATION
from governance.technical_file.sources import Sources

NEEDED = ("approved", "canary", "active")
"""States that a release comes into on its way to clinical use."""
LIVE = ("canary", "active")
RETURNING = "standby"
ADVICE = {
    "TECHNICAL_FILE_MISSING": "Build it: `osteon technical-file build RELEASE -o DIR`.",
    "TECHNICAL_FILE_INVALID": "The record of the file was changed: build it again.",
    "TECHNICAL_FILE_INCOMPLETE": (
        "Fill what prints MISSING: `osteon technical-file status RELEASE`, then build it again."
    ),
    "SUBGROUP_ACCURACY_MISSING": "Measure the accuracy for groups of persons and record it.",
    "TECHNICAL_FILE_STALE": "A source changed since: build it again.",
    "CLASSIFICATION_MISSING": "Sign one: `osteon technical-file classify RELEASE FILE`.",
    "CLASSIFICATION_INVALID": "The record was changed after it was signed, or is malformed.",
    "CLASSIFICATION_EXPIRED": "Look at it again and sign it anew.",
}
Collect = Callable[[str, GovernedStore], Sources]
Trust = Callable[[], tuple[TrustedKey, ...]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the gates need of the site.

    Parameters
    ----------
    collect : the sources of a release digest as they are now.
    trust : the keys that count now.
    """

    collect: Collect
    trust: Trust

    def gates(self) -> tuple[Gate, ...]:
        """Return the five gates in the order in which a person mends what they object to."""
        return (
            self.classification_gate,
            self.risk_gate,
            self.declaration_gate,
            self.technical_file_gate,
            self.personnel_gate,
        )

    def personnel_gate(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Object unless overseers are named, trained and know the instructions as they are now."""
        if passage.mode != "clinical" or passage.after not in LIVE or passage.before == RETURNING:
            return ()
        sources = self.collect(passage.release_digest, documents)
        versions = [version_of(instructions(sources, language)) for language in LANGUAGES]
        on = passage.decided_at.date()
        return personnel.objections(documents, passage.plugin, versions, on)

    def technical_file_gate(
        self, passage: Passage, documents: GovernedStore
    ) -> tuple[Objection, ...]:
        """Object unless a complete file of the release was built from the present sources."""
        if not _concerns(passage):
            return ()
        document = documents.governed(KIND, passage.release_digest)
        if document is None:
            return (_objection("TECHNICAL_FILE_MISSING", "expected a technical file"),)
        try:
            record = open_sealed(document.content, self.trust())
        except SignatureError as error:
            return (_objection("TECHNICAL_FILE_INVALID", str(error)),)
        found = list(_incomplete(record, passage))
        if passage.before != RETURNING:
            current = self.collect(passage.release_digest, documents).digests()
            changed = stale_sources(record, current)
            if changed:
                text = f"the technical file is older than {', '.join(changed[:4])}"
                found.append(_objection("TECHNICAL_FILE_STALE", text))
        return tuple(found)

    def risk_gate(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Object while a hazard is not controlled, tested and accepted."""
        if not _concerns(passage):
            return ()
        return risk_objections(self.collect(passage.release_digest, documents))

    def classification_gate(
        self, passage: Passage, documents: GovernedStore
    ) -> tuple[Objection, ...]:
        """Object unless a signed, unexpired, consistent classification is there."""
        if not _concerns(passage):
            return ()
        document = documents.governed(classification.KIND, passage.plugin)
        if document is None:
            return (_objection("CLASSIFICATION_MISSING", "expected a risk classification"),)
        try:
            record = read_classification(open_sealed(document.content, self.trust()))
            check_classification(record, _register(documents, passage.plugin))
        except (SignatureError, ConfigurationError) as error:
            return (_objection("CLASSIFICATION_INVALID", str(error)),)
        except RefusalError as error:
            return tuple(Objection(code, str(error), error.advice) for code in error.reasons)
        if record.valid_until < passage.decided_at.date():
            text = f"the classification expired on {record.valid_until.isoformat()}"
            return (_objection("CLASSIFICATION_EXPIRED", text),)
        return ()

    def declaration_gate(self, passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        """Object unless a valid declaration names this release; none is needed in house."""
        if not _concerns(passage) or passage.after == "approved":
            return ()  # the act follows the approval: it declares what was approved
        record = documents.governed(classification.KIND, passage.plugin)
        if record is not None and record.content.get("route") == "in_house":
            return ()  # whether that record counts is the business of its own gate
        document = documents.governed(declaration.KIND, passage.release_digest)
        content = None if document is None else document.content
        return declaration.objections(content, passage.release_digest, self.trust())


def risk_objections(sources: Sources) -> tuple[Objection, ...]:
    """Return what of the risk management of a release stands in the way."""
    document = sources.content(risk.KIND)
    if document is None:
        return (risk_trace.objection("RISK_REGISTER_MISSING", "expected a risk register"),)
    try:
        register = read_register(document)
        evidence = _evidence(sources)
    except ConfigurationError as error:
        return (risk_trace.objection("RISK_REGISTER_INVALID", str(error)),)
    known = risk_trace.Known(
        evidence=evidence,
        accepted=frozenset(_accepted(sources)),
        ifu_sections=SECTIONS,
        sources=frozenset(sources.found),
    )
    return risk_trace.objections(register, risk_trace.hazard_digests(document), known)


def _concerns(passage: Passage) -> bool:
    return passage.mode == "clinical" and passage.after in NEEDED


def _incomplete(record: dict[str, Any], passage: Passage) -> Iterator[Objection]:
    if record.get("release_digest") != passage.release_digest:
        yield _objection("TECHNICAL_FILE_INVALID", "the record is of another release")
    missing = record.get("missing", ["?"])
    if passage.after == "approved":  # the declaration follows the approval
        missing = [path for path in missing if path != DECLARATION]
    if missing:
        text = f"{len(missing)} fields are missing, first {', '.join(missing[:3])}"
        yield _objection("TECHNICAL_FILE_INCOMPLETE", text)
    if record.get("subgroups_missing", True):
        text = "accuracy for groups of persons is missing"
        yield _objection("SUBGROUP_ACCURACY_MISSING", text)


def _register(documents: GovernedStore, plugin: str) -> RiskRegister | None:
    document = documents.governed(risk.KIND, plugin)
    return None if document is None else read_register(document.content)


def _evidence(sources: Sources) -> risk_trace.Evidence | None:
    """Return the recorded tests of exactly this release."""
    document = sources.content(risk_trace.EVIDENCE_KIND)
    found = None if document is None else risk_trace.read_evidence(document)
    return found if found and found.release_digest == sources.release_digest else None


def _accepted(sources: Sources) -> Iterator[str]:
    """Yield the digests of hazards whose residual risk somebody accepted, with a good seal."""
    for name, source in sources.found.items():
        acceptance = name.startswith(f"{risk_trace.ACCEPTANCE_KIND}/")
        if acceptance and source.content and source.content.get("plugin") == sources.plugin:
            yield str(source.content.get("hazard_sha256"))


def _objection(code: str, text: str) -> Objection:
    return Objection(code, text, ADVICE[code])
