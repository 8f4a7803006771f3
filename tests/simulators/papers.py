"""Governed documents in memory, a small release, and everything that a complete file needs.

`Papers` fulfils `governance.ports.GovernedStore` without a database; `complete` puts every
document of a technical file into it, so that a test can take one away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import canonical
from governance import accuracy, classification, declaration, provider, risk, risk_trace
from governance.declaration import Signer, Subject
from governance.ports import GovernedDocument
from governance.release import ATTACHMENTS as FOLDER
from governance.release import Release, build, digest_of, unpack_zip
from governance.sealed import Sealer, seal, unsealed
from governance.signing import TrustedKey
from governance.technical_file.fields import FIELDS
from governance.technical_file.sources import (
    CERTIFICATE,
    MONITORING,
    OVERSEERS,
    PLAN,
    Sources,
    collect,
)
from governance.technical_file.statements import KIND as STATEMENT
from governance.technical_file.statements import name_of, sign_statement, state

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
_KEY = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
SEALER = Sealer(_KEY, "report-test")
TRUST = (TrustedKey("report-test", "report", _KEY.public_key().public_bytes_raw(), NOW),)
OTHER_SEALER = Sealer(Ed25519PrivateKey.from_private_bytes(b"\x06" * 32), "report-test")
PLUGIN = "outline"
TEST = "tests/test_outline.py::test_the_contour_lies_on_the_tumour"
CARD = """# Model card: outline

**Intended purpose.** Propose a contour for review.

**Not meant for**: metastases.

**Input.** One CT. **Output.** One segmentation, or an abstention.

**Method.** A network.

**Data.** 34 patients of one public collection.

## Limits and failure modes

- **Faint uptake** is missed.
- Large tumours are cut.

## Explanation

Attribution of each input.
"""
STATED = {
    "interfaces": [{"name": "pacs", "kind": "folder", "direction": "studies in"}],
    "versions": [],
}


@dataclass
class Papers:
    """Governed documents of a site, in memory."""

    rows: dict[tuple[str, str], list[GovernedDocument]] = field(default_factory=dict)

    def governed(self, kind: str, name: str) -> GovernedDocument | None:
        """Return the newest revision."""
        return self.rows[(kind, name)][-1] if (kind, name) in self.rows else None

    def governed_all(self, kind: str) -> tuple[GovernedDocument, ...]:
        """Return the newest revision of every document of a kind, by name."""
        return tuple(rows[-1] for (k, _), rows in sorted(self.rows.items()) if k == kind)

    def governed_history(self, kind: str, name: str) -> tuple[GovernedDocument, ...]:
        """Return every revision."""
        return tuple(self.rows.get((kind, name), ()))

    def put_governed(
        self, kind: str, name: str, content: Mapping[str, Any], person: str, at: datetime
    ) -> GovernedDocument:
        """Add a revision."""
        raw = canonical.encode(dict(content))
        rows = self.rows.setdefault((kind, name), [])
        document = GovernedDocument(
            kind, name, len(rows) + 1, digest_of(raw), canonical.decode(raw), at, person
        )
        rows.append(document)
        return document

    def put(self, kind: str, name: str, content: Mapping[str, Any]) -> GovernedDocument:
        """Add a revision by a test's person, now."""
        return self.put_governed(kind, name, content, "account:anna", NOW)

    def copied(self) -> Papers:
        """Return the same documents; what is put there is not put here."""
        return Papers({key: list(rows) for key, rows in self.rows.items()})

    def without(self, kind: str, name: str) -> Papers:
        """Return the same documents but one."""
        papers = self.copied()
        del papers.rows[(kind, name)]
        return papers


