"""Cohorts and criteria at a site: who may open what, when, how often, and what is on record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.compose import Site
from adapters.governance.persons import Somebody
from adapters.validation import building, checking, cohorts
from adapters.validation.criteria import fix, fixed
from adapters.validation.opening import Asked, opened
from audit.errors import RefusalError
from tests.simulators.given_data import folder_of
from tests.simulators.governed_site import (
    APPROVER,
    CLINICIAN,
    COMPLIANCE,
    ENGINEER,
    PHYSICIST,
    Clock,
    add_release,
    governed_site,
    records,
)
from validation.cohort import reading
from validation.cohort.cases import load_case, load_reference
from validation.cohort.leakage import leaked, members_of

ROOT = Path(__file__).resolve().parents[2]
CRITERIA: dict[str, Any] = {
    "schema": "osteon.criteria/2", "plugin": "trial", "method": "held-out", "purpose": "tests",
    "known_before": "nothing",
    "criteria": [
        {"id": "dsc", "kind": "floor", "metric": "dsc", "at_least": 0.8, "reason": "a test"}
    ],
}  # fmt: skip
RAW = json.dumps(CRITERIA).encode()
OTHER = json.dumps(CRITERIA | {"criteria": [dict(CRITERIA["criteria"][0], at_least=0.1)]}).encode()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Site, Clock]]:
    """A site with a cohort ``small`` of four patients, built from arrays."""
    with governed_site(tmp_path) as (site, clock):
        building.build(site, arrays(tmp_path / "arrays"), PHYSICIST)
        yield site, clock


def arrays(folder: Path) -> Path:
    """Write four patients, their table and a plan, in the form of the builder."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    rows = ["patient_id,age,sex,mskcc_type,site,grade"]
    for number in range(4):
        ct = rng.normal(40, 50, (16, 20, 20)).astype(np.int16)
        ct_mask = np.packbits(ct > 100)
        np.savez(
            folder / f"SECRET_{number}.npz",
            ct=ct, ct_mask=ct_mask, ct_spacing=[3.0, 2.0, 2.0], ct_origin=[0.0, 0.0, 0.0],
        )  # fmt: skip
        rows.append(f"SECRET_{number},{15 + number * 20},Female,Other,left thigh,High")
    (folder / "clinical.csv").write_text("\n".join(rows))
    plan = json.loads((building.PLANS / "sts51-cohort.json").read_text("utf-8"))
    plan |= {"name": "small", "linkage": ""}
    (folder / "cohort-plan.json").write_text(json.dumps(plan))
    return folder


def ready(site: Site, *, sealed: int = 0) -> tuple[str, cohorts.Kept]:
    """Return a release and the cohort, sealed for so many openings, its criteria fixed."""
    digest = add_release(site, "1.0.0")
    kept = cohorts.load(site.home, "small")
    if sealed:
        kept = cohorts.seal(site, "small", sealed, 0.05, PHYSICIST)
    fix(site, RAW, digest, kept, PHYSICIST)
    return digest, kept


def look(site: Site, digest: str, kept: cohorts.Kept, run: str, **changed: Any) -> int:
    """Open the cohort for a run, read every file, and return the number of the look."""
    person = changed.pop("person", PHYSICIST)
    asked = Asked(run, digest, "held-out", changed.pop("criteria", RAW))
    with opened(site, kept, asked, person) as cohort:
        for case in kept.cohort.cases:
            load_case(case, cohort.files)
            assert load_reference(case, cohort.files) is not None
        return cohort.look


def refusal(function: Any, *values: Any, **named: Any) -> set[str]:
    """Return the codes by which something is refused."""
    with pytest.raises(RefusalError) as error:
        function(*values, **named)
    assert error.value.advice
    return {reason.split()[0] for reason in error.value.reasons}


@pytest.mark.reg("AIA-9.8")
def test_criteria_are_on_record_before_the_first_result(place: tuple[Site, Clock]) -> None:
    """The record of the criteria stands before that of the first look; then it is too late."""
    site, clock = place
    digest, kept = ready(site)
    clock.forward(seconds=5)
    assert look(site, digest, kept, "run-1") == 1
    governed = [r for r in records(site, "governed") if r.body["document"] == "acceptance_criteria"]
    (first,) = [r for r in records(site, "cohort") if r.body["action"] == "opened"]
    assert governed[0].event_id < first.event_id
    assert first.body["criteria_sha256"] == fixed(site, digest, kept).digest
    assert refusal(fix, site, OTHER, digest, kept, PHYSICIST) == {"CRITERIA_LATE"}
    assert fix(site, RAW, digest, kept, PHYSICIST).digest == first.body["criteria_sha256"]


