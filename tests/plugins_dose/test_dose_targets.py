"""A prescription is laid on the targets of a structure set whole, or not at all."""

from __future__ import annotations

import pytest

from plugins.dose.structures import map_structures
from plugins.dose.targets import TargetDoses, prescribe
from plugins.host.images import RegionOfInterest
from plugins.host.prescription import PrescribedTarget, Prescription
from tests.simulators.drawn_regions import box

SET = "1.2.3.10"


def ptvs(*names: str) -> list[RegionOfInterest]:
    """Return regions with these names, numbered from 1."""
    return [box(n, name, (float(n), 0.0, 0.0), kind="") for n, name in enumerate(names, 1)]


def laid(
    names: tuple[str, ...], targets: list[tuple[float, str, int | None]], uid: str = SET
) -> TargetDoses:
    """Return a prescription, whose numbers belong to `SET`, on a structure set of that UID."""
    wanted = tuple(PrescribedTarget(dose, name, number) for dose, name, number in targets)
    prescription = Prescription(wanted, "plan", "1.2.3", structure_set_uid=SET)
    return prescribe(map_structures(ptvs(*names)), prescription, uid)


@pytest.mark.parametrize(
    ("names", "targets", "expected"),
    [
        # by number, whatever the names are
        (("PTV1", "PTV2"), [(54.0, "", 2), (70.0, "", 1)], {"PTV1": 70.0, "PTV2": 54.0}),
        # by name letter by letter, by what the name means, by the dose in the name
        (("PTV1", "PTV2"), [(70.0, "ptv1", None), (54.0, "PTV2 ", None)],
         {"PTV1": 70.0, "PTV2": 54.0}),
        (("PTV70", "PTV_5600"), [(70.0, "PTV_7000", None), (56.0, "PTV 56 Gy", None)],
         {"PTV70": 70.0, "PTV_5600": 56.0}),
        (("PTV_7000", "PTV_6300"), [(70.0, "Larynx primary", None), (63.0, "neck", None)],
         {"PTV_7000": 70.0, "PTV_6300": 63.0}),
        # by level
        (("PTV_Low", "PTV_High", "PTV_Mid"),
         [(70.0, "a", None), (56.0, "c", None), (63.0, "b", None)],
         {"PTV_High": 70.0, "PTV_Mid": 63.0, "PTV_Low": 56.0}),
        # the only one
        (("PTV",), [(50.4, "PELVIS", None)], {"PTV": 50.4}),
    ],
)  # fmt: skip
def test_each_target_gets_its_dose(
    names: tuple[str, ...],
    targets: list[tuple[float, str, int | None]],
    expected: dict[str, float],
) -> None:
    """Numbers, names, meanings, doses and levels find the target; the highest dose comes first."""
    found = laid(names, targets)
    assert found.faults == ()
    assert {item.entry.roi_name: item.dose_gy for item in found.doses} == expected
    assert [item.dose_gy for item in found.doses] == sorted(expected.values(), reverse=True)


@pytest.mark.parametrize(
    ("names", "targets", "faults"),
    [
        (("PTV70",), [(66.0, "", 1)], {("TARGET_DOSE_CONTRADICTS", "PTV70")}),
        (("PTV70", "PTV63"), [(70.0, "", 1)], {("TARGET_WITHOUT_DOSE", "PTV63")}),
        (("PTV70",), [(70.0, "", 1), (63.0, "PTV63", None)], {("TARGET_NOT_FOUND", "PTV63")}),
        (("CTV70", "PTV70"), [(70.0, "", 1)],
         {("TARGET_NO_PTV", "CTV70"), ("TARGET_WITHOUT_DOSE", "PTV70")}),
        (("PTV70",), [(70.0, "", 5)],
         {("TARGET_NOT_FOUND", "ROI 5"), ("TARGET_WITHOUT_DOSE", "PTV70")}),
        (("PTV70",), [(70.0, "PTV_7000", None), (70.02, "boost", None)],
         {("TARGET_SEVERAL", "PTV70")}),
        (("PTV_High", "PTV_Low"), [(70.0, "a", None)],
         {("TARGET_WITHOUT_DOSE", "PTV_Low")}),
        (("PTVp_70", "PTVn_70"), [(70.0, "tumour", None)],
         {("TARGET_SEVERAL", "tumour"), ("TARGET_WITHOUT_DOSE", "PTVp_70"),
          ("TARGET_WITHOUT_DOSE", "PTVn_70")}),
        (("PTV1", "PTV2"), [(70.0, "neck", None)],
         {("TARGET_NOT_FOUND", "neck"), ("TARGET_WITHOUT_DOSE", "PTV1"),
          ("TARGET_WITHOUT_DOSE", "PTV2")}),
        ((), [(70.0, "PTV70", None)], {("TARGET_NOT_FOUND", "PTV70")}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_nothing_is_used(
    names: tuple[str, ...],
    targets: list[tuple[float, str, int | None]],
    faults: set[tuple[str, str]],
) -> None:
    """With one fault there is no dose at all: half of a prescription is another one."""
    found = laid(names, targets)
    assert {(item.code, item.name) for item in found.faults} == faults
    assert found.doses == ()


def test_numbers_of_another_structure_set_mean_nothing() -> None:
    """ROI 1 of the planned structure set may be any region of a newer one; its name counts."""
    found = laid(("PTV63", "PTV70"), [(70.0, "PTV70", 1), (63.0, "PTV63", 2)], uid="1.2.3.11")
    assert {item.entry.roi_name: item.dose_gy for item in found.doses} == {
        "PTV70": 70.0,
        "PTV63": 63.0,
    }
    nameless = laid(("PTV1", "PTV2"), [(70.0, "", 1), (63.0, "", 2)], uid="1.2.3.11")
    assert {item.code for item in nameless.faults} == {"TARGET_NOT_FOUND", "TARGET_WITHOUT_DOSE"}
