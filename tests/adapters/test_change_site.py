"""Change control at a site: who may decide, what is kept and recorded, and what it blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.change.acts import (
    add_reference,
    adopt_applicability,
    adopt_plan,
    day,
    keep,
    name_baseline,
    record_change,
    record_protocol,
    set_stop,
    withdraw,
)
from adapters.change.evidence import SIGNATURE, read_context
from adapters.change.origins import compare, declare_provider, site_findings
from adapters.change.signing import sign_evidence, sign_plan_file
from adapters.change.standing import classified, standing_of
from adapters.compose import Site
from adapters.governance.acts import act
from adapters.governance.persons import Somebody
from adapters.governance.promoting import activate, start_canary
from audit.errors import ConfigurationError, NotFoundError, RefusalError, SignatureError
from governance.change.gates import budget_gate, change_gate
from governance.change.ledger import (
    REQUEST,
    RUN,
    Baseline,
    Reference,
    ledger,
    request_of,
)
from governance.change.stops import STATED
from governance.legacy import applicability_of, status_of
from governance.release import Release, open_release
from governance.signing import FOLDER, TrustedKey, load_trust, sign, store_trust
from plugins.host.ports import RunRequest
from tests.simulators.change_plans import plan_document, report_document
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    Clock,
    add_release,
    approved,
    governed_site,
    records,
    state_of,
)
from tests.simulators.paired_studies import compare_studies

Place = tuple[Site, Clock]
REASON = {"reason": "commissioned"}
PAIRS = 3


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Open a clinical site; its gates are those of every site, but the documentation's."""
    rules = {"minimum_pairs": PAIRS}
    with governed_site(tmp_path, mode="clinical", governance=rules) as opened:
        assert {change_gate, budget_gate} <= set(opened[0].gates)
        yield opened


def release_of(site: Site, digest: str) -> Release:
    """Return a release that lies at the site."""
    return open_release(Path(site.registry.row(digest).path), digest)


def two_releases(site: Site) -> tuple[str, str]:
    """Add a certified, active release and its successor with another threshold."""
    first = approved(
        site, add_release(site, "1.0.0", evidence="real", parameters={"threshold": 0.5})
    )
    act(site, "activate", first, APPROVER, REASON)
    second = approved(
        site, add_release(site, "1.1.0", evidence="real", parameters={"threshold": 0.55})
    )
    act(site, "shadow", second, APPROVER, REASON)
    return first, second


def write_plan(site: Site, baseline: str, **changes: Any) -> Path:
    """Write the plan of plugin ``trial`` against this baseline."""
    path = site.home.root / "plan.json"
    changes = {"plugin": "trial", "baseline": baseline, **changes}
    path.write_text(json.dumps(plan_document(**changes)))
    return path


def put_in_plan(site: Site, first: str, **changes: Any) -> None:
    """Name the baseline, sign and adopt the plan, and clear the stops."""
    name_baseline(site, Baseline("trial", first, "NB-1", site.now() - timedelta(days=60)), APPROVER)
    out = site.home.root / "plan.signed.json"
    signed = sign_plan_file(site, write_plan(site, first, **changes), out, APPROVER)
    adopt_plan(site, signed.read_bytes(), APPROVER)
    for name in STATED:
        set_stop(site, "trial", name, is_open=False, reason="looked", person=APPROVER)


def write_context(site: Site, first: str, second: str, *, sign: bool = True, **report: Any) -> Path:
    """Write a context that names modification M3 and a report, signed or not."""
    folder = site.home.root
    compared = {"previous": first, "baseline": first}
    document = report_document(second, **{"compared_with": compared, **report})
    (folder / "report.json").write_text(json.dumps(document))
    (folder / f"report.json{SIGNATURE}").unlink(missing_ok=True)
    if sign:
        sign_evidence(site, folder / "report.json", PHYSICIST)
    path = folder / "change.toml"
    path.write_text('modifications = ["M3"]\nreport = "report.json"\n')
    return path