@pytest.mark.reg("AIA-9.8")
@pytest.mark.reg("VAL-1")
def test_changed_criteria_are_refused(place: tuple[Site, Clock]) -> None:
    """A file that was changed after it was fixed, or none at all, opens nothing."""
    site, _ = place
    digest, kept = ready(site)
    assert refusal(look, site, digest, kept, "run-1", criteria=OTHER) == {"CRITERIA_CHANGED"}
    other = add_release(site, "1.0.1")
    assert refusal(look, site, other, kept, "run-1") == {"CRITERIA_MISSING"}
    actions = [(r.body["action"], r.outcome.reason) for r in records(site, "cohort")]
    assert actions[-2:] == [("refused", "CRITERIA_CHANGED"), ("refused", "CRITERIA_MISSING")]


def test_criteria_that_do_not_fit_are_refused(place: tuple[Site, Clock]) -> None:
    """Another plugin's, an unknown stratum, or the wrong role: refused by name."""
    site, _ = place
    digest, kept = add_release(site, "1.0.0"), cohorts.load(site.home, "small")
    stranger = json.dumps(CRITERIA | {"plugin": "other"}).encode()
    assert refusal(fix, site, stranger, digest, kept, PHYSICIST) == {"CRITERIA_OTHER_PLUGIN"}
    named = dict(CRITERIA["criteria"][0], stratum="left-handed")
    unknown = json.dumps(CRITERIA | {"criteria": [named]}).encode()
    assert refusal(fix, site, unknown, digest, kept, PHYSICIST) == {"CRITERIA_STRATUM_UNKNOWN"}
    assert refusal(fix, site, RAW, digest, kept, CLINICIAN) == {"ROLE_NOT_PERMITTED"}


@pytest.mark.reg("VAL-1")
def test_a_sealed_cohort_wears_out(place: tuple[Site, Clock]) -> None:
    """Two openings of two are taken, the same run again is none, the third is refused."""
    site, _ = place
    digest, kept = ready(site, sealed=2)
    assert [look(site, digest, kept, run) for run in ("a", "b", "a")] == [1, 2, 1]
    assert refusal(look, site, digest, kept, "c") == {"SEAL_WORN"}
    told = [(r.body["action"], r.body["run"], r.body["look"]) for r in records(site, "cohort")]
    assert told[-4:] == [
        ("opened", "a", 1), ("opened", "b", 2), ("opened-again", "a", 1), ("refused", "c", 0),
    ]  # fmt: skip


TESTED: dict[str, Any] = CRITERIA | {
    "criteria": [dict(CRITERIA["criteria"][0], decide_by="interval")]
}  # fmt: skip


@pytest.mark.reg("VAL-1")
def test_the_alpha_of_a_seal_is_used_up(place: tuple[Site, Clock]) -> None:
    """Each look that an interval decides spends its tail: the third of 0.05 is refused, on record,
    though openings are left; the same run again spends nothing."""
    site, _ = place
    raw = json.dumps(TESTED).encode()
    digest, kept = add_release(site, "1.0.0"), cohorts.seal(site, "small", 9, 0.05, PHYSICIST)
    fix(site, raw, digest, kept, PHYSICIST)
    looks = [look(site, digest, kept, run, criteria=raw) for run in ("a", "b", "a")]
    assert looks == [1, 2, 1]
    assert refusal(look, site, digest, kept, "c", criteria=raw) == {"SEAL_ALPHA_SPENT"}
    last = records(site, "cohort")[-1]
    assert (last.body["action"], last.outcome.reason) == ("refused", "SEAL_ALPHA_SPENT")
    assert look(site, digest, kept, "b", criteria=raw) == 2
    other = add_release(site, "1.0.1")  # a candidate by other criteria is of the same family
    estimates = json.dumps(CRITERIA).encode()
    fix(site, estimates, other, kept, PHYSICIST)
    assert look(site, other, kept, "d", criteria=estimates) == 3


@pytest.mark.reg("VAL-1", "AIA-9.8")
def test_criteria_that_plan_more_error_than_was_sealed_are_refused(
    place: tuple[Site, Clock],
) -> None:
    """They are told so when they are fixed, before any look."""
    site, _ = place
    item = dict(CRITERIA["criteria"][0], kind="non-inferiority", margin=0.1, alpha=0.06, looks=3)
    del item["at_least"]
    raw = json.dumps(CRITERIA | {"criteria": [item]}).encode()
    digest, kept = add_release(site, "1.0.0"), cohorts.seal(site, "small", 9, 0.05, PHYSICIST)
    assert refusal(fix, site, raw, digest, kept, PHYSICIST) == {"CRITERIA_ALPHA"}
    less = json.dumps(CRITERIA | {"criteria": [item | {"alpha": 0.05}]}).encode()
    fix(site, less, digest, kept, PHYSICIST)
    assert [look(site, digest, kept, str(n), criteria=less) for n in range(1, 5)] == [1, 2, 3, 4]


