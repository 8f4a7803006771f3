"""A release comes into clinical use when it is documented, and not before.

On a site with every gate: certified but undocumented it is refused; each document that is
recorded takes its objection away; the file that was built is complete; then two persons approve
it, the provider declares it, and it becomes active.  A test that fails afterwards blocks again.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.change.origins import declare_provider
from adapters.compose import Site, open_site
from adapters.governance.acts import act
from adapters.governance.approving import approve
from adapters.governance.certifying import certify
from adapters.home import Home
from adapters.personnel import acknowledge, assess, record_training
from adapters.published import sign_bundle
from adapters.release_builder import build_release
from adapters.technical_file import acts
from adapters.technical_file.build import look, marking_of, write
from adapters.technical_file.demonstration import shipped_register
from audit.errors import RefusalError
from governance import personnel
from governance.declaration import Signer
from governance.provider import QMS_ASPECTS
from governance.release import build, open_release
from governance.risk import WITH_REASON, read_register
from governance.technical_file.fields import FIELDS
from models.training.contouring.accuracy import measured_accuracy
from tests.simulators.commissioned import commission
from tests.simulators.example_site import configuration
from tests.simulators.governed_site import (
    APPROVER,
    CLINICIAN,
    ENGINEER,
    PHYSICIST,
    Clock,
    add_accounts,
    certificate,
    state_of,
)
from tests.simulators.papers import provided

PLUGIN = "contouring"
SIGNER = Signer("Exampletown", "A. Person", "PRRC", "Example")
REGISTER = dict(shipped_register(PLUGIN) or {})
NODES = sorted({t for h in REGISTER["hazards"] for c in h["controls"] for t in c.get("tests", ())})


def _junit(failed: str = "") -> bytes:
    """Return a JUnit file in which every test of the register passed, but one."""
    rows = []
    for node in NODES:
        path, _, name = node.partition("::")
        module = path.removesuffix(".py").replace("/", ".")
        inside = "<failure/>" if node == failed else ""
        rows.append(f'<testcase classname="{module}" name="{name}">{inside}</testcase>')
    return f"<testsuites><testsuite>{''.join(rows)}</testsuite></testsuites>".encode()


def _add(site: Site, folder: Path) -> str:
    """Add contouring's very code from the working tree, with a parameter of this site's own.

    The parameter makes it another release than the published one, which may be the same code.
    """
    built = open_release(build_release(PLUGIN, folder))
    declaration = dict(built.manifest)
    declaration["parameters"] = declaration["parameters"] | {"mirrored": False}
    path = folder / f"{PLUGIN}-of-the-site.osteon"
    path.write_bytes(build(declaration, {name: built.member(name) for name in built.members}))
    bundle = sign_bundle(site.keys, path, site.now())
    return site.registry.add(bundle, person="engineer").digest


def _approve(site: Site, digest: str) -> None:
    approve(site, digest, APPROVER)


def _activate(site: Site, digest: str) -> None:
    act(site, "activate", digest, APPROVER, {"reason": "commissioned"})


def _refused(do: Callable[[Site, str], None], site: Site, digest: str) -> set[str]:
    with pytest.raises(RefusalError) as caught:
        do(site, digest)
    return set(caught.value.reasons)


def _record_everything(site: Site, digest: str) -> None:
    """Record what persons answer for, each in the role that may."""
    due = (site.now() + timedelta(days=300)).date().isoformat()
    aspect = {"procedure": "P", "owner": "O", "review_due": due}
    standard = {"reference": "EN ISO 14971", "title": "Risk", "extent": "full"}
    device = {"name": "Contouring", "type": "software", "basic_udi_di": "B", "udi_di": "D"}
    found: dict[str, dict[str, Any]] = {
        "provider": provided(devices={PLUGIN: device}),
        "standards": {"schema": "osteon.standards/1", "standards": [standard]},
        "qms_map": {"schema": "x", "aspects": dict.fromkeys(QMS_ASPECTS, aspect)},
        "placing": {"schema": "x", "first_placed": "2026-11-25"},
        "overseers": {"overseers": [{"account": "clinician", "role": "clinician"}]},
        "monitoring_plan": {"system": "weekly", "metrics": ["dsc"]},
        "risk_register": REGISTER,
        "accuracy": measured_accuracy(digest, 8),
    }
    for kind, content in found.items():
        acts.record(site, kind, digest, content, ENGINEER)
    acts.verify(site, digest, _junit(), ENGINEER)
    for hazard in read_register(REGISTER).hazards:
        if hazard.risk_after == WITH_REASON:
            acts.accept_risk(site, digest, hazard.hazard_id, "benefit outweighs it", CLINICIAN)
    valid_until = (site.now() + timedelta(days=300)).date().isoformat()
    record = {
        "schema": "osteon.classification/1", "plugin": PLUGIN, "route": "high_risk",
        "autonomy": "proposes", "influence": "decision", "decision_harm": "serious",
        "mdr_class": "IIb", "mdr_rule": "11", "iec_62304_class": "C", "safety_component": True,
        "rationale": "A missed part is underdosed.", "hazards": ["H02", "H03"],
        "valid_until": valid_until,
    }  # fmt: skip
    acts.classify(site, digest, record, APPROVER)
    today = site.now().date().isoformat()
    training = {
        "schema": personnel.TRAINING_SCHEMA, "plugin": PLUGIN, "account": "clinician",
        "topic": "limits and use", "by": "provider", "on": today, "valid_until": due,
    }  # fmt: skip
    record_training(site, PLUGIN, "clinician", training, APPROVER)
    assessed = {
        "schema": personnel.ASSESSMENT_SCHEMA, "reference": "DPIA-7", "signed_by": "dpo",
        "signed_on": today, "review_due": due,
    }  # fmt: skip
    assess(site, personnel.DPIA, PLUGIN, assessed, APPROVER)
    for rule in FIELDS:
        if rule.gen != "A":
            acts.state_field(site, digest, rule.path, f"On {rule.path}.", PHYSICIST)
    for path in ("p2.f.predetermined_changes", "p2.f.continuous_compliance_solutions"):
        acts.state_field(site, digest, path, "no plan", PHYSICIST, not_applicable=True)


@pytest.mark.slow
@pytest.mark.reg("AIA-11.1")
@pytest.mark.reg("AIA-6.1")
@pytest.mark.reg("AIA-9.5")
@pytest.mark.reg("AIA-47")
def test_documented_then_used(tmp_path: Path) -> None:
    """Refused, documented, approved, declared, active; and CE is shown only at the end."""
    settings = configuration(tmp_path, site={"name": "test-site", "mode": "clinical"})
    clock = Clock()
    home = Home(tmp_path / "home").create()
    with open_site(home, configuration=settings, now=clock) as site:
        add_accounts(site)
        digest = _add(site, tmp_path)
        certify(site, digest, PHYSICIST, certificate(site, digest))
        assert _refused(_approve, site, digest) == {
            "CLASSIFICATION_MISSING",
            "RISK_REGISTER_MISSING",
            "TECHNICAL_FILE_MISSING",
        }
        _record_everything(site, digest)
        assert _refused(_approve, site, digest) == {"TECHNICAL_FILE_MISSING"}
        assert look(site, digest).file.missing() == ("p8.eu_doc",)
        write(site, look(site, digest), tmp_path / "out", ENGINEER, pdf=False)
        _approve(site, digest)
        approve(site, digest, PHYSICIST, "review")
        assert marking_of(site, digest) is None
        declare_provider(site, digest, APPROVER)  # it was built here, so this site provides it
        assert _refused(_activate, site, digest) == {
            "COMMISSIONING_MISSING",
            "DECLARATION_MISSING",
            "IFU_NOT_ACKNOWLEDGED",
            "TECHNICAL_FILE_INCOMPLETE",
        }
        commission(site, digest)
        acts.declare(site, digest, SIGNER, APPROVER)
        assert _refused(_activate, site, digest) == {
            "IFU_NOT_ACKNOWLEDGED",
            "TECHNICAL_FILE_INCOMPLETE",
            "TECHNICAL_FILE_STALE",
        }
        write(site, look(site, digest), tmp_path / "out", ENGINEER, pdf=False)
        acts.verify(site, digest, _junit(failed=NODES[0]), ENGINEER)
        acknowledge(site, digest, CLINICIAN, "de")
        assert _refused(_activate, site, digest) == {"RISK_TEST_FAILED", "TECHNICAL_FILE_STALE"}
        acts.verify(site, digest, _junit(), ENGINEER)
        _activate(site, digest)
        assert state_of(site, digest) == "active"
        shown = marking_of(site, digest)
        assert shown is not None
        assert shown.notified_body == "Body (0123)"
        assert NODES[0] in (tmp_path / "out/risk/trace_matrix.csv").read_text("utf-8")