def classify(site: Site, first: str, second: str, context: Path, person: Any = ENGINEER) -> Any:
    """Classify the change and keep it; return the classification."""
    brought = read_context(context, site.registry.trust())
    pair = release_of(site, first), release_of(site, second)
    found = classified(site, *pair, brought)
    if found.protocol is not None:
        record_protocol(site, found.protocol, person.account_id)
    record_change(site, found, brought, pair, person)
    return found


def refused(function: Any, *values: Any, **named: Any) -> tuple[str, ...]:
    """Return the reasons for which a call is refused."""
    with pytest.raises(RefusalError) as caught:
        function(*values, **named)
    return caught.value.reasons


def into_use(place: Place, digest: str) -> None:
    """Let a release run in shadow, as canary and then for all studies."""
    canary(place, digest)
    site, clock = place
    compare_studies(site, clock, PAIRS)
    activate(site, digest, APPROVER, "commissioned")


def canary(place: Place, digest: str) -> None:
    """Let a release in shadow be compared on enough studies, then be the canary for all."""
    site, clock = place
    with site.database.reading() as transaction:
        compared = len(transaction.comparisons(digest, datetime.min.replace(tzinfo=UTC)))
    compare_studies(site, clock, max(0, PAIRS - compared))
    start_canary(site, digest, APPROVER, "commissioned", 1.0)


@pytest.mark.reg("AIA-43.4")
@pytest.mark.reg("FDA-PCCP1")
def test_an_update_inside_the_plan_becomes_active(place: Place) -> None:
    """Unclassified it is refused; inside the plan, with signed figures, it becomes active."""
    site, _ = place
    first, second = two_releases(site)
    assert refused(into_use, place, second) == ("BASELINE_MISSING",)
    put_in_plan(site, first)
    assert refused(into_use, place, second) == ("CHANGE_NOT_CLASSIFIED",)
    found = classify(site, first, second, write_context(site, first, second))
    assert found.decision.change_class == "D1", [r.code for r in found.plan_reasons]
    assert found.decision.may_activate
    into_use(place, second)
    assert (state_of(site, first), state_of(site, second)) == ("standby", "active")
    act(site, "rollback", first, APPROVER, REASON)
    assert state_of(site, first) == "active"


