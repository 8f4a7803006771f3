"""Least privilege: what each role can do is no more than its work, at every door."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.compose import Site, open_site
from adapters.governance.acts import act, waive
from adapters.governance.approving import approve
from adapters.governance.certifying import certify, set_certificate_state
from adapters.home import Home
from adapters.incidents.acts import Report, lift_hold, place_hold, record_duty, report_incident
from adapters.incidents.snapshot import take_snapshot
from adapters.passwords import add_account, check_password, sign_in
from adapters.web.access import ROUTES
from audit.errors import AuthenticationError, ConfigurationError, RefusalError
from audit.record import decode
from governance.accounts import PERSONS, ROLES, Account, service_identity
from governance.certification import CertificateGate
from governance.holds import hold_gate
from governance.incident_states import TRANSITIONS as INCIDENT_TRANSITIONS
from governance.lifecycle import STATES, TRANSITIONS
from tests.simulators.example_site import configuration
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    add_release,
    approved,
    certificate,
    governed_site,
    records,
    state_of,
)
from tests.simulators.incident_site import finished_run, with_people

DECIDING = ("certify", "approve", "shadow", "canary", "activate", "waive", "rollback", "supersede")
REASON = {"reason": "commissioned"}
OWN = {("POST", "/sign-out"), ("POST", "/account")}
"""What anybody may send: to leave, and to replace the own password."""


@pytest.fixture(params=["research", "clinical"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site in each mode, with one account for each role."""
    with governed_site(tmp_path, mode=request.param) as (opened, _):
        yield opened


def test_no_row_lets_an_administrator_decide_for_a_release() -> None:
    """An administrator can stop and take out of use; every other act of the table is refused."""
    for row in TRANSITIONS:
        roles = {role for person in row.persons for role in person}
        assert "compliance" not in roles, row.action
        assert ("administrator" in roles) <= (row.action in ("suspend", "retire")), row.action
    assert set(DECIDING) | {"suspend", "retire"} == {row.action for row in TRANSITIONS}
    for pair, row in INCIDENT_TRANSITIONS.items():
        assert not {"administrator", "compliance", "service"} & set(row.roles), pair


@pytest.mark.parametrize("person", [ADMINISTRATOR, COMPLIANCE], ids=["administrator", "compliance"])
def test_an_administrator_can_approve_and_waive_nothing(site: Site, person: object) -> None:
    """Certify, approve, activate, waive, roll back, suspend a certificate: refused, on record."""
    digest = add_release(site, "1.0.0", evidence="real")
    tries = [
        lambda: certify(site, digest, person, certificate(site, digest)),  # type: ignore[arg-type]
        lambda: waive(site, digest, person, "because", timedelta(days=1)),  # type: ignore[arg-type]
    ]
    for attempt in tries:
        with pytest.raises(RefusalError) as caught:
            attempt()
        assert "ROLE_NOT_PERMITTED" in caught.value.reasons
    certify(site, digest, APPROVER, certificate(site, digest, certificate_id="cert-1"))
    for attempt in (
        lambda: approve(site, digest, person),  # type: ignore[arg-type]
        lambda: set_certificate_state(site, "cert-1", "suspended", person, "no"),  # type: ignore[arg-type]
    ):
        with pytest.raises(RefusalError) as caught:
            attempt()
        assert "ROLE_NOT_PERMITTED" in caught.value.reasons
    approved(site, digest)
    with pytest.raises(RefusalError):
        act(site, "activate", digest, person, REASON)  # type: ignore[arg-type]
    assert state_of(site, digest) == "approved"
    act(site, "activate", digest, APPROVER, REASON)
    other = approved(site, add_release(site, "1.1.0", evidence="real"))
    for action in ("shadow", "canary", "activate", "rollback"):
        with pytest.raises(RefusalError):
            act(site, action, other, person, REASON)  # type: ignore[arg-type]
    assert (state_of(site, digest), state_of(site, other)) == ("active", "approved")
    found = [r for r in records(site, "guard") if r.actor.id == person.account_id]  # type: ignore[attr-defined]
    assert {"waive", "approve", "activate", "shadow"} <= {r.body["action"] for r in found}
    assert {r.outcome.code for r in found} == {4}


