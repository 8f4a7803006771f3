"""Acts of persons at a site: table, gates, four eyes; state and record together or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.governance.acts import act, waive
from adapters.governance.approving import approve
from adapters.governance.certifying import certify, set_certificate_state
from audit.errors import LogUnavailableError, NotFoundError, RefusalError
from audit.record import Record
from governance.deployment import active_releases
from governance.gates import Objection, Passage
from governance.ports import GovernedStore
from governance.signing import load_trust, store_trust
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
    certificate,
    governed_site,
    records,
    state_of,
)

REASON = {"reason": "commissioned"}


@pytest.fixture(params=["research", "clinical"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, Clock]]:
    """A site in each mode."""
    with governed_site(tmp_path, mode=request.param) as opened:
        yield opened


def active(site: Site) -> list[str]:
    """Return the digests of what is active and may run."""
    section = site.configuration.site
    with site.database.reading() as transaction:
        certified = site.registry.certified(transaction)
        found = active_releases(
            transaction, section.name, site.now(), mode=section.mode, certified=certified
        )
    return [item.release_digest for item in found]


def refused(function, *values: object) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    """Return the codes by which an act is refused; its advice says what to do."""
    with pytest.raises(RefusalError) as caught:
        function(*values)
    assert caught.value.advice
    return caught.value.reasons


def test_the_way_of_a_first_release(place: tuple[Site, Clock]) -> None:
    """Registered, certified, signed by two, active: each step with its record in the tree."""
    site, _ = place
    digest = add_release(site, "1.0.0", evidence="real")
    assert certify(site, digest, PHYSICIST, certificate(site, digest)).state == "validated"
    assert approve(site, digest, APPROVER).missing == (("clinician", "physicist"),)
    assert state_of(site, digest) == "validated"
    assert approve(site, digest, CLINICIAN, "responsibility").deployment.state == "approved"
    assert act(site, "activate", digest, APPROVER, REASON).state == "active"
    assert active(site) == [digest]
    said = [
        (item.body["action"], item.body["from_state"], item.body["to_state"], item.actor.id)
        for item in records(site, "lifecycle")
    ]
    assert said == [
        ("certify", "registered", "validated", "physicist"),
        ("approve", "validated", "approved", "clinician"),
        ("activate", "approved", "active", "approver"),
    ]
    lifecycle: Record = records(site, "lifecycle")[1]
    assert lifecycle.body["evidence"]["approved_by"] == "approver+clinician"
    governed = [
        (item.body["document"], item.body["revision"]) for item in records(site, "governed")
    ]
    assert governed == [("certificate", 1), ("approval", 1), ("approval", 2)]
    with site.database.reading() as transaction:
        document = transaction.governed("certificate", digest)
    assert document is not None
    assert lifecycle.body["evidence"]["certificate"] == document.digest
    site.verify_log()


def test_who_may_not_approve(place: tuple[Site, Clock]) -> None:
    """The same person twice, the builder, who registered it, a role that has no say."""
    site, _ = place
    digest = add_release(site, "1.0.0", "account:physicist", builders=["clinician"])
    assert refused(approve, site, digest, APPROVER) == ("TRANSITION_NOT_PERMITTED",)
    certify(site, digest, ENGINEER, certificate(site, digest))
    assert refused(approve, site, digest, PHYSICIST) == ("BUILDER_MAY_NOT_DECIDE",)
    assert refused(approve, site, digest, CLINICIAN) == ("BUILDER_MAY_NOT_DECIDE",)
    assert refused(approve, site, digest, ADMINISTRATOR) == ("ROLE_NOT_PERMITTED",)
    approve(site, digest, APPROVER)
    assert refused(approve, site, digest, APPROVER) == ("SAME_PERSON",)
    assert state_of(site, digest) == "validated"


def test_a_new_certificate_voids_the_signatures_under_the_old(place: tuple[Site, Clock]) -> None:
    """A signature counts for the certificate that was signed, and for no later one."""
    site, clock = place
    digest = add_release(site, "1.0.0")
    certify(site, digest, PHYSICIST, certificate(site, digest))
    approve(site, digest, APPROVER)
    clock.forward(hours=1)
    certify(site, digest, PHYSICIST, certificate(site, digest, certificate_id="second"))
    assert approve(site, digest, CLINICIAN).missing == (("approver",),)
    assert approve(site, digest, APPROVER).deployment.state == "approved"


def test_certificates_that_do_not_hold_are_not_attached(place: tuple[Site, Clock]) -> None:
    """Nothing of a refused certificate is kept; who has no say cannot attach a good one."""
    site, _ = place
    digest, other = add_release(site, "1.0.0"), add_release(site, "2.0.0")
    wrong = certificate(site, other)
    assert refused(certify, site, digest, PHYSICIST, wrong) == ("CERTIFICATE_OTHER_RELEASE",)
    assert refused(certify, site, digest, PHYSICIST) == ("CERTIFICATE_MISSING",)
    good = certificate(site, digest)
    assert refused(certify, site, digest, COMPLIANCE, good) == ("ROLE_NOT_PERMITTED",)
    assert site.registry.attachment(digest, "certificate.json") is None
    assert records(site, "governed") == []
    with pytest.raises(NotFoundError):
        certify(site, "sha256:" + "0" * 64, PHYSICIST, good)


@pytest.mark.reg("AIA-43.4")
def test_expiry_suspension_and_revocation_end_the_use(tmp_path: Path) -> None:
    """A release runs on its certificate only while that holds, without anybody acting."""
    with governed_site(tmp_path, mode="clinical") as (site, clock):
        digest = add_release(site, "1.0.0", evidence="real")
        approved(site, digest, certificate_id="cert-1")
        act(site, "activate", digest, APPROVER, REASON)
        assert active(site) == [digest]
        set_certificate_state(site, "cert-1", "suspended", PHYSICIST, "metric defect")
        assert active(site) == []
        set_certificate_state(site, "cert-1", "valid", APPROVER, "cleared")
        assert active(site) == [digest]
        for person in (ENGINEER, COMPLIANCE, ADMINISTRATOR):
            assert refused(set_certificate_state, site, "cert-1", "suspended", person, "no") == (
                "ROLE_NOT_PERMITTED",
            )
        trust = load_trust(site.home.keys / "trust.json")
        revoked = tuple(
            replace(key, revoked_at=site.now()) if key.purpose == "certificate" else key
            for key in trust
        )
        store_trust(site.home.keys / "trust.json", revoked)
        assert active(site) == []
        store_trust(site.home.keys / "trust.json", trust)
        clock.forward(days=366)
        assert active(site) == []


def test_what_is_not_real_stays_out_of_the_clinic(tmp_path: Path) -> None:
    """An analytic release is certified and approved, and refused at the clinic's door."""
    with governed_site(tmp_path, mode="clinical") as (site, _):
        digest = approved(site, add_release(site, "1.0.0"))
        assert refused(act, site, "activate", digest, APPROVER, REASON) == ("EVIDENCE_NOT_REAL",)
        assert refused(waive, site, digest, APPROVER, "please", timedelta(days=1)) == (
            "MODE_NOT_PERMITTED",
        )