@pytest.mark.reg("VAL-1")
def test_who_built_a_model_does_not_open_the_seal(place: tuple[Site, Clock]) -> None:
    """The engineer who registered the release is refused; so is a role without the task."""
    site, _ = place
    digest, kept = ready(site, sealed=3)
    assert refusal(look, site, digest, kept, "a", person=ENGINEER) == {"BUILDER_MAY_NOT_OPEN"}
    assert refusal(look, site, digest, kept, "a", person=CLINICIAN) == {"ROLE_NOT_PERMITTED"}
    assert look(site, digest, kept, "a", person=Somebody("second", "engineer")) == 1
    assert refusal(cohorts.seal, site, "small", 9, 0.05, ENGINEER) == {"ROLE_NOT_PERMITTED"}
    assert refusal(cohorts.seal, site, "small", 9, 0.05, COMPLIANCE) == {"SEAL_EXISTS"}


def test_a_sealed_cohort_lies_encrypted(place: tuple[Site, Clock]) -> None:
    """No plain byte stays, the key is 0600, and a flipped byte or a moved file does not open."""
    site, _ = place
    plain = (cohorts.load(site.home, "small").folder / "files/case-001/ct.npz").read_bytes()
    digest, kept = ready(site, sealed=9)
    assert (site.home.keys / cohorts.KEY).stat().st_mode & 0o077 == 0
    everything = b"".join(p.read_bytes() for p in kept.folder.rglob("*.npz"))
    assert plain[:64] not in everything
    assert not list(Path(site.home.cohorts).glob(".*"))
    path, other = kept.folder / "files/case-001/ct.npz", kept.folder / "files/case-002/ct.npz"
    original = path.read_bytes()
    for content in (original[:-1], bytes([original[0] ^ 1]) + original[1:], other.read_bytes()):
        path.write_bytes(content)
        assert refusal(look, site, digest, kept, "a") == {"SEAL_TAMPERED"}
    path.write_bytes(original)
    assert look(site, digest, kept, "a") == 1


def test_a_tampered_manifest_or_byte_is_found(place: tuple[Site, Clock]) -> None:
    """A file of a plain cohort that was changed is named by the check."""
    site, _ = place
    kept = cohorts.load(site.home, "small")
    checking.check(site, "small", "", "held-out", images=True).require()
    path = kept.folder / "files/case-003/reference.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    found = checking.check(site, "small", "", "held-out", images=False)
    assert found.reasons == ("COHORT_TAMPERED files/case-003/reference.npz",)
    assert refusal(found.require) == {"COHORT_TAMPERED"}


def test_no_patient_id_is_written(place: tuple[Site, Clock]) -> None:
    """Neither the manifest nor a file nor a record carries an id; children are a stratum."""
    site, _ = place
    kept = cohorts.load(site.home, "small")
    assert not any(b"SECRET" in p.read_bytes() for p in kept.folder.rglob("*") if p.is_file())
    assert b"SECRET" not in (site.home.root / "site.db").read_bytes()
    table = checking.check(site, "small", "", "held-out", images=False).document["strata"]
    assert {row["name"]: row["n"] for row in table}["under-18"] == 1


def test_a_cohort_of_that_name_stays(place: tuple[Site, Clock], tmp_path: Path) -> None:
    """Building another of the same name is refused and leaves the first."""
    site, _ = place
    before = cohorts.load(site.home, "small").digest
    assert refusal(building.build, site, tmp_path / "arrays", APPROVER) == {"COHORT_EXISTS"}
    assert cohorts.load(site.home, "small").digest == before


@pytest.mark.reg("AIA-10.3")
def test_the_cohort_of_the_first_certificate_builds(tmp_path: Path) -> None:
    """A part of sts51 builds under its plan, and is cross-fitted against the release."""
    source, folder = folder_of("sts51"), tmp_path / "sts51"
    folder.mkdir()
    for name in ("STS_003.npz", "STS_019.npz", "STS_042.npz", "clinical.csv"):
        shutil.copy(source / name, folder / name)
    with governed_site(tmp_path) as (site, _):
        kept = building.build(site, folder, PHYSICIST, building.PLANS / "sts51-cohort.json")
        manifest = json.loads(
            (ROOT / "plugins/contouring/releases/0.1.1/manifest.json").read_text()
        )
        linkage = cohorts.linkage_of(site.home, kept.cohort.linkage_key_id)
        members = members_of(manifest, linkage)
        assert len(leaked(kept.cohort, members, "held-out")) == 3
        assert leaked(kept.cohort, members, "cross-fitted") == ()
        assert reading.decode((kept.folder / "cohort.json").read_bytes()) == kept.cohort
        found = checking.check(site, "sts51", "", "held-out", images=True)
        assert found.reasons == ()
        assert ["tumour_type", "osteosarcoma"] in found.document["not_covered"]
