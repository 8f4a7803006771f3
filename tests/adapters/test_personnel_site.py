"""Persons at a site: who may name, train and acknowledge; without an overseer use ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site
from adapters.database.bodies import coded
from adapters.governance.acts import act
from adapters.governance.persons import Somebody
from adapters.personnel import (
    acknowledge,
    assess,
    ifu_versions,
    name_overseer,
    record_training,
    remove_overseer,
)
from audit.errors import NotFoundError, RefusalError
from governance.personnel import ACKNOWLEDGED, overseers, ran_on
from tests.simulators.governed_site import (
    ADMINISTRATOR,
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    add_release,
    approved,
    governed_site,
    records,
    state_of,
)

REASON = {"reason": "commissioned"}
TRAINED: dict[str, Any] = {
    "schema": "osteon.training/1", "plugin": "trial", "account": "clinician", "topic": "limits",
    "by": "provider", "on": "2026-01-01", "valid_until": "2099-01-01",
}  # fmt: skip
ASSESSED: dict[str, Any] = {
    "schema": "osteon.assessment-record/1", "reference": "DPIA-7", "signed_by": "dpo",
    "signed_on": "2026-01-01", "review_due": "2099-01-01",
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site in clinical mode."""
    with governed_site(tmp_path, mode="clinical") as (opened, _):
        yield opened


@pytest.mark.reg("AIA-26.1")
def test_the_last_overseer_takes_clinical_use_along(site: Site) -> None:
    """One of two leaves: nothing happens; the last leaves: the release is suspended, on record."""
    digest = approved(site, add_release(site, "1.0.0", evidence="real"))
    act(site, "activate", digest, APPROVER, REASON)
    for account in ("clinician", "physicist"):
        name_overseer(site, "trial", account, APPROVER)
    with site.database.reading() as transaction:
        assert overseers(transaction, "trial") == (
            ("clinician", "clinician"), ("physicist", "physicist"),
        )  # fmt: skip
    assert remove_overseer(site, "trial", "physicist", APPROVER) == ()
    assert state_of(site, digest) == "active"
    assert remove_overseer(site, "trial", "clinician", APPROVER) == (digest,)
    assert state_of(site, digest) == "suspended"
    with pytest.raises(NotFoundError):
        remove_overseer(site, "trial", "clinician", APPROVER)
    assert [r.body["document"] for r in records(site, "governed")].count("overseers") == 4


@pytest.mark.parametrize(
    "person", [CLINICIAN, PHYSICIST, ENGINEER, COMPLIANCE, ADMINISTRATOR], ids=str
)
def test_only_an_approver_decides_about_persons(site: Site, person: Somebody) -> None:
    """Naming, training and assessment are refused to every other role."""
    for attempt in (
        lambda: name_overseer(site, "trial", "clinician", person),
        lambda: remove_overseer(site, "trial", "clinician", person),
        lambda: record_training(site, "trial", "clinician", TRAINED, person),
        lambda: assess(site, "dpia", "trial", ASSESSED, person),
    ):
        with pytest.raises(RefusalError) as caught:
            attempt()
        assert caught.value.reasons == ("ROLE_NOT_PERMITTED",)


def test_nobody_decides_about_themselves(site: Site) -> None:
    """An approver records the training of others, and names nobody of another role."""
    with pytest.raises(RefusalError) as caught:
        record_training(site, "trial", "approver", TRAINED, APPROVER)
    assert caught.value.reasons == ("FOUR_EYES",)
    for account in ("engineer", "administrator", "nobody"):
        with pytest.raises(RefusalError) as caught:
            name_overseer(site, "trial", account, APPROVER)
        assert caught.value.reasons == ("OVERSEER_ROLE",)


@pytest.mark.reg("AIA-14.4a")
def test_a_person_acknowledges_for_themselves(site: Site) -> None:
    """The version as it is now is kept under the person's own name, and runs name it."""
    digest = add_release(site, "1.0.0")
    found = acknowledge(site, digest, CLINICIAN, "de")
    assert (found.kind, found.name) == (ACKNOWLEDGED, "trial/clinician")
    assert found.content["ifu_version"] == ifu_versions(site, digest)[1]
    with site.database.reading() as transaction:
        stated: dict[str, Any] = ran_on(transaction, digest)
    assert stated["ifu_version"] == found.content["ifu_version"]
    assert coded(stated["ifu_version"]) == stated["ifu_version"]
    for person in (ENGINEER, COMPLIANCE, ADMINISTRATOR, APPROVER):
        with pytest.raises(RefusalError):
            acknowledge(site, digest, person, "en")
    with pytest.raises(NotFoundError):
        assess(site, "other", "trial", ASSESSED, APPROVER)
