"""A structure set becomes what a dose may be predicted from, and a list for a person."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.rt.read_structures import read_structures
from models.dose.patient import LEVELS, ORGANS
from plugins.dose.structures import MODEL_ORGANS, StructureMap, map_structures
from plugins.host.images import Contour, RegionOfInterest
from tests.simulators.drawn_regions import box, head
from tests.simulators.given_data import folder_of


def codes(found: StructureMap) -> dict[str, str]:
    """Return name -> code of the review list."""
    return {item.roi_name: item.code for item in found.review}


def test_organs_are_those_of_the_model() -> None:
    """Every organ of the model has its TG-263 name, and none has two."""
    assert set(MODEL_ORGANS.values()) == set(ORGANS)
    assert len(set(MODEL_ORGANS.values())) == len(MODEL_ORGANS)


def test_a_head_is_mapped_without_a_question() -> None:
    """A clean structure set with foreign spellings gives organs and targets and nothing to ask."""
    found = map_structures(head(Parotid_L="Parotis li.", SpinalCord="Myelon", Larynx="Kehlkopf"))
    assert set(found.organs) == {"Brainstem", "SpinalCord", "LeftParotid", "RightParotid", "Larynx"}
    assert [(item.tg263, item.dose_gy) for item in found.targets] == [("PTV_7000", 70.0)]
    assert found.review == ()
    assert found.unclear_targets == ()
    assert found.organs["SpinalCord"].name == "Myelon"


def test_two_regions_for_one_structure_are_none() -> None:
    """Nobody chooses between two cords; where one is empty there is nothing to choose."""
    second = box(20, "Myelon", (0.0, 40.0, 0.0), 7.0)
    found = map_structures([*head(), second])
    assert codes(found) == {"SpinalCord": "DUPLICATE", "Myelon": "DUPLICATE"}
    assert "SpinalCord" not in found.organs
    emptied = map_structures([*head(), replace(second, contours=())])
    assert emptied.review == ()
    assert emptied.organs["SpinalCord"].number == 2


def test_a_region_without_outline_is_no_structure() -> None:
    """Points and empty regions are left out, and so is an organ that was never drawn."""
    point = replace(head()[-1].contours[0], geometric_type="POINT")
    rois = [replace(roi, contours=(point,)) if roi.name == "Larynx" else roi for roi in head()]
    found = map_structures(rois)
    assert "Larynx" not in found.organs
    assert [item.code for item in found.entries if item.roi_name == "Larynx"] == ["EMPTY"]
    assert found.review == ()


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("Larynx", "GTV", "TYPE"),
        ("Larynx", "PTV", "TYPE"),
        ("PTV70", "CTV", "TYPE"),
        ("Larynx", "SUPPORT", "TYPE"),
        ("Parotid L x", "ORGAN", "UNKNOWN_WORD"),
        ("PTV_594", "PTV", "DOSE_UNCLEAR"),
        ("PTVx", "ORGAN", "NO_NAME"),
    ],
)
def test_a_name_that_its_type_contradicts_is_a_question(name: str, kind: str, code: str) -> None:
    """A larynx that is typed a target, or a PTV that is typed a CTV, is not used."""
    found = map_structures([box(1, name, (0.0, 0.0, 0.0), kind=kind)])
    assert codes(found) == {name: code}
    assert found.mapped == {}
    assert len(found.unclear_targets) == name.startswith("PTV")


def test_a_target_by_type_alone_is_a_question() -> None:
    """A PTV that is not called one may be a target: without it the dose would be another."""
    found = map_structures([box(1, "Tumour bed", (0.0, 0.0, 0.0), kind="PTV")])
    assert codes(found) == {"Tumour bed": "NO_NAME"}
    assert len(found.unclear_targets) == 1


@pytest.mark.parametrize("kind", ["ORGAN", "AVOIDANCE", "", "EXTERNAL", "CAVITY"])
def test_other_types_do_not_matter(kind: str) -> None:
    """Planning systems type organs in many ways; only a contradiction counts."""
    assert set(map_structures([box(1, "Larynx", (0.0, 0.0, 0.0), kind=kind)]).organs) == {"Larynx"}


def test_helpers_are_left_out_quietly() -> None:
    """Rings, planning risk volumes, CTVs and dose regions need no person."""
    extra = [
        box(30, "Ring", (0.0, 0.0, 0.0)),
        box(31, "SpinalCord_PRV05", (0.0, 40.0, 0.0)),
        box(32, "CTV70", (20.0, 0.0, 0.0)),
        box(33, "Parotid_L-PTV", (58.0, 10.0, 20.0)),
        box(34, "PossibleDose", (0.0, 0.0, 0.0), kind="CONTROL"),
    ]
    found = map_structures([*head(), *extra])
    assert found.review == ()
    assert [item.status for item in found.entries[-5:]] == ["excluded"] * 5


def test_a_real_head_and_neck_structure_set_is_understood(tmp_path: Path) -> None:
    """OpenKBP's patient pt_1 as DICOM: five organs, three levels, sides right, nothing to ask."""
    archive = folder_of("openkbp_dicom") / "pt_1.zip"
    with zipfile.ZipFile(archive) as packed:
        content = packed.read(next(name for name in packed.namelist() if name.endswith("RS.dcm")))
    structure_set, _ = read_structures(content)
    found = map_structures(structure_set.rois)
    assert found.review == ()
    assert set(found.organs) == set(ORGANS) - {"Esophagus", "Larynx"}
    assert [item.dose_gy for item in found.targets] == sorted(LEVELS.values())
    turned = [_mirrored(roi) for roi in structure_set.rois]
    assert set(codes(map_structures(turned)).values()) == {"LATERALITY"}


@pytest.mark.parametrize(
    ("path", "mapped"),
    [
        ("dicompyler/rtss.dcm", {"External", "Lung_L"}),
        ("pymedphys_history/monaco_example_RS.dcm", set()),
        ("pymedphys_history/monaco_tinyvmat_RS.dcm", {"External"}),
    ],
)
def test_other_real_structure_sets_give_no_wrong_organ(path: str, mapped: set[str]) -> None:
    """Of breast and phantom structure sets only what is named so is taken; heart is not known."""
    structure_set, _ = read_structures((folder_of("dicom_rt") / path).read_bytes())
    found = map_structures(structure_set.rois)
    assert set(found.mapped) == mapped
    assert found.organs == {}


def _mirrored(roi: RegionOfInterest) -> RegionOfInterest:
    contours = tuple(
        Contour(item.points_mm * (-1.0, 1.0, 1.0), item.geometric_type) for item in roi.contours
    )
    return replace(roi, contours=contours)
