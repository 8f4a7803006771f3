"""Facts of the patient are merged over series; dates and names stay behind."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from adapters.rt.read_facts import age_years, merge_subject, merge_tags
from plugins.host.case import Subject


def _header(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("values", "years"),
    [
        ({"PatientAge": "064Y"}, 64.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "026W"}, 0.498),
        ({"PatientAge": "010D"}, 0.027),
        ({"PatientAge": "000Y"}, 0.0),
        ({"PatientAge": "64"}, None),
        ({"PatientAge": "", "PatientBirthDate": "19600301", "StudyDate": "20240301"}, 64.0),
        ({"PatientBirthDate": "20250301", "StudyDate": "20240301"}, None),
        ({"PatientBirthDate": "1960", "StudyDate": "20240301"}, None),
        ({}, None),
    ],
)
def test_age_is_read_in_every_unit_or_computed(
    values: dict[str, object], years: float | None
) -> None:
    """PS3.5 AS comes first, then birth and study date; else the age is unknown."""
    found = age_years(_header(**values))
    assert found == (None if years is None else pytest.approx(years, abs=0.05))


def test_a_fact_that_one_series_carries_holds_for_the_study() -> None:
    """In the sarcoma data only the PET states an age."""
    subject = merge_subject(
        [
            _header(PatientSex="M", PatientWeight="100.0", PatientAge=""),
            _header(PatientSex="M", PatientAge="064Y", PatientWeight="100.0"),
            _header(PatientSex=""),
        ]
    )
    assert subject == Subject(age_years=64.0, sex="M", weight_kg=100.0)


def test_conflicts_are_named_and_leave_the_fact_unknown() -> None:
    """Two sexes, ages ten years apart or other weights are not averaged."""
    subject = merge_subject(
        [
            _header(PatientSex="M", PatientAge="064Y", PatientWeight="100"),
            _header(PatientSex="F", PatientAge="054Y", PatientWeight="60"),
        ]
    )
    assert subject == Subject(conflicts=("age", "sex", "weight"))


def test_neighbouring_ages_are_no_conflict() -> None:
    """A birthday between two series of a study is not a disagreement."""
    subject = merge_subject([_header(PatientAge="064Y"), _header(PatientAge="065Y")])
    assert subject.age_years == 64.0
    assert subject.conflicts == ()


def test_search_results_add_and_dispute() -> None:
    """What other series say in a search counts like a header."""
    known = Subject(sex="M", weight_kg=80.0)
    assert merge_tags(known, [{"PatientAge": "041Y"}]) == Subject(41.0, "M", 80.0)
    assert merge_tags(known, [{"PatientSex": "F"}]).conflicts == ("sex",)
    assert merge_tags(Subject(41.0), [{"PatientAge": "061Y"}]).conflicts == ("age",)


def test_values_that_mean_nothing_are_unknown() -> None:
    """A sex that the standard does not know and a weight of zero say nothing."""
    assert merge_subject([_header(PatientSex="Helicopter", PatientWeight="0")]) == Subject()
