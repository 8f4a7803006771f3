"""Every kind of record is written at its place, and the inference record says all it must."""

import ast
from pathlib import Path
from typing import Any

import pytest

from adapters.database.consent_records import Consent
from audit.errors import BarredError, NotFoundError
from audit.kinds import KINDS, NOT_EVALUATED
from governance import provider
from tests.simulators.papers import provided
from tests.simulators.run_values import (
    INSTANCES,
    STUDY,
    answer_for,
    case_for,
    documents_for,
    request_for,
)
from tests.simulators.site_database import Recorded

ROOT = Path(__file__).resolve().parents[2]
STEPS = "plugins/host/steps.py"
WRITTEN: dict[str, tuple[str, str]] = {
    # kind: (method that writes it, a place that calls it)
    "study_event": ("study_event", "adapters/engine/feed.py"),
    "route_decision": ("route_decision", "adapters/engine/feed.py"),
    "run_opened": ("opened", STEPS),
    "input_read": ("input_read", STEPS),
    "inference": ("inferred", STEPS),
    "explanation": ("inferred", STEPS),
    "delivery": ("delivered", STEPS),
    "refusal": ("refused", STEPS),
    "run_closed": ("closed", STEPS),
    "assessment": ("assessment", "adapters/oversight/acts.py"),
    "what_if": ("what_if", "adapters/what_if.py"),
    "plan_comparison": ("plan_compared", "adapters/oversight/plans.py"),
    "comparison": ("compared", "adapters/governance/comparing.py"),
    "replay": ("replayed", "adapters/replay.py"),
    "by_hand": ("by_hand", "adapters/hand.py"),
    "seed": ("seed_taken", "adapters/seeds/finder.py"),
    "prescription": ("prescription_taken", "adapters/prescriptions/finder.py"),
    "guard": ("guard", "adapters/governance/certifying.py"),
    "fault": ("fault", "adapters/engine/execution.py"),
    "release": ("release", "adapters/registry.py"),
    "lifecycle": ("lifecycle", "adapters/governance/acts.py"),
    "key": ("key", "adapters/key_changes.py"),
    "governed": ("governed", "adapters/change/acts.py"),
    "configuration_change": ("configuration_change", "adapters/configuration_watch.py"),
    "consent": ("consent", "adapters/cli/audit_consent.py"),
    "access": ("access", "adapters/keeping/exporting.py"),
    "account": ("account", "adapters/passwords.py"),
    "incident": ("incident", "adapters/incidents/acts.py"),
    "legal_hold": ("legal_hold", "adapters/incidents/acts.py"),
    "cohort": ("cohort", "adapters/validation/opening.py"),
    "evidence": ("evidence", "adapters/incidents/snapshot.py"),
    "export": ("export", "adapters/keeping/exporting.py"),
    "purge": ("purge", "adapters/keeping/purging.py"),
    "erasure": ("erasure", "adapters/keeping/erasing.py"),
    "restore": ("restore", "adapters/keeping/restoring.py"),
    "stop": ("stop", "adapters/governance/stopping.py"),
    "clock": ("clock", "adapters/attestation/forwarding.py"),
}
OF_THE_ISSUE = (
    "study_event", "route_decision", "run_opened", "run_closed", "input_read", "inference",
    "explanation", "delivery", "assessment", "guard", "fault", "release", "lifecycle",
    "configuration_change", "access", "consent", "export", "legal_hold", "purge", "stop", "clock",
)  # fmt: skip