@pytest.mark.reg("AIA-73.6")
def test_what_a_hold_refuses_is_denied_and_logged(site: Site) -> None:
    """Activation, retirement and an early rollback are refused while it stands; a stop is not."""
    alone = [gate for gate in site.gates if isinstance(gate, CertificateGate) or gate is hold_gate]
    site = replace(site, gates=tuple(alone))  # what change control asks for is tested there
    old = approved(site, add_release(site, "1.0.0", evidence="real"))
    act(site, "activate", old, APPROVER, REASON)
    report = Report(old, "serious", site.now())
    incident = report_incident(site, CLINICIAN, report).incident_id
    with pytest.raises(RefusalError) as caught:
        act(site, "retire", old, APPROVER, REASON)
    assert caught.value.reasons == ("HOLD_NOT_PLACED",)
    place_hold(site, CLINICIAN, incident)
    new = approved(site, add_release(site, "1.1.0", evidence="real"))
    act(site, "shadow", new, APPROVER, REASON)
    promotion = {"reason": "as good", "comparison": "sha256:" + "9" * 64}
    for action, digest, code in (
        ("retire", old, "HOLD_OPEN"),
        ("canary", new, "HOLD_OPEN"),
    ):
        with pytest.raises(RefusalError) as caught:
            act(site, action, digest, APPROVER, promotion)
        assert code in caught.value.reasons
    assert act(site, "suspend", old, CLINICIAN, REASON).state == "suspended"
    take_snapshot(site, ENGINEER, incident)
    site_now = site.now()
    record_duty(site, APPROVER, incident, "C1.report", site_now)
    with pytest.raises(RefusalError, match="legal hold"):  # nothing new until it is lifted
        act(site, "canary", new, APPROVER, promotion)
    lift_hold(site, APPROVER, incident, "the authority closed it")
    assert act(site, "canary", new, APPROVER, promotion).state == "canary"
    denied = [r for r in records(site, "guard") if "HOLD_OPEN" in r.body["tripped"]]
    assert {(r.body["action"], r.release_digest) for r in denied} == {
        ("retire", old), ("canary", new),
    }  # fmt: skip


def test_the_hold_stands_in_the_one_list_of_gates(tmp_path: Path) -> None:
    """Every site asks the hold before a release changes."""
    home = Home(tmp_path / "home").create()
    with open_site(home, configuration=configuration(tmp_path)) as opened:
        assert hold_gate in opened.gates


def test_compliance_sends_no_form_but_its_own() -> None:
    """Compliance reads every page and sends nothing but its own sign-out and password."""
    pages = {key for key, roles in ROUTES.items() if isinstance(roles, frozenset)}
    sent = {key for key in pages if key[0] == "POST" and "compliance" in ROUTES[key]}  # type: ignore[operator]
    assert sent == OWN
    read = {key for key in pages if key[0] == "GET"}
    assert all("compliance" in ROUTES[key] for key in read)  # type: ignore[operator]
    assert all("service" not in ROUTES[key] for key in pages)  # type: ignore[operator]


def test_nobody_signs_in_as_a_service(site: Site) -> None:
    """No account for a service can be added, and one that is there all the same opens nothing."""
    assert set(ROLES) - set(PERSONS) == {"service"}
    with pytest.raises(ConfigurationError):
        add_account(site, "robot", "service")
    identity = service_identity("contouring", "0.1.0", "node-a")
    for account_id in (identity, "service:osteon", "service:node-a"):
        with pytest.raises(ConfigurationError):
            Account(account_id, "service", "x", False, site.now())
        with pytest.raises(AuthenticationError):
            sign_in(site, account_id, "anything at all", "pages")
    password = add_account(site, "robot", "engineer")
    assert check_password(site.database, "robot", password, site.now())
    with site.database.transaction() as transaction:
        account = transaction.account("robot")
        assert account is not None
        transaction.put_account(
            Account("robot", "service", account.password_verifier, False, site.now())
        )
    with pytest.raises(AuthenticationError):
        check_password(site.database, "robot", password, site.now())


def test_each_release_acts_under_its_own_identity(tmp_path: Path) -> None:
    """What the worker of a release read and inferred is recorded as its own act."""
    home, run_id = finished_run(tmp_path)
    with with_people(home, tmp_path) as opened, opened.database.reading() as transaction:
        found = [decode(leaf.leaf) for leaf in transaction.records_of(run_id)]
    actors = {record.kind: (record.actor.id, record.actor.role) for record in found}
    own = ("service:example-1.0.0@node-a", "service")
    assert actors["input_read"] == actors["inference"] == own
    assert actors["run_opened"] != own
    assert actors["delivery"] != own


def test_every_state_is_reached_by_somebody() -> None:
    """Taking rights away left no state that nobody can reach."""
    assert {row.after for row in TRANSITIONS} | {"registered"} == set(STATES)
