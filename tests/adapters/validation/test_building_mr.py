"""A cohort of studies that have no CT: the reference lies on the MR that the release needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.compose import Site
from adapters.published import sign_bundle
from adapters.validation.asking import Wish, ask
from adapters.validation.building_dicom import Built, build_dicom
from adapters.validation.checking import check
from adapters.validation.criteria import fix
from adapters.validation.dicom_plan import plan_of
from adapters.validation.dicom_studies import anchor_of
from audit.errors import GeometryError, InputError
from plugins.host.manifest import Input, Manifest
from tests.simulators.governed_site import PHYSICIST, Clock, governed_site
from tests.simulators.limb_case import MANIFEST
from tests.simulators.mr_releases import CT, ECHO_TIMES, MR, T1, T2, mr_bundle
from tests.simulators.mr_studies import MrStudy, write_mr_studies
from tests.simulators.site_studies import PLAN
from tests.simulators.validation_site import criteria
from validation.cohort.cases import FolderFiles, load_reference
from validation.cohort.manifest import CohortError
from validation.criteria.document import Criterion
from validation.harness.cases import read_evaluation

SECRETS = (b"Quillfeather", b"PID-", b"IM000", b"RS0")
PLUGIN = "threshold_mr"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without a release."""
    with governed_site(tmp_path) as (opened, _):
        yield opened


def add(site: Site, *inputs: Input) -> str:
    """Add a release that needs these inputs; return its digest."""
    path = site.home.root / "threshold.osteon"
    path.write_bytes(mr_bundle(inputs=inputs, rules=ECHO_TIMES)[1])
    return site.registry.add(sign_bundle(site.keys, path, site.now())).digest


def built(site: Site, folder: Path, *studies: MrStudy) -> Built:
    """Write studies and build a cohort of them."""
    write_mr_studies(folder, *studies)
    return build_dicom(site, folder, plan_of(copy.deepcopy(PLAN)), PLUGIN, PHYSICIST)


@pytest.mark.reg("AIA-10.3")
def test_studies_of_mr_become_a_cohort(site: Site, tmp_path: Path) -> None:
    """Image, region and facts are as drawn, on the MR's own grid; nothing names a patient."""
    add(site, MR)
    studies = (MrStudy(1), MrStudy(2))
    found = built(site, tmp_path / "in", *studies)
    files = FolderFiles(found.kept.folder)
    volumes = []
    for case in found.kept.cohort.cases:
        assert set(case.inputs) == {"mr"}
        assert case.facts.model == "Limb phantom"
        evaluation = read_evaluation(case, files)
        assert evaluation.reference_role == "mr"
        image = evaluation.case.images["mr"]
        assert image.modality == "MR"
        assert evaluation.reference is not None
        assert np.median(image.array[evaluation.reference]) == pytest.approx(600.0, abs=60.0)
        volumes.append(evaluation.reference.sum() * np.prod(image.geometry.spacing_mm))
    expected = [4 / 3 * np.pi * np.prod(study.parameters.semi_axes_mm) for study in studies]
    assert sorted(volumes) == pytest.approx(sorted(expected), rel=0.03)
    everything = b"".join(path.read_bytes() for path in found.kept.folder.rglob("*.*"))
    assert not any(secret in everything for secret in SECRETS)


@pytest.mark.reg("VAL-1")
def test_a_release_on_mr_is_judged_on_it(site: Site, tmp_path: Path) -> None:
    """Cohort, criteria and run: the harness measures contours on MR, and shows what is no patient;
    a sweep that means a CT is left out."""
    digest = add(site, MR)
    kept = built(site, tmp_path / "in", MrStudy(1), MrStudy(2)).kept
    floor = (Criterion("dsc", "floor", "a test", metric="dsc", given="mr", at_least=0.8),)
    asked = criteria(plugin=PLUGIN, method="held-out", criteria=floor)
    held = fix(site, asked, digest, kept, PHYSICIST)
    assert isinstance(site.now, Clock)
    site.now.forward(hours=1)
    wish = Wish(
        digest, "ours", held.digest, ("noise", "only-noise"), repeat_cases=1, phantoms=0
    )  # fmt: skip
    results, folder = ask(site, wish, PHYSICIST)
    found = {(c.condition.name, c.case_id): c for c in results.cases if not c.condition.repeat}
    assert {name for name, _ in found} == {"baseline", "only-noise"}
    for (name, _), case in found.items():
        if name == "baseline":
            assert case.outcome == "done"
            assert case.metrics["dsc"] > 0.9
    assert list((folder / "pictures").glob("*.png"))