@pytest.mark.reg("AIA-43.4")
def test_figures_that_nobody_signed_open_nothing(place: Place) -> None:
    """The same report without a signature: the change is D2 and waits for the notified body."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    context = write_context(site, first, second, sign=False)
    assert read_context(context, site.registry.trust()).unsigned == ("report",)
    assert classify(site, first, second, context).decision.change_class == "D2"
    assert refused(into_use, place, second) == ("NB_REFERENCE_MISSING",)


def test_a_report_that_was_changed_after_signing_is_refused(place: Place) -> None:
    """One changed byte of a signed report: nothing is classified by it."""
    site, _ = place
    first, second = two_releases(site)
    context = write_context(site, first, second)
    report = site.home.root / "report.json"
    report.write_text(report.read_text().replace("-0.01", "-0.00"))
    with pytest.raises(SignatureError):
        read_context(context, site.registry.trust())


@pytest.mark.reg("MDR-IX")
def test_a_d2_waits_for_its_reference(place: Place) -> None:
    """The approval of the notified body lets a D2 run for as long as it holds; a D3 needs more."""
    site, clock = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    classify(site, first, second, write_context(site, first, second, sign=False))
    now = site.now()
    approval = Reference("change_approval", "NB-7", now, now + timedelta(days=30))
    assert refused(add_reference, site, second, approval, ENGINEER) == ("ROLE_NOT_PERMITTED",)
    wrong = replace(approval, kind="letter")
    assert refused(add_reference, site, second, wrong, APPROVER) == ("REFERENCE_INVALID",)
    with pytest.raises(NotFoundError):
        add_reference(site, first, approval, APPROVER)
    add_reference(site, second, approval, APPROVER)
    canary(place, second)
    compare_studies(site, clock, PAIRS)
    clock.forward(days=31)
    assert refused(activate, site, second, APPROVER, "now") == ("NB_REFERENCE_MISSING",)


@pytest.mark.reg("AIA-43.4")
def test_the_budget_blocks_what_the_plan_would_permit(place: Place) -> None:
    """Too far from the baseline the change is no D1; past its age it is stopped at the door."""
    site, clock = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    far = {"vs_baseline": {"d_dsc_mean": 0.03, "d_hd95_mm": 0.1}}
    found = classify(site, first, second, write_context(site, first, second, **far))
    assert found.decision.change_class == "D2"
    assert "BUDGET_NOT_OK" in [reason.code for reason in found.decision.reasons]
    found = classify(site, first, second, write_context(site, first, second))
    assert found.decision.change_class == "D1"
    clock.forward(days=306)
    for name in STATED:
        set_stop(site, "trial", name, is_open=False, reason="looked", person=APPROVER)
    assert refused(canary, place, second) == ("BUDGET_AGE_DAYS",)


@pytest.mark.reg("AIA-43.4")
def test_every_look_at_the_sealed_set_counts(place: Place) -> None:
    """The same release classified by another report has looked again, and it stays counted."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    for ece in (0.04, 0.03, 0.02):
        rows = report_document(second)["results"]
        rows[2]["value"] = ece
        classify(site, first, second, write_context(site, first, second, results=rows))
    with site.database.reading() as transaction:
        kept = ledger(transaction, "trial")
        standing = standing_of(site, transaction, "trial")
        runs = transaction.governed_history(RUN, second)
    assert sorted(item.withdrawn for item in kept) == [False, True, True]
    assert standing.plan is not None
    assert len(runs) == 3
    assert all(run.content["passed"] for run in runs)


@pytest.mark.reg("FDA-PCCP1")
def test_every_run_of_the_gates_is_on_record(place: Place) -> None:
    """A run that failed is kept and recorded like one that passed."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    found = classify(site, first, second, write_context(site, first, second, results=[]))
    assert found.decision.change_class == "D2"
    with site.database.reading() as transaction:
        run = transaction.governed(RUN, second)
        request = transaction.governed(REQUEST, second)
    assert run is not None
    assert request is not None
    assert run.content["passed"] is False
    assert {gate["reason"] for gate in run.content["gates"]} == {"FIGURE_MISSING"}
    bodies = [item.body for item in records(site, "governed")]
    shown = {(body["document"], body["sha256"]) for body in bodies}
    assert {("protocol_run", run.digest), ("change_request", request.digest)} <= shown
    assert {"change_baseline", "change_plan", "hard_stop"} <= {body["document"] for body in bodies}


def test_a_withdrawn_change_does_not_run(place: Place) -> None:
    """Taken back with a reason it is refused; without a reason nothing is taken back."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    classify(site, first, second, write_context(site, first, second))
    assert refused(withdraw, site, second, " ", ENGINEER) == ("EVIDENCE_MISSING",)
    withdraw(site, second, "another candidate is better", ENGINEER)
    assert refused(into_use, place, second) == ("CHANGE_WITHDRAWN",)


