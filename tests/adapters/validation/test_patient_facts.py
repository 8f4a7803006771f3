"""Facts by patient from a table beside the plan: strata with their provenance, faults by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.compose import Site
from adapters.validation.building_dicom import Built, build_dicom
from adapters.validation.cohorts import check_bytes, linkage_of, load, seal
from adapters.validation.dicom_plan import read_plan
from audit.errors import InputError
from governance.release import digest_of
from tests.simulators.governed_site import PHYSICIST, add_release, governed_site
from tests.simulators.site_studies import PLAN, Study, write_studies
from tests.simulators.ward import toml_of
from validation.cohort.manifest import CohortError
from validation.cohort.strata import strata_of

SOURCE = "tumour board, read by a physicist"
AGELESS = (Study(1, age=""), Study(2, age=""), Study(3))
ROWS = (
    "patient,tumour_site,metal,age_years,pregnant\n{0},Upper thigh,yes,17,no\n{1},pelvis,,93,yes\n"
)


@pytest.fixture
def place(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A site with a release, three studies in a folder, and their pseudonyms."""
    with governed_site(tmp_path / "site") as (site, _):
        add_release(site, "1.0.0")
        yield Place(site, write_studies(tmp_path / "in", *AGELESS), tmp_path)


class Place:
    """Where a cohort is built from a plan with a table of facts beside it."""

    def __init__(self, site: Site, studies: Path, folder: Path) -> None:
        self.site, self.studies, self.folder = site, studies, folder
        linkage = linkage_of(site.home)
        self.patients = [linkage.pseudonym(f"PID-4711{number}") for number in (1, 2, 3)]

    def build(self, table: str, *, name: str = "facts.csv", leave_out: bool = False) -> Built:
        """Write plan and table, and build the cohort."""
        (self.folder / name).write_text(table.format(*self.patients))
        plan = PLAN | {"patients": {"file": name, "source": SOURCE}, "linkage": ""}
        path = self.folder / "plan.toml"
        path.write_text(toml_of(plan))
        stated = read_plan(path)
        return build_dicom(self.site, self.studies, stated, "trial", PHYSICIST, leave_out=leave_out)

    def refused(self, table: str, **how: str) -> str:
        """Return what is said of a table that is refused."""
        with pytest.raises((InputError, CohortError)) as error:
            self.build(table, **how)  # type: ignore[arg-type]
        return " ".join((str(error.value), *getattr(error.value, "reasons", ())))


@pytest.mark.reg("AIA-9.9", "AIA-10.2")
def test_facts_become_strata_with_their_provenance(place: Place) -> None:
    """Each level is a stratum that names source and digest; so old a patient has only a band."""
    built = place.build(ROWS)
    digest = digest_of(ROWS.format(*place.patients).encode())
    cohort = built.kept.cohort
    rules = {rule.name: rule for rule in cohort.strata}
    for name in ("tumour-site-upper-thigh", "tumour-site-pelvis", "metal"):
        assert SOURCE in rules[name].reason
        assert digest in rules[name].reason
    assert SOURCE in cohort.data_governance["b"]
    assert digest in cohort.data_governance["b"]
    found = {case.patient_group: case for case in cohort.cases}
    first, second, third = (found[patient] for patient in place.patients)
    assert (first.facts.tumour_site, first.facts.age_years) == ("Upper thigh", 17.0)
    assert (second.facts.age_years, second.facts.age_band) == (None, "90+")
    assert third.facts.tumour_site == ""
    assert set(strata_of(cohort.strata, first)) >= {"under-18", "metal", "tumour-site-upper-thigh"}
    assert set(strata_of(cohort.strata, second)) >= {"75-and-over", "pregnant"}
    assert "metal" not in strata_of(cohort.strata, second)
    assert built.unknown["tumour_site"] == 1
    assert "age_band" not in built.unknown


