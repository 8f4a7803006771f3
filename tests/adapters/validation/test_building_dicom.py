"""Cohorts of a site's own DICOM studies: facts, pseudonyms, faults by name, nothing of patients."""

from __future__ import annotations

import copy
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.compose import Site
from adapters.published import add_newest
from adapters.rt.read_facts import station_word
from adapters.validation.building_dicom import Built, build_dicom
from adapters.validation.dicom_plan import plan_of, with_structures
from audit.errors import ConfigurationError, InputError
from governance.strata import CaseFacts, Stratum, belongs
from plugins.host.manifest import Input
from tests.simulators.given_data import folder_of
from tests.simulators.governed_site import PHYSICIST, add_release, governed_site, records
from tests.simulators.site_studies import BOX, PLAN, SHAPE, Study, write_dose, write_studies
from validation.cohort import reading
from validation.cohort.cases import FolderFiles, load_case, load_reference
from validation.cohort.manifest import CohortError
from validation.cohort.strata import strata_of
from validation.harness.cases import read_evaluation

ROOT = Path(__file__).resolve().parents[3]
SECRETS = (b"Quillfeather", b"PID-", b"19900203", b"IM000", b"RS0", b"20240305")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with one release of plugin ``trial``, which takes a CT."""
    with governed_site(tmp_path) as (opened, _):
        add_release(opened, "1.0.0")
        yield opened


def built(site: Site, folder: Path, *studies: Study, leave_out: bool = False, **plan: Any) -> Built:
    """Write studies and build a cohort of them."""
    write_studies(folder, *studies)
    stated = plan_of(copy.deepcopy(PLAN) | plan)
    return build_dicom(site, folder, stated, "trial", PHYSICIST, leave_out=leave_out)


def faults(site: Site, folder: Path, *studies: Study, **plan: Any) -> list[str]:
    """Return the codes by which a cohort of studies is refused; nothing of a patient is told."""
    with pytest.raises(CohortError) as error:
        built(site, folder, *studies, **plan)
    said = " ".join((str(error.value), error.value.advice, *error.value.reasons)).encode()
    assert not any(secret in said for secret in SECRETS)
    return [reason.split()[0] for reason in error.value.reasons]


@pytest.mark.reg("AIA-10.2", "AIA-10.3")
def test_a_folder_becomes_a_cohort_without_its_patients(site: Site, tmp_path: Path) -> None:
    """Arrays, masks and facts are as drawn; no name, id, date or file name is anywhere."""
    found = built(site, tmp_path / "in", Study(1), Study(2, age="", sex=""), Study(3, model="X 9"))
    cohort = found.kept.cohort
    assert [case.case_id for case in cohort.cases] == ["case-001", "case-002", "case-003"]
    assert len({case.patient_group for case in cohort.cases}) == 3
    for case in cohort.cases:
        mask, grid = load_reference(case, FolderFiles(found.kept.folder)) or (None, None)
        assert mask is not None
        assert grid is not None
        assert np.argwhere(mask).min(axis=0).tolist() == [part.start for part in BOX]
        assert mask.sum() == 4 * 12 * 12
        assert grid.shape == SHAPE
        read = load_case(case, FolderFiles(found.kept.folder))
        assert set(np.unique(read.images["ct"].array[mask])) == {700.0}
        assert case.facts.manufacturer == "Osteon Tests"
        assert case.facts.station == station_word("CT-Quillfeather")
    assert found.unknown == {
        "age_band": 1, "sex": 1, "tumour_type": 3, "tumour_site": 3, "grade": 3, "operation": 3,
    }  # fmt: skip
    assert reading.decode(reading.encode(cohort)) == cohort
    everything = b"".join(path.read_bytes() for path in found.kept.folder.rglob("*.*"))
    assert not any(secret in everything for secret in SECRETS)
    assert [record.body["action"] for record in records(site, "cohort")] == ["built"]


def test_strata_name_scanner_station_and_age(site: Site, tmp_path: Path) -> None:
    """What the headers say makes strata; a run of the same scanner is a member, others are not."""
    found = built(
        site, tmp_path / "in", Study(1), Study(2, model="X 9", age="012Y"),
        strata_by=["scanner", "station", "age_band"],
    )  # fmt: skip
    cohort = found.kept.cohort
    named = {rule.name: dict(rule.where) for rule in cohort.strata}
    word = station_word("CT-Quillfeather")
    assert named["scanner-osteon-tests-x-9"] == {"manufacturer": "Osteon Tests", "model": "X 9"}
    assert named[f"station-{word}"] == {"station": word}
    assert named["age-0-17"] == {"age_years": [0, 18]}
    young = next(case for case in cohort.cases if case.facts.age_band == "0-17")
    assert set(strata_of(cohort.strata, young)) == {
        "under-18", "age-0-17", "scanner-osteon-tests-x-9", f"station-{word}",
    }  # fmt: skip
    stratum = Stratum("scanner", 1, "pass", named["scanner-osteon-tests-x-9"])
    assert belongs(stratum, CaseFacts(manufacturer="OSTEON TESTS ", model="X-9")) is True
    assert belongs(stratum, CaseFacts(manufacturer="Osteon Tests", model="X 8")) is False
    assert belongs(stratum, CaseFacts(manufacturer="Osteon Tests")) is None


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        ({"sets": ()}, "COHORT_REFERENCE_MISSING"),
        ({"sets": ("Bladder",)}, "COHORT_REFERENCE_MISSING"),
        ({"sets": ("GTV primary", "gtv  PRIMARY")}, "COHORT_REFERENCE_TWICE"),
        ({"approval": "UNAPPROVED"}, "COHORT_REFERENCE_UNAPPROVED"),
        ({"other_frame": True}, "COHORT_REFERENCE_FRAME"),
        ({"frames": (0, 3)}, "COHORT_REFERENCE_GAPS"),
        ({"shift_mm": 30.0}, "COHORT_REFERENCE_CUT"),
        ({"shift_mm": 300.0}, "COHORT_REFERENCE_EMPTY"),
        ({"missing": (7,)}, "INPUT_GEOMETRY"),
        ({"missing": tuple(range(16))}, "COHORT_STUDY_NOT_ROUTED"),
        ({"patient_id": " "}, "COHORT_PATIENT_UNKNOWN"),
    ],
)
def test_a_fault_is_named(site: Site, tmp_path: Path, spoilt: dict[str, Any], code: str) -> None:
    """Each study that cannot be judged on is told by its code, beside one without a fault."""
    assert faults(site, tmp_path / "in", Study(1), Study(2, **spoilt)) == [code]
    assert not list(Path(site.home.cohorts).glob("ours*"))


def test_what_the_plan_permits_is_taken(site: Site, tmp_path: Path) -> None:
    """Unapproved contours, and gaps in them, count where the plan says so; the default is no."""
    study = Study(1, approval="UNAPPROVED", frames=(0, 3))
    found = built(site, tmp_path / "in", study, reference={"approved": False, "gaps": True})
    assert len(found.kept.cohort.cases) == 1


def test_the_approved_one_of_two_is_taken(site: Site, tmp_path: Path) -> None:
    """Beside drafts the approved structure set is the reference standard."""
    folder = write_studies(tmp_path / "in", Study(1, sets=("GTV primary", "GTV primary")))
    path = folder / "Quillfeather 1" / "RS1.dcm"
    path.write_bytes(path.read_bytes().replace(b"APPROVED", b"REJECTED"))
    stated = plan_of(copy.deepcopy(PLAN))
    assert len(build_dicom(site, folder, stated, "trial", PHYSICIST).kept.cohort.cases) == 1


@pytest.mark.reg("AIA-10.2")
def test_left_out_studies_are_counted(site: Site, tmp_path: Path) -> None:
    """Left out only when asked for, by code, in the manifest too."""
    found = built(site, tmp_path / "in", Study(1), Study(2, sets=()), leave_out=True)
    assert found.left_out == {"COHORT_REFERENCE_MISSING": 1}
    assert "1 COHORT_REFERENCE_MISSING" in found.kept.cohort.data_governance["a"]


def test_one_patient_under_two_ids_is_found(site: Site, tmp_path: Path) -> None:
    """Equal images of two Patient IDs are refused; two studies of one patient are one group."""
    write_studies(tmp_path / "in", Study(1))
    copied = tmp_path / "in" / "copy"
    copied.mkdir()
    for path in sorted((tmp_path / "in" / "Quillfeather 1").iterdir()):
        from pydicom import dcmread

        dataset = dcmread(path)
        dataset.PatientID = "PID-other"
        for word in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, word, f"{getattr(dataset, word)}.1"[-64:].lstrip("."))
        dataset.save_as(copied / path.name)
    assert faults(site, tmp_path / "in") == ["DUPLICATE_IMAGE"]
    group = {"patient_id": "PID-one"}
    found = built(site, tmp_path / "two", Study(3, **group), Study(4, **group))
    assert len({case.patient_group for case in found.kept.cohort.cases}) == 1


def test_a_seed_lies_in_the_reference_where_the_plan_says_so(site: Site, tmp_path: Path) -> None:
    """A whole CT needs a seed point: the voxel of the region nearest to its centroid."""
    found = built(site, tmp_path / "in", Study(1), seeded=True)
    (case,) = found.kept.cohort.cases
    files = FolderFiles(found.kept.folder)
    mask, grid = load_reference(case, files) or (None, None)
    assert mask is not None
    assert grid is not None
    seed = load_case(case, files).seed_point_mm
    assert mask[tuple(np.rint(grid.to_index(np.asarray(seed))).astype(int))]
    assert "seed point" in found.kept.cohort.reference_standard
    assert reading.decode(reading.encode(found.kept.cohort)).cases[0].seed_point_mm == seed


def test_a_planned_dose_is_the_reference_of_a_dose_plugin(site: Site, tmp_path: Path) -> None:
    """The dose comes to the CT's grid, regions by the plan's names, prescription beside them."""
    structures = Input("structures", "RTSTRUCT", same_frame_as="ct")
    folder = write_studies(tmp_path / "in", Study(1))
    write_dose(folder, Study(1))
    add_newest(site, "dose", None)
    plan = copy.deepcopy(PLAN) | {
        "structures": {"gtv primary": "PTV60"}, "prescription": {"PTV60": 60.0},
    }  # fmt: skip
    found = build_dicom(site, folder, plan_of(plan), "dose", PHYSICIST)
    (case,) = found.kept.cohort.cases
    assert structures.role in case.inputs
    evaluation = read_evaluation(case, FolderFiles(found.kept.folder))
    assert evaluation.planned is not None
    assert evaluation.planned.dose.array[BOX] == pytest.approx(60.0, abs=1e-4)
    (region,) = evaluation.planned.structures.regions
    assert (region.name, region.prescribed_gy, int(region.mask.sum())) == ("PTV60", 60.0, 576)
    assert evaluation.case.prescription is not None


@pytest.mark.parametrize(
    ("approval", "doses", "code"),
    [("UNAPPROVED", 1, "COHORT_REFERENCE_UNAPPROVED"), ("APPROVED", 0, "COHORT_REFERENCE_MISSING")],
)
def test_a_dose_without_an_approved_plan_is_named(
    site: Site, tmp_path: Path, approval: str, doses: int, code: str
) -> None:
    """Neither a dose of a plan that nobody approved nor no dose at all makes a case."""
    folder = write_studies(tmp_path / "in", Study(1))
    if doses:
        write_dose(folder, Study(1, approval=approval))
    add_newest(site, "dose", None)
    plan = plan_of(copy.deepcopy(PLAN) | {"prescription": {"GTVp": 60.0}})
    with pytest.raises(CohortError) as error:
        build_dicom(site, folder, plan, "dose", PHYSICIST)
    assert [reason.split()[0] for reason in error.value.reasons] == [code]


def test_a_plan_is_read_or_refused(tmp_path: Path) -> None:
    """The example is a whole plan; an unknown word, or one that is missing, is refused."""
    example = tomllib.loads((ROOT / "docs/examples/validation/site-cohort.toml").read_text("utf-8"))
    assert plan_of(example).structures["gtv_mass_ct"] == "GTVp"
    other = ROOT / "docs/examples/validation/site-cohort-dose.toml"
    assert (
        plan_of(tomllib.loads(other.read_text("utf-8"))).structures["parotid_r"] == "RightParotid"
    )
    for changed in ({"colour": "blue"}, {"strata_by": ["mood"]}, {"facts": {"name": "x"}}):
        with pytest.raises(InputError):
            plan_of(copy.deepcopy(PLAN) | changed)
    with pytest.raises(InputError):
        plan_of({key: value for key, value in PLAN.items() if key != "legal_basis"})
    plan = with_structures(plan_of(copy.deepcopy(PLAN)), ("PTV 1=PTV60",))
    assert plan.structures == {"gtv primary": "GTVp", "ptv 1": "PTV60"}
    with pytest.raises(ConfigurationError):
        with_structures(plan, ("PTV 1",))


@pytest.mark.reg("AIA-10.3")
def test_two_real_patients_become_a_cohort(tmp_path: Path) -> None:
    """The CT contour among three sets is taken, the age comes from the PET, training is seen."""
    data = folder_of("sts_dicom")
    for path in sorted(data.glob("*.zip")):
        zipfile.ZipFile(path).extractall(tmp_path / "in" / path.stem)
    found = folder_of("sts51")
    plan = copy.deepcopy(PLAN) | {
        "structures": {"GTV_Mass_CT": "GTVp"}, "reference": {"approved": False},
        "linkage": "public:doi:10.7937/K9/TCIA.2015.7GO2GSKS",
    }  # fmt: skip
    with governed_site(tmp_path) as (site, _):
        add_newest(site, "contouring", None)
        made = build_dicom(site, tmp_path / "in", plan_of(plan), "contouring", PHYSICIST)
        cases = made.kept.cohort.cases
        assert made.seen == 2
        facts = {(c.facts.age_years, c.facts.sex, c.facts.scanner) for c in cases}
        assert facts == {
            (64.0, "M", "GE MEDICAL SYSTEMS Discovery ST"),
            (16.0, "F", "GE MEDICAL SYSTEMS Discovery ST"),
        }
        for case in cases:
            patient = "STS_006" if case.facts.sex == "M" else "STS_042"
            mask, grid = load_reference(case, FolderFiles(made.kept.folder)) or (None, None)
            assert mask is not None
            assert grid is not None
            with np.load(found / f"{patient}.npz") as array:
                bits = np.unpackbits(array["ct_mask"])[: array["ct"].size]
                millilitres = bits.sum() * np.prod(array["ct_spacing"]) / 1000.0
            # The arrays are averaged over 2 x 2 voxels in plane, which moves an edge.
            assert mask.sum() * grid.voxel_volume_ml() == pytest.approx(millilitres, rel=0.05)
