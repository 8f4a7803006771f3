"""The documents without which clinical mode lets nothing run, for the releases of a drill.

    1  what holds for the site and the plugin: provider, standards, quality map, register, ...
    2  what holds for each release: measured accuracy, test log, statements, certificate
    3  the change from the first to the second: baseline, classification, new certificate
    4  the technical file, two approvals, the declaration, the file once more; the commissioning

Every text says that it is a drill's.  Nothing is left out: each gate is passed, none is
taken away.

Read next: `drill.py`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.change.acts import add_reference, name_baseline, record_change
from adapters.change.evidence import Brought
from adapters.change.origins import declare_provider
from adapters.change.standing import classified
from adapters.governance import drill_measure
from adapters.governance.approving import approve
from adapters.governance.certifying import certify
from adapters.governance.persons import Somebody
from adapters.personnel import acknowledge, assess, record_training
from adapters.technical_file import acts
from adapters.technical_file.build import look, write
from adapters.validation import commissioning
from governance import accuracy, classification, personnel, provider, risk
from governance import commissioning as commissioned
from governance.certificate import Certificate, issue
from governance.change.ledger import Baseline, Reference
from governance.declaration import Signer
from governance.release import digest_of, open_release
from governance.technical_file.fields import FIELDS
from governance.technical_file.sources import MONITORING, OVERSEERS

if TYPE_CHECKING:
    from adapters.compose import Site

ENGINEER = Somebody("drill-engineer", "engineer")
APPROVER = Somebody("drill-approver", "approver")
PHYSICIST = Somebody("drill-physicist", "physicist")
NAME = "Drill (no company)"
SIGNER = Signer("Drill", "Drill Person", "drill", NAME)
_DAYS = timedelta(days=30)
_NO_PLAN = ("p2.f.predetermined_changes", "p2.f.continuous_compliance_solutions")


def document_site(site: Site, plugin: str, digest: str) -> None:
    """Record what holds for the site and the plugin; ``digest`` is any release of it."""
    due = (site.now() + _DAYS).date().isoformat()
    aspect = {"procedure": "drill", "owner": "drill", "review_due": due}
    device = {"name": "Drill", "type": "software", "basic_udi_di": "DRILL", "udi_di": "DRILL"}
    body = {"name": NAME, "number": "0000", "procedure": "drill", "certificate_id": "drill-1.0.0"}
    found: dict[str, dict[str, Any]] = {
        provider.PROVIDER: {
            "schema": "osteon.provider/1", "name": NAME, "address": "Drill",
            "email": "drill@example.org", "processes_personal_data": False,
            "other_acts": ["Regulation (EU) 2017/745"], "notified_body": body,
            "devices": {plugin: device},
        },
        provider.STANDARDS: {
            "schema": "osteon.standards/1",
            "standards": [{"reference": "Drill", "title": "Drill", "extent": "part"}],
        },
        provider.QMS: {
            "schema": "osteon.qms_map/1",
            "aspects": dict.fromkeys(provider.QMS_ASPECTS, aspect),
        },
        provider.PLACING: {
            "schema": "osteon.placing/1", "first_placed": site.now().date().isoformat(),
        },
        OVERSEERS: {
            "schema": "osteon.overseers/1",
            "overseers": [{"account": PHYSICIST.account_id, "role": PHYSICIST.role}],
        },
        MONITORING: {"system": "drill", "metrics": ["dsc"]},
        risk.KIND: _register(plugin),
    }  # fmt: skip
    for kind, content in found.items():
        acts.record(site, kind, digest, content, ENGINEER)
    acts.classify(site, digest, _classification(plugin, due), APPROVER)
    today = site.now().date().isoformat()
    training = {
        "schema": personnel.TRAINING_SCHEMA, "plugin": plugin, "account": PHYSICIST.account_id,
        "topic": "Drill", "by": "Drill", "on": today, "valid_until": due,
    }  # fmt: skip
    record_training(site, plugin, PHYSICIST.account_id, training, APPROVER)
    assessed = {
        "schema": personnel.ASSESSMENT_SCHEMA, "reference": "drill", "signed_by": NAME,
        "signed_on": today, "review_due": due,
    }  # fmt: skip
    assess(site, personnel.DPIA, plugin, assessed, APPROVER)


def document_release(site: Site, digest: str, threshold_hu: float) -> None:
    """Record what holds for one release, and certify it by what was measured."""
    row = site.registry.row(digest)
    begun = site.now()
    measured = drill_measure.accuracy(row.plugin, threshold_hu, digest)
    acts.record(site, accuracy.KIND, digest, measured, ENGINEER)
    acts.verify(site, digest, drill_measure.test_log(row.plugin, threshold_hu), ENGINEER)
    certify(site, digest, PHYSICIST, certificate(site, digest, begun, measured))
    declare_provider(site, digest, APPROVER)  # made here, it is no longer the publisher's
    for rule in FIELDS:
        if rule.gen != "A":
            acts.state_field(site, digest, rule.path, f"Drill: {rule.en}.", PHYSICIST)
    for path in _NO_PLAN:
        acts.state_field(site, digest, path, "Drill: no plan.", PHYSICIST, not_applicable=True)


def document_change(site: Site, old: str, new: str) -> None:
    """Name the first release as baseline, classify the change, and record its new certificate."""
    row = site.registry.row(new)
    baseline = Baseline(row.plugin, old, "drill-1.0.0", site.now())
    name_baseline(site, baseline, APPROVER)
    pair = tuple(
        open_release(Path(site.registry.row(digest).path), digest) for digest in (old, new)
    )
    found = classified(site, pair[0], pair[1], Brought())
    record_change(site, found, Brought(), (pair[0], pair[1]), ENGINEER)
    now = site.now()
    reference = Reference("certificate", f"drill-{row.version}", now, now + _DAYS)
    add_reference(site, new, reference, APPROVER)


def approve_release(site: Site, digest: str, folder: Path) -> None:
    """Build the technical file, approve by two persons, declare, and build it once more."""
    write(site, look(site, digest), folder, ENGINEER, pdf=False)
    approve(site, digest, APPROVER, "responsibility")
    approve(site, digest, PHYSICIST, "review")
    acts.declare(site, digest, SIGNER, APPROVER)
    write(site, look(site, digest), folder, ENGINEER, pdf=False)
    acknowledge(site, digest, PHYSICIST, "en")
    commission_release(site, digest)


def commission_release(site: Site, digest: str) -> None:
    """Sign the commissioning of a release of the drill for the phantoms' scanner, for a day.

    It rests on the drill's own certificate: no patient of a site was judged, and it says so.
    """
    now, row = site.now(), site.registry.row(digest)
    scanner = {"manufacturer": "Osteon", "model": "Limb phantom"}
    content = {
        "site": site.configuration.site.name, "plugin": row.plugin, "release_digest": digest,
        "plan_id": f"drill-{row.version}", "plan_digest": digest_of(drill_measure.criteria()),
        "report_digest": digest_of(drill_measure.criteria()), "scanners": [scanner],
        "ran_by": ENGINEER.account_id, "signed_by": PHYSICIST.account_id,
        "role": PHYSICIST.role, "reason": "drill: phantoms, no patient", "state": "valid",
        "signed_at": now.isoformat(), "expires_at": (now + timedelta(days=1)).isoformat(),
        "routine_days": 1,
    }  # fmt: skip
    commissioning.record(site, commissioned.SIGNED, digest, content, PHYSICIST)


def certificate(site: Site, digest: str, begun: Any, measured: dict[str, Any]) -> bytes:
    """Return the certificate of a release of the drill: what phantoms showed, for a day."""
    now = site.now()
    version = site.registry.row(digest).version
    figure = measured["groups"][0]["figures"]["dsc"]["value"]
    stated = Certificate(
        certificate_id=f"drill-{version}",
        release_digest=digest,
        cohort_digest=digest_of(repr((drill_measure.COARSE, drill_measure.PERSONS)).encode()),
        criteria_digest=digest_of(drill_measure.criteria()),
        criteria_recorded_at=begun - timedelta(seconds=1),
        evaluated_at=begun,
        metric_pack=drill_measure.PACK,
        method="held-out",
        strata=(),
        verdict="pass" if figure >= drill_measure.CRITERION else "fail",
        report_digest=measured["report_sha256"],
        issued_at=now,
        expires_at=now + timedelta(days=1),
    )
    return issue(stated, site.keys.certificate, site.keys.certificate_key_id, now)


def _register(plugin: str) -> dict[str, Any]:
    control = {
        "id": "D1-1", "type": "protect", "text": "The outline of a known bone is compared.",
        "code": ["plugins/example/plugin.py::Example"], "tests": [drill_measure.TEST],
    }  # fmt: skip
    hazard = {
        "id": "D1", "title": "Drill: the outline is wrong", "sequence": "drill", "harm": "none",
        "severity": "minor", "probability_before": "occasional", "probability_after": "remote",
        "estimate": "drill", "effect": [accuracy.KIND], "controls": [control],
    }  # fmt: skip
    return {
        "schema": risk.SCHEMA, "plugin": plugin, "version": "1", "estimated_by": "drill",
        "hazards": [hazard],
    }  # fmt: skip


def _classification(plugin: str, valid_until: str) -> dict[str, Any]:
    return {
        "schema": classification.SCHEMA, "plugin": plugin, "route": "high_risk",
        "autonomy": "proposes", "influence": "decision", "decision_harm": "serious",
        "mdr_class": "IIb", "mdr_rule": "11", "iec_62304_class": "C", "safety_component": True,
        "rationale": "Drill.", "hazards": ["D1"], "valid_until": valid_until,
    }  # fmt: skip