@pytest.mark.reg("AIA-10.2")
def test_facts_are_sealed_with_the_manifest(place: Place) -> None:
    """The sealed manifest keeps facts and provenance; another table makes another digest."""
    first = place.build(ROWS).kept
    kept = seal(place.site, first.cohort.name, 2, 0.05, PHYSICIST)
    again = load(place.site.home, kept.cohort.name)
    assert check_bytes(again) == ()
    assert [case.facts for case in again.cohort.cases] == [c.facts for c in first.cohort.cases]
    assert again.cohort.strata == first.cohort.strata
    raw = (kept.folder / "cohort.json").read_bytes()
    assert SOURCE.encode() in raw
    assert b"PID-4711" not in raw
    (place.folder / "other").mkdir()
    text = toml_of(PLAN | {"name": "other", "patients": {"file": "f.csv", "source": SOURCE}})
    (place.folder / "other" / "plan.toml").write_text(text)
    (place.folder / "other" / "f.csv").write_text(f"patient,metal\n{place.patients[0]},yes\n")
    plan = read_plan(place.folder / "other" / "plan.toml")
    other = build_dicom(place.site, place.studies, plan, "trial", PHYSICIST).kept
    assert other.content_digest != first.content_digest


def test_toml_says_the_same(place: Place) -> None:
    """A TOML table of each patient gives the facts that a CSV gives."""
    rows = (
        '["{0}"]\ntumour_site = "Upper thigh"\nmetal = true\nage_years = 17\n'
        '["{1}"]\nage_band = "90+"\nsex = "F"\n'
    )
    cohort = place.build(rows, name="facts.toml").kept.cohort
    found = {case.patient_group: case.facts for case in cohort.cases}
    assert "metal" in found[place.patients[0]].flags
    assert found[place.patients[1]].age_band == "90+"
    assert "sex-F" in [rule.name for rule in cohort.strata]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("patient,metal\np-" + "0" * 32 + ",yes\n", "COHORT_FACTS_PATIENT p-000"),
        ("patient,metal\nPID-47111,yes\n", "a pseudonym"),
        ("patient,mood\n{0},good\n", "a fact of"),
        ("patient,metal\n{0},perhaps\n", "metal as yes or no"),
        ("patient,age_years\n{0},old\n", "age_years as a number"),
        ("patient,age_years\n{0},170\n", "age_years as a number"),
        ("patient,age_years,age_band\n{0},17,0-17\n", "both in row 1"),
        ("patient,age_band\n{0},0-30\n", "age_band of"),
        ("patient,operation\n{0},maybe\n", "operation of"),
        ("patient,metal\n{0},yes\n{0},no\n", "each patient once"),
        ("patient,metal\n{0}\n", "as many cells"),
        ("metal\nyes\n", "a column patient"),
        ("patient,tumour_site\n{0},<thigh>\n", "at most 40 letters"),
        ("patient,age_years\n{2},17\n", "COHORT_FACT_DIFFERS"),
        ("patient,sex\n{2},M\n", "COHORT_FACT_DIFFERS"),
    ],
)
def test_what_is_unknown_or_contrary_is_named(place: Place, table: str, said: str) -> None:
    """Unknown patients, facts and values, and contradictions, are errors without a Patient ID."""
    found = place.refused(table)
    assert said in found
    assert "PID-4711" not in found
    assert not list(Path(place.site.home.cohorts).glob("ours*"))


def test_a_plan_names_file_and_source(place: Place) -> None:
    """Without source, with a path, or with a fact that is the same for all, the plan is refused."""
    (place.folder / "facts.csv").write_text(f"patient,operation\n{place.patients[0]},pre\n")
    for patients, facts in (
        ({"file": "facts.csv"}, {}),
        ({"file": "../facts.csv", "source": SOURCE}, {}),
        ({"file": "none.csv", "source": SOURCE}, {}),
        ({"file": "facts.csv", "source": SOURCE, "more": "x"}, {}),
        ({"file": "facts.csv", "source": SOURCE}, {"operation": "post"}),
    ):
        path = place.folder / "plan.toml"
        path.write_text(toml_of(PLAN | {"patients": patients, "facts": facts}))
        with pytest.raises(InputError):
            read_plan(path)


def test_pseudonyms_are_printed_in_order(place: Place) -> None:
    """A physicist gets the pseudonyms of Patient IDs from standard input, and nothing else."""
    from tests.simulators.ward import Ward

    ward = Ward(place.folder / "ward")
    ward.by("phil")
    said = ward.osteon("cohort", "pseudonyms", given="PID-47111\n PID-47112 \n\n")
    ward.by("phil")
    again = ward.osteon("cohort", "pseudonyms", given="PID-47112\n")
    first, second = said.split()
    assert again.split() == [second]
    assert first != second
    assert json.dumps(said).count("p-") == 2