def test_gates_are_asked_and_stopping_is_never_refused(tmp_path: Path) -> None:
    """An objection of any gate refuses a passage with its advice, and no suspension."""
    seen: list[Passage] = []

    def gate(passage: Passage, documents: GovernedStore) -> tuple[Objection, ...]:
        seen.append(passage)
        assert documents.governed("nothing", "here") is None
        return (Objection("HOLD", "a hold is open", "Close the hold."),)

    with governed_site(tmp_path) as (site, _):
        digest = add_release(site, "1.0.0")
        waive(site, digest, APPROVER, "before the hold", timedelta(days=1))
        held = replace(site, gates=(*site.gates, gate))
        with pytest.raises(RefusalError) as caught:
            act(held, "retire", digest, APPROVER, REASON)
        assert (caught.value.reasons, caught.value.advice) == (("HOLD",), "Close the hold.")
        (passage,) = seen
        assert (passage.before, passage.after, passage.person) == ("active", "retired", "approver")
        assert passage.manifest["plugin"] == "trial"
        assert passage.evidence["action"] == "retire"
        assert "expires_at" in passage.evidence
        assert act(held, "suspend", digest, CLINICIAN, REASON).state == "suspended"


def test_without_a_record_there_is_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the record cannot be written the decision is not taken either."""
    with governed_site(tmp_path) as (site, _):
        digest = add_release(site, "1.0.0")

        def full(*_values: object, **_named: object) -> str:
            raise LogUnavailableError("expected space, found none")

        monkeypatch.setattr(type(site.journal), "lifecycle", full)
        with pytest.raises(LogUnavailableError):
            waive(site, digest, APPROVER, "test", timedelta(days=1))
        with pytest.raises(LogUnavailableError):
            certify(site, digest, PHYSICIST, certificate(site, digest))
        assert state_of(site, digest) == "registered"
        with site.database.reading() as transaction:
            assert transaction.governed("certificate", digest) is None


def test_the_certificate_is_attached_in_bundle_and_folder(tmp_path: Path) -> None:
    """What is attached travels with the bundle and is found again where it is used."""
    with governed_site(tmp_path) as (site, _):
        digest = add_release(site, "1.0.0")
        raw = certificate(site, digest)
        certify(site, digest, PHYSICIST, raw)
        assert site.registry.attachment(digest, "certificate.json") == raw
        bundle = Path(site.registry.row(digest).path)
        site.registry.verify(digest)
    with governed_site(tmp_path / "other") as (other, _):
        trust = load_trust(site.home.keys / "trust.json")
        known = load_trust(other.home.keys / "trust.json")
        store_trust(other.home.keys / "trust.json", (*known, *trust))
        assert other.registry.add(bundle).digest == digest
        assert certify(other, digest, PHYSICIST).state == "validated"
        assert json.loads(raw)["certificate"]["release_digest"] == digest
