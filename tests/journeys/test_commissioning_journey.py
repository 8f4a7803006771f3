"""From a folder of DICOM to clinical use: cohort, criteria, plan, run, signature, gate, routine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.compose import Site, open_site
from adapters.governance.acts import act
from adapters.governance.approving import approve
from adapters.governance.certifying import certify
from adapters.governance.persons import Somebody
from adapters.home import Home
from adapters.validation import commissioning
from adapters.validation.commissioning import standing
from audit.errors import RefusalError
from governance.commissioning import PLAN, RUN, SIGNED
from governance.technical_file.gates import Desk
from tests.simulators.example_site import configuration
from tests.simulators.governed_site import certificate, records
from tests.simulators.released_plugins import bundle
from tests.simulators.site_studies import PLAN as COHORT_PLAN
from tests.simulators.site_studies import Study, write_studies
from tests.simulators.ward import Ward, toml_of

METHODS = """
def predict(self, case, parameters):
    from audit.errors import RefusalError
    ct = case.images["ct"].array
    air = float((ct < -500.0).mean())
    if not 0.2 < air < 0.9 or float(ct.min()) < -1100.0:
        raise RefusalError("expected a body in air", reasons=("NO_BODY",))
    return answer(case)
"""
CRITERIA = {
    "schema": "osteon.criteria/2", "plugin": "trial", "method": "held-out", "purpose": "tests",
    "known_before": "nothing", "smallest_stratum": 3,
    "criteria": [
        {"id": "dsc", "kind": "floor", "metric": "dsc", "at_least": 0.9, "reason": "a test"}
    ],
}  # fmt: skip
PLAN_TOML = """
schema = "osteon.commissioning-plan/1"
protocol = "120 kV, 3 mm"
cases = {cases}
cases_reason = "a test"
end_to_end = "osteon run on a phantom"
trained = 1
baseline_cases = 2
[[scanners]]
manufacturer = "Osteon Tests"
model = "Builder"
"""


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    """A site with a release, a cohort of three of its own patients, criteria, a trained user."""
    folder = tmp_path_factory.mktemp("ward")
    place = Ward(folder)
    release = folder / "trial.osteon"
    release.write_bytes(bundle(METHODS, evidence="real", envelope={"body_parts": ["THIGH"]}))
    place.by("erin")
    place.osteon("release", "sign", str(release))
    place.osteon("release", "add", str(release))
    write_studies(folder / "studies", *(Study(number) for number in (1, 2, 3)))
    (folder / "plan.toml").write_text(toml_of(COHORT_PLAN))
    built = place.json(
        "cohort", "build", "--from", str(folder / "studies"), "--plan", str(folder / "plan.toml"),
        "--release", "trial",
    )  # fmt: skip
    assert (built["cases"], built["left_out"]) == (3, {})
    (folder / "criteria.json").write_text(json.dumps(CRITERIA))
    place.osteon(
        "validate", "criteria", str(folder / "criteria.json"), "--release", "trial", "--cohort",
        "ours",
    )  # fmt: skip
    place.by("anna")
    place.osteon(
        "personnel", "train", "trial", "phil", "--topic", "limits", "--by", "provider",
        "--until", "2099-01-01",
    )  # fmt: skip
    return place


@pytest.mark.reg("ESTRO-1")
def test_a_site_commissions_a_release_and_may_use_it(ward: Ward, tmp_path: Path) -> None:
    """What the plan asks is tried, a second physicist signs, and only then the gate opens."""
    (tmp_path / "commission.toml").write_text(PLAN_TOML.format(cases=3))
    fixing = (
        "validate", "commission", "plan", str(tmp_path / "commission.toml"), "--release", "trial",
        "--cohort", "ours",
    )  # fmt: skip
    ward.by("erin")
    assert ward.osteon(*fixing, code=1) == "ROLE_NOT_PERMITTED"
    ward.by("petra")
    plan = ward.json(*fixing)
    assert ward.json(*fixing) == plan
    # Without a run end to end it is insufficient, and cannot be signed.
    ward.by("phil")
    running = ("validate", "commission", "run", "trial", "--no-pdf", "--repeat-cases", "1")
    first = ward.json(*running, code=3)
    assert {c["name"]: (c["verdict"], c["reason"]) for c in first["checks"]} == {
        "local-cases": ("pass", ""), "scanners": ("pass", ""), "known-answer": ("pass", ""),
        "end-to-end": ("insufficient", "NOT_TRIED"), "failure-behaviour": ("pass", ""),
        "training": ("pass", ""), "baseline": ("pass", ""),
    }  # fmt: skip
    ward.by("petra")
    signing = ("validate", "commission", "sign", "trial", "--reason", "fit for our patients")
    assert ward.osteon(*signing, code=1) == "NOT_PASSED end-to-end insufficient"
    # The run end to end: files in, objects out, read back.
    ended = ward.json(
        "run", "--plugin", "trial", "--release", str(ward.folder / "trial.osteon"), "--input",
        str(ward.folder / "studies" / "Quillfeather 1"), "--output", str(tmp_path / "out"),
    )  # fmt: skip
    run_id = ended["runs"][0]["run_id"]
    ward.by("phil")
    other = [*running[:-1], "2", "--end-to-end", run_id]
    assert ward.osteon(*other, code=1) == "COMMISSIONING_RAN"
    again = ward.json(*running, "--end-to-end", run_id)
    assert (again["verdict"], again["run_id"]) == ("pass", first["run_id"])
    assert ward.osteon(*signing, code=1) == "FOUR_EYES"
    ward.by("petra")
    signed = ward.json(*signing)
    assert signed["objections"] == []
    (line,) = ward.json("validate", "commission", "show")
    assert (line["verdict"], line["ran_by"], line["signed_by"]) == ("pass", "phil", "petra")
    _pages(Path(again["folder"]))
    _routine(ward)
    _gate(ward, plan["release_digest"])


def _pages(folder: Path) -> None:
    """The report says in both languages what was tried, and nothing of a patient."""
    for language, word in (("en", "What was tried"), ("de", "Was geprüft wurde")):
        page = (folder / f"commissioning-{language}.html").read_text("utf-8")
        assert word in page
        assert "Osteon Tests Builder" in page
        assert "Quillfeather" not in page


def _gate(ward: Ward, digest: str) -> None:
    """In clinical mode the release comes into use with its commissioning, and not without."""
    settings = configuration(ward.folder, site={"name": "site-a", "mode": "clinical"})
    with open_site(Home(ward.home), configuration=settings) as opened:
        site = _but_papers(opened)
        kinds = [record.body["document"] for record in records(site, "governed")]
        assert [kinds.count(kind) for kind in (PLAN, RUN, SIGNED)] == [1, 2, 1]
        phil, anna = Somebody("phil", "physicist"), Somebody("anna", "approver")
        certify(site, digest, phil, certificate(site, digest))
        approve(site, digest, anna)
        approve(site, digest, phil, "review")
        commissioning.withdraw(site, digest, phil, "the scanner was replaced")
        with pytest.raises(RefusalError) as caught:
            act(site, "activate", digest, anna, {"reason": "commissioned"})
        assert caught.value.reasons == ("COMMISSIONING_WITHDRAWN",)
        petra = Somebody("petra", "physicist")
        (plan_id,) = {standing(site, digest).plan_id}
        commissioning.sign(site, plan_id, petra, "the old scanner is back, unchanged")
        assert act(site, "activate", digest, anna, {"reason": "commissioned"}).state == "active"


def _but_papers(site: Site) -> Site:
    gates = tuple(g for g in site.gates if not isinstance(getattr(g, "__self__", None), Desk))
    return replace(site, gates=gates)


def _routine(ward: Ward) -> None:
    """The same machine gives the same answers, on record; a changed report is not relied on."""
    ward.by("phil")
    found = ward.json("validate", "commission", "routine", "trial")
    assert (found["verdict"], found["asked"], found["the_same"]) == ("pass", 2, 2)
    (folder,) = (ward.home / "commissionings").iterdir()
    path = folder / "commissioning.json"
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b'"verdict":"pass"', b'"verdict":"fail"', 1))
    ward.osteon("validate", "commission", "routine", "trial", code=1)
    path.write_bytes(kept)
    assert ward.json("validate", "commission", "routine", "trial")["verdict"] == "pass"