@pytest.mark.parametrize("person", [CLINICIAN, ADMINISTRATOR, COMPLIANCE])
def test_roles_are_asked(place: Place, person: Somebody) -> None:
    """Who may not decide changes nothing: no plan, baseline, stop, request or evidence."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    context = write_context(site, first, second)
    later = Baseline("trial", second, "NB-2", site.now())
    out = site.home.root / "other.json"
    plan = write_plan(site, first)
    signed = (site.home.root / "plan.signed.json").read_bytes()
    calls = (
        (classify, site, first, second, context, person),
        (name_baseline, site, later, person),
        (adopt_plan, site, signed, person),
        (sign_plan_file, site, plan, out, person),
        (sign_evidence, site, site.home.root / "report.json", person),
        (withdraw, site, second, "x", person),
    )
    with site.database.reading() as transaction:
        before = transaction.governed_all(REQUEST)
    for function, *values in calls:
        assert refused(function, *values) == ("ROLE_NOT_PERMITTED",)
    assert "ROLE_NOT_PERMITTED" in refused(
        set_stop, site, "trial", "drift_alarm_open", is_open=False, reason="x", person=person
    )
    with site.database.reading() as transaction:
        assert transaction.governed_all(REQUEST) == before
    assert not out.exists()


def test_a_clinician_may_open_a_stop(place: Place) -> None:
    """Anybody clinical can stop updates; only an approver can say that all is clear."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    set_stop(site, "trial", "drift_alarm_open", is_open=True, reason="odd", person=CLINICIAN)
    found = classify(site, first, second, write_context(site, first, second))
    assert found.decision.change_class == "D2"
    codes = refused(
        set_stop, site, "trial", "open_incident_hold", is_open=False, reason="x", person=APPROVER
    )
    assert codes == ("STOP_UNKNOWN",)


@pytest.mark.reg("AIA-43.4")
def test_only_a_new_certificate_makes_another_baseline(place: Place) -> None:
    """The old certificate for another release, or a day that lies ahead, resets no budget."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    again = Baseline("trial", second, "NB-1", site.now())
    assert refused(name_baseline, site, again, APPROVER) == ("CERTIFICATE_OF_OTHER_RELEASE",)
    ahead = Baseline("trial", second, "NB-2", site.now() + timedelta(days=1))
    assert refused(name_baseline, site, ahead, APPROVER) == ("BASELINE_INVALID",)
    name_baseline(site, Baseline("trial", second, "NB-2", site.now()), APPROVER)
    into_use(place, second)


def test_a_plan_whose_key_was_revoked_covers_nothing(place: Place) -> None:
    """The plan was good when it came; since its key was revoked no change is inside it."""
    site, _ = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    context = write_context(site, first, second)
    path = site.home.keys / "trust.json"
    keys = tuple(
        replace(key, revoked_at=site.now()) if key.purpose == "plan" else key
        for key in load_trust(path)
    )
    store_trust(path, keys)
    found = classify(site, first, second, context)
    assert "NO_PLAN" in [reason.code for reason in found.plan_reasons]
    with pytest.raises(SignatureError):
        adopt_plan(site, (site.home.root / "plan.signed.json").read_bytes(), APPROVER)


@pytest.mark.reg("AIA-25.1")
def test_a_plugin_that_only_this_site_makes_is_its_own(place: Place) -> None:
    """Without another publisher a site is the provider anyway, and nothing shifts."""
    site, _ = place
    first = add_release(site, "1.0.0", evidence="real", parameters={"threshold": 0.5})
    second = add_release(site, "1.0.1", evidence="real", parameters={"threshold": 0.4})
    for digest in (first, second):
        found = compare(site, digest, "engineer")
        assert (found.publisher, found.findings) == (True, ())


@pytest.mark.reg("AIA-25.1")
def test_a_changed_release_of_another_publisher_waits_for_a_declaration(place: Place) -> None:
    """Signed by this site alone, beside the publisher's: its differences block clinical use."""
    site, _ = place
    publisher = add_release(site, "1.0.0", evidence="real", parameters={"threshold": 0.5})
    local = add_release(site, "1.0.1", evidence="real", parameters={"threshold": 0.4})
    _sign_as_publisher(site, publisher)
    found = compare(site, local, "engineer")
    assert (found.publisher, found.compared_with) == (False, publisher)
    assert found.findings == site_findings(site, local) == ("LOCAL_THRESHOLD",)
    assert refused(act, site, "shadow", approved(site, local), APPROVER, REASON) == (
        "PROVIDER_SHIFT",
    )
    assert refused(declare_provider, site, local, ENGINEER) == ("ROLE_NOT_PERMITTED",)
    declared = declare_provider(site, local, APPROVER)
    assert declared.declared_by == "approver"
    assert compare(site, local, "engineer").declared_by == "approver"
    assert act(site, "shadow", local, APPROVER, REASON).state == "shadow"
    assert refused(declare_provider, site, publisher, APPROVER) == ("NOTHING_TO_DECLARE",)