def _calls(path: str) -> set[str]:
    """Return the names of the methods that a file calls."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }


def test_every_kind_is_in_the_list() -> None:
    """A new kind names the place that writes it, and the kinds of the issue all exist."""
    assert set(WRITTEN) == set(KINDS)
    assert set(OF_THE_ISSUE) <= set(KINDS)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_kind_is_written_at_its_place(kind: str) -> None:
    """The method appends that kind, and the place calls the method."""
    method, place = WRITTEN[kind]
    assert method in _calls(place)
    sources = sorted((ROOT / "adapters" / "database").glob("*.py"))
    bodies = [
        ast.unparse(node)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name in (method, f"_{method[:-1]}")
    ]
    assert any(f"'{kind}'" in body for body in bodies), kind


ROWS: dict[int, tuple[str, ...]] = {
    1: ("event_id", "schema"),
    2: ("kind", "body.trigger", "mode"),
    3: ("body.started_at", "body.ended_at"),
    4: ("recorded_at", "clock.source"),
    5: ("outcome.code", "outcome.reason"),
    6: ("site", "node"),
    7: ("body.plugin.id", "body.plugin.version", "body.plugin.udi_di", "body.plugin.udi_pi"),
    8: (
        "body.plugin.manifest_sha256", "body.plugin.certificate_id", "body.plugin.doc_id",
        "body.plugin.ifu_version",
    ),
    9: ("body.launcher.id", "body.launcher.requested_by", "actor.id"),
    10: ("body.model.weights_sha256", "body.model.baseline_version", "body.model.change_seq"),
    11: (
        "body.model.pre_sha256", "body.model.post_sha256", "body.model.operating_point",
        "body.model.thresholds",
    ),
    12: (
        "body.runtime.image_digest", "body.runtime.sbom_sha256", "body.runtime.device",
        "body.runtime.deterministic", "body.runtime.seed",
    ),
    13: ("subject.pseudonym",),
    14: ("subject.age_band", "subject.sex", "subject.site_code", "body.tumour_code"),
    15: ("body.input.study_uid_p", "body.input.series_uid_p", "body.input.frame_of_ref_uid_p"),
    16: ("body.input.sop_class", "body.input.n_instances", "body.input.content_sha256"),
    17: ("body.input.spec_check", "body.input.quality_flags"),
    18: (
        "body.guards.ood_score", "body.guards.ood_limit", "body.guards.verdict",
        "body.guards.tripped",
    ),
    19: ("body.output.documents",),
    20: ("body.output.rois",),
    21: ("body.output.status",),
    22: ("body.explanation.kind", "body.explanation.sop_uid_p", "body.explanation.sha256"),
    23: ("body.workflow.ups_uid_p", "body.workflow.accession_p"),
    24: ("body.workflow.request_id",),
    25: ("body.consent.decision", "body.consent.consent_ref_p", "body.consent.basis"),
    26: ("body.oversight.required_role", "body.oversight.assessment_due"),
    27: ("body.purpose_of_use",),
    28: ("body.prev_assessment", "body.supersedes"),
}  # fmt: skip
UNKNOWN = {
    # No service answers these, or no monitor computes them yet (SEAMS, Record).
    "body.guards.ood_score", "body.guards.ood_limit", "body.workflow.ups_uid_p",
    "body.workflow.accession_p", "body.tumour_code", "body.prev_assessment",
    # A declaration and acknowledged instructions (`governance.personnel`) lie nowhere here.
    "body.plugin.doc_id", "body.plugin.ifu_version",
    "body.model.change_seq", "body.model.baseline_version", "body.plugin.certificate_id",
    # The release of these values lies nowhere, so that it has no members.
    "body.model.weights_sha256", "body.model.pre_sha256", "body.model.post_sha256",
    "body.runtime.sbom_sha256",
}  # fmt: skip


def _run(site: Recorded, number: int = 1) -> None:
    request, case = request_for(number), case_for()
    site.journal.enrol(STUDY, "PID-47110815")
    site.journal.opened(request)
    site.journal.input_read(request, case, "sha256:" + "0" * 64)
    site.journal.inferred(request, answer_for(case), documents_for(request), {})


def _stated(site: Recorded) -> dict[str, Any]:
    import json

    (leaf,) = [leaf for leaf in site.leaves() if leaf.kind == "inference"][-1:]
    found: dict[str, Any] = json.loads(leaf.leaf)
    return found


def _at(stated: Any, path: str) -> Any:
    for part in path.split("."):
        stated = stated[part]
    return stated


@pytest.mark.reg("AIA-12.2b")
def test_the_inference_record_has_all_its_rows(sqlite_recorded: Recorded) -> None:
    """Rows 1 to 28 stand in the record, each evaluated where something can; 29 beside it."""
    site = sqlite_recorded
    site.journal.enrol(STUDY, "PID-47110815")
    with site.database.transaction() as transaction:
        stated = Consent("permit", "folder 7, page 3", "GDPR-9-2-h")
        site.journal.consent(transaction, STUDY, stated, "account:a")
    _run(site)
    found = _stated(site)
    assert sorted(ROWS) == list(range(1, 29))
    for row, paths in ROWS.items():
        for path in paths:
            value = _at(found, path)
            if path not in UNKNOWN | {"body.plugin.udi_di", "body.plugin.udi_pi"}:
                assert value != NOT_EVALUATED, (row, path)
    assert found["body"]["consent"]["decision"] == "permit"
    assert found["body"]["consent"]["consent_ref_p"].startswith("hmac:v1:")
    with site.database.reading() as store:
        index, size, proof = site.log.prove(store, found["event_id"])  # row 29
    assert (index < size, len(proof) > 0) == (True, True)


def test_what_is_in_force_comes_from_the_documents_of_the_site(sqlite_recorded: Recorded) -> None:
    """The UDI is that of the provider's statement for this plugin."""
    site = sqlite_recorded
    device = {"name": "C", "type": "software", "basic_udi_di": "B", "udi_di": "04012345"}
    document = provided(devices={"contouring": device})
    with site.database.transaction() as transaction:
        transaction.put_governed(
            provider.PROVIDER, provider.SITE, document, "account:a", site.clock()
        )
    _run(site)
    plugin = _stated(site)["body"]["plugin"]
    assert (plugin["udi_di"], plugin["udi_pi"]) == ("04012345", "0.1.0")


@pytest.mark.parametrize("decision", ["deny", "withdrawn"])
def test_who_refused_gets_no_more_results(sqlite_recorded: Recorded, decision: str) -> None:
    """A refusal on record bars the patient's runs; a later permission frees them."""
    site, request = sqlite_recorded, request_for()
    with (
        pytest.raises(NotFoundError, match="patient is known"),
        site.database.transaction() as transaction,
    ):
        site.journal.consent(transaction, STUDY, Consent(decision, "x", "GDPR"), "account:a")
    site.journal.enrol(STUDY, "PID-47110815")
    site.journal.enrol(f"{STUDY}.9", "PID-47110815")  # another study of the same patient
    site.journal.opened(request)
    site.journal.require_open(request)
    with site.database.transaction() as transaction:
        refused = Consent(decision, "letter of Quillfeather", "GDPR-7-3")
        site.journal.consent(transaction, f"{STUDY}.9", refused, "account:a")
    with pytest.raises(BarredError) as barred:
        site.journal.require_open(request)
    assert barred.value.reasons == ("CONSENT_DENIED",)
    with site.database.transaction() as transaction:
        permitted = Consent("permit", "x", "GDPR-9-2-h")
        site.journal.consent(transaction, STUDY, permitted, "account:a")
    site.journal.require_open(request)
    site.log.seal(site.database)
    records = site.records("consent")
    assert [record.body["decision"] for record in records] == [decision, "permit"]
    assert all(record.subject and record.subject.pseudonym != NOT_EVALUATED for record in records)
    kept = b"".join(leaf.leaf for leaf in site.leaves())
    assert not any(word.encode() in kept for word in ("Quillfeather", "47110815", *INSTANCES))