def small_release(*, certificate: bool = True, version: str = "1.0.0", **changes: Any) -> Release:
    """Return a release of two small weight files, in memory."""
    members = {
        "card.md": CARD.encode(),
        "criteria.json": json.dumps(
            {
                "metric_pack": "outline/1", "method": "held-out", "recorded_at": "2026-11-24",
                "criteria": [
                    {"id": "dsc", "given": "ct", "stratum": "all", "metric": "dsc",
                     "statistic": "mean", "at_least": 0.8, "reason": "saves time"}
                ],
            }
        ).encode(),
        "sbom.json": b'{"components": [{"name": "numpy"}]}',
        "weights/a": b"weights",
    }  # fmt: skip
    declared: dict[str, Any] = {
        "plugin": PLUGIN, "version": version, "title": "Outline", "built_by": "osteon test",
        "intended_purpose": "Propose a contour for review.", "host_api": 1,
        "inputs": [{"role": "ct", "modality": "CT", "required": True, "minimum_instances": 16}],
        "outputs": [{"kind": "Segmentation", "name": "GTVp", "code_value": "86049000",
                     "code_scheme": "SCT", "code_meaning": "Neoplasm, Primary"}],
        "envelope": {"age_years": [10, 120], "body_parts": ["LEG"]},
        "limits": {"threads": 2, "memory_mb": 4096, "wall_time_s": 120},
        "parameters": {"mirrored": True}, "model_packages": ["models.unet"],
        "entry_point": "plugins.outline.plugin:Outline",
        "runtime": {"python": "3.11", "pins": {"numpy": "2.4.6"}},
        "training": [{"file": "a", "role": "outline", "fold": 0, "recipe_digest": "sha256:2",
                      "trained_on": ["P1", "P2"], "source": "public", "licence": "CC-BY-3.0"}],
    }  # fmt: skip
    raw = build(declared | changes, members)
    content = unpack_zip(raw, "test")
    manifest = canonical.decode(content["manifest.json"])
    digest = digest_of(content["manifest.json"])
    attachments = {}
    if certificate:
        attachments[CERTIFICATE] = canonical.encode(
            {"certificate": {"certificate_id": "C-1", "release_digest": digest, "verdict": "pass"},
             "signatures": [{"key_id": "certificate-1"}]}
        )  # fmt: skip
    content |= {FOLDER + name: value for name, value in attachments.items()}
    return Release(digest, manifest, tuple(attachments), content.__getitem__)


def sources_of(release: Release, papers: Papers, on: date = TODAY, **stated: Any) -> Sources:
    """Return the sources of a release with these documents."""
    return collect(release, papers, STATED | stated, TRUST, on)


def measured(release: Release, **changes: Any) -> dict[str, Any]:
    """Return accuracy of a release with a group of each kind."""
    figure = {"dsc": {"value": 0.8167, "low": 0.7904, "high": 0.8395, "n": 34}}

    def group(name: str, about: str, n: int) -> dict[str, Any]:
        return {"given": "ct", "name": name, "about": about, "n": n, "figures": figure}

    return {
        "schema": accuracy.SCHEMA, "release_digest": release.digest,
        "report_sha256": "sha256:" + "ab" * 32, "weights": [digest_of(b"weights")],
        "method": "held-out", "interval": "95 % bootstrap", "smallest_group": 8,
        "metrics": [{"key": "dsc", "title": "DSC", "digits": 3}],
        "groups": [group("all", "all", 34), group("below 100 ml", "finding", 12),
                   group("under 18", "person", 2), group("female", "person", 15)],
    } | changes  # fmt: skip


def register(**changes: Any) -> dict[str, Any]:
    """Return a risk register of one hazard that a test controls, the instructions inform of."""
    hazard = {
        "id": "H1", "title": "Part is missed", "sequence": "faint uptake", "harm": "underdosage",
        "severity": "critical", "probability_before": "probable",
        "probability_after": "occasional", "estimate": "measured", "effect": ["accuracy"],
        "controls": [
            {"id": "H1-1", "type": "protect", "text": "A bound is shown.",
             "code": ["models/outline.py::judge"], "tests": [TEST]},
            {"id": "H1-2", "type": "inform", "text": "Look at every slice.",
             "ifu": "interpretation"},
        ],
    }  # fmt: skip
    return {
        "schema": risk.SCHEMA, "plugin": PLUGIN, "version": "1", "estimated_by": "a test",
        "hazards": [hazard | changes],
    }  # fmt: skip


def classified(**changes: Any) -> dict[str, Any]:
    """Return a consistent classification."""
    return {
        "schema": classification.SCHEMA, "plugin": PLUGIN, "route": "high_risk",
        "autonomy": "proposes", "influence": "decision", "decision_harm": "serious",
        "mdr_class": "IIb", "mdr_rule": "11", "iec_62304_class": "C", "safety_component": True,
        "rationale": "A missed part is underdosed.", "hazards": ["H1"],
        "valid_until": (TODAY + timedelta(days=365)).isoformat(),
    } | changes  # fmt: skip