def _sign_as_publisher(site: Site, digest: str) -> None:
    """Sign a release with a trusted key that is not this site's."""
    key = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
    trusted = TrustedKey(
        "publisher", "release", key.public_key().public_bytes_raw(), site.now() - timedelta(days=1)
    )
    path = site.home.keys / "trust.json"
    store_trust(path, (*load_trust(path), trusted))
    signature = sign(digest, key, "publisher", "release", site.now())
    site.registry.attach(digest, f"{FOLDER}publisher.json", signature)


@pytest.mark.reg("AIA-2.13")
def test_other_dates_are_a_recorded_change(place: Place) -> None:
    """The site's own dates are laid over, on record; a broken file changes nothing."""
    site, _ = place
    when = day("2028-08-02", site.now()).date()
    start = [{"routes": ["mdr-iib"], "from": "2030-01-01"}]
    document: dict[str, Any] = {
        "regime": [{
            "id": "aia-high-risk", "law": "delegated act", "jurisdiction": "EU",
            "source": "L·K", "start": start,
        }]
    }  # fmt: skip
    assert refused(adopt_applicability, site, document, ENGINEER) == ("ROLE_NOT_PERMITTED",)
    with pytest.raises(ConfigurationError):
        adopt_applicability(site, {"regime": [{"id": "x"}]}, APPROVER)
    adopt_applicability(site, document, APPROVER)
    with site.database.reading() as transaction:
        found = {d.duty_id for d in applicability_of(transaction).on(when, "EU", "mdr-iib")}
    assert "AIA-12.1" not in found
    assert "AIA-43.4" in found
    assert "applicability" in [item.body["document"] for item in records(site, "governed")]


@pytest.mark.parametrize(
    "text",
    [
        "claims = ['nonsense']", "claims = 'retrain'", "surprise = 1", "statements = {x = 'y'}",
        "statements = {label_tightened = ''}", "report = 'missing.json'", "closes_loop = 'no'",
        "rollback = {sure = true}", "= 1", "modifications = [1]",
    ],
)  # fmt: skip
def test_a_context_that_cannot_be_read_is_refused(place: Place, text: str) -> None:
    """A slip of the pen in what a person declares never passes for a declaration."""
    site, _ = place
    path = site.home.root / "context.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        read_context(path, site.registry.trust())


def test_a_replay_that_names_a_case_twice_is_refused(place: Place) -> None:
    """Golden cases are counted once each; evidence reads into what it says."""
    site, _ = place
    row = {"case": "c1", "old": "sha256:1", "new": "sha256:1"}
    evidence = {"old_digest": "a", "new_digest": "b", "cases": [row]}
    path, context = site.home.root / "replay.json", site.home.root / "context.json"
    context.write_text(json.dumps({"golden_replay": "replay.json", "claims": [14, "label"]}))
    for cases, good in (([row], True), ([row, row], False)):
        path.write_text(json.dumps({**evidence, "cases": cases}))
        sign_evidence(site, path, PHYSICIST)
        if good:
            declared = read_context(context, site.registry.trust()).declaration
            assert declared.golden_replay is not None
            assert declared.golden_replay.equal_count == 1
            assert declared.claims == ("bug_fix_identical", "label")
        else:
            with pytest.raises(ConfigurationError):
                read_context(context, site.registry.trust())