def test_two_mr_are_told_apart_by_the_release(site: Site, tmp_path: Path) -> None:
    """T1 and T2 come into their roles by the rules of the release, and lie on one grid."""
    add(site, T1, T2)
    found = built(site, tmp_path / "in", MrStudy(1, t2=True))
    (case,) = found.kept.cohort.cases
    evaluation = read_evaluation(case, FolderFiles(found.kept.folder))
    mask = evaluation.reference
    assert mask is not None
    medians = {role: np.median(v.array[mask]) for role, v in evaluation.case.images.items()}
    assert medians == pytest.approx({"t1": 600.0, "t2": 820.0}, abs=60.0)
    assert evaluation.reference_role in ("t1", "t2")


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        ({"other_frame": True}, "COHORT_REFERENCE_FRAME"),
        ({"approval": "UNAPPROVED"}, "COHORT_REFERENCE_UNAPPROVED"),
        ({"name": "Bladder"}, "COHORT_REFERENCE_MISSING"),
    ],
)
def test_a_fault_of_an_mr_study_is_named(
    site: Site, tmp_path: Path, spoilt: dict[str, bool | str], code: str
) -> None:
    """As of studies with a CT; no cohort is left."""
    add(site, MR)
    with pytest.raises(CohortError) as error:
        built(site, tmp_path / "in", MrStudy(1), MrStudy(2, **spoilt))  # type: ignore[arg-type]
    assert [reason.split()[0] for reason in error.value.reasons] == [code]
    assert not list(Path(site.home.cohorts).glob("ours*"))


def test_a_release_that_needs_a_ct_has_no_case_here(site: Site, tmp_path: Path) -> None:
    """Without the CT it would not run, and so it is not judged: each study is told."""
    add(site, CT, MR)
    with pytest.raises(CohortError) as error:
        built(site, tmp_path / "in", MrStudy(1))
    assert [r.split()[0] for r in error.value.reasons] == ["COHORT_STUDY_NOT_ROUTED"]


def test_equal_mr_of_two_patients_are_found(site: Site, tmp_path: Path) -> None:
    """One patient under two ids is told where there is no CT, too, and by a check later."""
    add(site, MR)
    with pytest.raises(CohortError) as error:
        built(site, tmp_path / "in", MrStudy(1), MrStudy(2, copy_of=1))
    assert [r.split()[0] for r in error.value.reasons] == ["DUPLICATE_IMAGE"]
    built(site, tmp_path / "two", MrStudy(3), MrStudy(4))
    check(site, "ours", "", "held-out", images=True).require()


def test_the_reference_lies_on_what_the_release_needs() -> None:
    """The CT where it is needed, whatever else is; else the first image that is needed."""
    optional = Input("ct", "CT", required=False)
    plan = Input("plan", "RTPLAN")
    for inputs, role in (
        ((MR, CT), "ct"),
        ((optional, MR), "mr"),
        ((plan, T2, T1), "t2"),
        ((Input("image", "CT"),), "image"),
    ):
        assert anchor_of(manifest_of(*inputs)) == role
    with pytest.raises(InputError, match="needs an image"):
        anchor_of(manifest_of(optional, plan))


def test_a_reference_on_no_image_is_refused(site: Site, tmp_path: Path) -> None:
    """A mask whose grid is that of none of the case's images is judged on none."""
    add(site, MR)
    folder = built(site, tmp_path / "in", MrStudy(1), MrStudy(2)).kept
    first, second = folder.cohort.cases
    files = FolderFiles(folder.folder)
    assert load_reference(first, files) is not None
    wrong = replace(first, reference=second.reference)
    with pytest.raises(GeometryError, match="on the grid of an image"):
        read_evaluation(wrong, files)


def manifest_of(*inputs: Input) -> Manifest:
    """Return a manifest that has these inputs."""
    return replace(MANIFEST, inputs=inputs)