def provided(**changes: Any) -> dict[str, Any]:
    """Return a provider with a notified body."""
    return {
        "schema": "osteon.provider/1", "name": "Example", "address": "1 Street",
        "email": "a@example.org", "processes_personal_data": True,
        "other_acts": ["Regulation (EU) 2017/745"],
        "notified_body": {"name": "Body", "number": "0123", "procedure": "Annex IX",
                          "certificate_id": "NB-1"},
        "devices": {PLUGIN: {"name": "Outline", "type": "software", "basic_udi_di": "B",
                             "udi_di": "D"}},
    } | changes  # fmt: skip


def verified(release: Release, **outcomes: str) -> dict[str, Any]:
    """Return recorded outcomes; the control's test passed unless said otherwise."""
    return {
        "schema": risk_trace.EVIDENCE_SCHEMA, "release_digest": release.digest,
        "outcomes": {TEST: "passed"} | outcomes, "junit_sha256": "sha256:3", "other_code": [],
    }  # fmt: skip


def accepted(document: Mapping[str, Any], hazard: str = "H1") -> dict[str, Any]:
    """Return the sealed acceptance of one hazard of a register."""
    content = {
        "plugin": PLUGIN, "hazard_id": hazard, "reason": "benefit outweighs it",
        "hazard_sha256": risk_trace.hazard_digests(document)[hazard], "author": "anna",
    }  # fmt: skip
    return seal(content, SEALER, NOW)


def complete(release: Release) -> Papers:
    """Return every document that a complete technical file of a release needs."""
    papers = Papers()
    standards = {
        "schema": "osteon.standards/1",
        "standards": [{"reference": "EN ISO 14971", "title": "Risk", "extent": "full"}],
    }
    qms = {
        letter: {"procedure": "P", "owner": "O", "review_due": "2027-11-25"}
        for letter in provider.QMS_ASPECTS
    }
    papers.put(provider.PROVIDER, provider.SITE, provided())
    papers.put(provider.STANDARDS, provider.SITE, standards)
    papers.put(provider.QMS, provider.SITE, {"schema": "osteon.qms_map/1", "aspects": qms})
    papers.put(provider.PLACING, PLUGIN, {"schema": "x", "first_placed": "2026-11-01"})
    papers.put(risk.KIND, PLUGIN, register())
    papers.put(risk_trace.EVIDENCE_KIND, release.digest, verified(release))
    papers.put(risk_trace.ACCEPTANCE_KIND, f"{PLUGIN}/H1", accepted(register()))
    papers.put(classification.KIND, PLUGIN, seal(classified(), SEALER, NOW))
    papers.put(accuracy.KIND, release.digest, measured(release))
    papers.put(OVERSEERS, PLUGIN, {"overseers": [{"account": "anna", "role": "clinician"}]})
    papers.put(MONITORING, PLUGIN, {"system": "weekly", "metrics": ["dsc"]})
    papers.put(PLAN, PLUGIN, {"plan": {
        "version": "1", "modification": [{"id": "M1", "rationale": "more data"}],
        "step": [{"id": "S1"}], "budget": {"max_updates": 4},
    }})  # fmt: skip
    for rule in FIELDS:
        if rule.gen != "A":
            said = state(rule.path, f"Stated on {rule.path}.", release.digest, ("anna", "engineer"))
            name = name_of(rule, release.digest)
            papers.put(STATEMENT, name, sign_statement(said, SEALER, NOW))
    papers.put(declaration.KIND, release.digest, declared(release, papers))
    return papers


def declared(release: Release, papers: Papers) -> dict[str, Any]:
    """Return the signed declaration of a release."""
    stated = papers.governed(provider.STANDARDS, provider.SITE)
    record = papers.governed(classification.KIND, PLUGIN)
    assert stated is not None
    assert record is not None
    draft = declaration.draft(
        Subject(PLUGIN, "1.0.0", release.digest, "Outline"),
        provider.read_provider(provided()),
        provider.read_standards(stated.content),
        classification.read_classification(unsealed(record.content)),
    )
    signer = Signer("Exampletown", "A. Person", "PRRC", "Example")
    return declaration.declare(draft, signer, "anna", SEALER, NOW)