@pytest.mark.reg("AIA-25.1")
def test_clinical_runs_with_other_parameters_are_told(place: Place) -> None:
    """A clinical run with a threshold that the release does not state is a finding."""
    site, _ = place
    digest = add_release(site, "1.0.0", evidence="real", parameters={"threshold": 0.5})
    cases: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
        ("research", {"threshold": 0.4}, ()),
        ("clinical", {"threshold": 0.5, "seed_point": "1.00,2.00,3.00"}, ()),
        ("clinical", {"threshold": 0.4}, ("LOCAL_RUN_PARAMETERS",)),
    )
    for number, (mode, parameters, expected) in enumerate(cases):
        run = RunRequest(
            run_id=f"run-{number}", study_instance_uid=f"1.2.{number}", plugin="trial",
            plugin_version="1.0.0", release_digest=digest, mode=mode, series={"ct": "1.2.3"},
            sop_instance_uids=("1.2.3.4",), opened_at=site.now(), parameters=parameters,
        )  # fmt: skip
        with site.database.transaction() as transaction:
            transaction.add_run(run, "pacs")
        assert compare(site, digest, "engineer").findings == expected


@pytest.mark.reg("AIA-111.2")
def test_legacy_status_follows_placing_and_ledger(place: Place) -> None:
    """Placed before the border it is legacy; the change that would end it waits for consent."""
    site, clock = place
    first, second = two_releases(site)
    put_in_plan(site, first)
    keep(site, "placing", "trial", {"first_placed": "2027-01-01"}, "approver")
    compare_studies(site, clock, PAIRS)  # before the certificates expire
    clock.moment = day("2029-03-01", site.now())
    now = site.now()
    with site.database.reading() as transaction:
        before = status_of(transaction, "trial", now.date())
    assert (before.is_legacy, str(before.border)) == (True, "2028-08-02")
    context = write_context(site, first, second, sign=False)
    for _ in range(2):  # classified again, it still has to be accepted
        classify(site, first, second, context)
        with site.database.reading() as transaction:
            request = request_of(transaction, second)
            after = status_of(transaction, "trial", now.date())
        assert request is not None
        assert request.facts["ends_legacy"] is True
        assert (after.is_legacy, after.ended_by) == (False, second)
    given = Reference("change_approval", "NB-7", now, now + timedelta(days=30))
    add_reference(site, second, given, APPROVER)
    assert "LEGACY_STATUS_ENDS" in refused(into_use, place, second)
    context.write_text(
        f'{context.read_text()}[statements]\nlegacy_end_accepted = "file complete"\n'
    )
    classify(site, first, second, context)
    assert "LEGACY_STATUS_ENDS" not in refused(into_use, place, second)


def _rollback(site: Site, current: str, target: str) -> Any:
    """Classify and keep going back from one release to another."""
    path = site.home.root / "back.toml"
    path.write_text(
        "[rollback]\ncertificate_and_platform_valid = true\nanomalies_accepted = true\n"
    )
    return classify(site, current, target, path)


@pytest.mark.reg("AIA-43.4")
def test_a_rollback_is_known_by_the_site_and_kept_beside(place: Place) -> None:
    """To a certified release it is D0 and leaves that release's request alone; else it is none."""
    site, _ = place
    first, second = two_releases(site)
    third = add_release(site, "1.2.0", evidence="real", parameters={"threshold": 0.9})
    put_in_plan(site, first)
    classify(site, first, second, write_context(site, first, second))
    with site.database.reading() as transaction:
        before = transaction.governed(REQUEST, second)
    back = _rollback(site, third, second)
    assert (back.decision.change_class, back.udi) == ("D0", "earlier")
    with site.database.reading() as transaction:
        assert transaction.governed(REQUEST, second) == before
        assert transaction.governed("rollback_request", second) is not None
    into_use(place, second)
    wrong = _rollback(site, second, third)
    assert wrong.decision.change_class == "D3"
    assert not wrong.decision.may_activate
