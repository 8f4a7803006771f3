"""A prescription means what it says, comes back equal, and is no part of a case without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import InputError
from plugins.host import wire
from plugins.host.case import Case
from plugins.host.identity import case_digest
from plugins.host.prescription import (
    SOURCES,
    DoseGoal,
    PrescribedTarget,
    Prescription,
    decode,
    encode,
)
from tests.simulators.released_plugins import small_case

PAROTID = DoseGoal("Parotid_L", "Mean[Gy]", "at_most", 26.0, "QUANTEC", 2)
THREE_LEVELS = Prescription(
    (
        PrescribedTarget(70.0, "PTV_7000", 1),
        PrescribedTarget(63.0, "PTV_6300", 2),
        PrescribedTarget(56.0, "", 3),
    ),
    "plan",
    "1.2.3.4",
    fraction_count=35,
    structure_set_uid="1.2.3.5",
    goals=(PAROTID,),
    protocol="head and neck",
)
WITHOUT_PRESCRIPTION = "sha256:b504df5836600069a45fb187c82101833b18c1b5258fd204869926a5f0cf1902"
DOSES = st.floats(0.01, 200.0)
NAMES = st.text(min_size=1, max_size=30).filter(str.strip).map(str.strip)


@st.composite
def prescriptions(draw: st.DrawFn) -> Prescription:
    """Draw a prescription with names, numbers or both, with and without goals."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    numbered = draw(st.booleans())
    targets = tuple(
        PrescribedTarget(draw(DOSES), name, number if numbered else None)
        for number, name in enumerate(names)
    )
    return Prescription(
        targets,
        draw(st.sampled_from(SOURCES)),
        draw(NAMES),
        draw(st.none() | st.integers(1, 100)),
        "1.2.3" if numbered else "",
        draw(st.sampled_from([(), (PAROTID,)])),
    )


@settings(max_examples=80, deadline=None)
@given(prescriptions())
def test_a_prescription_comes_back_equal(prescription: Prescription) -> None:
    """As text, over the border of a worker, and in the digest of its case nothing is lost."""
    assert decode(encode(prescription)) == prescription
    case = replace(small_case((2, 3, 4)), prescription=prescription)
    message = wire.encode(case, Case)
    found = wire.decode(message.header, message.block(), Case)
    assert found.prescription == prescription
    again = replace(case, prescription=decode(encode(prescription)))
    assert case_digest(found) == case_digest(again) == case_digest(case)


def test_a_case_without_prescription_keeps_its_digest() -> None:
    """Recorded digests stay good: this one was computed before cases had prescriptions."""
    assert case_digest(small_case()) == WITHOUT_PRESCRIPTION


@pytest.mark.parametrize(
    "change",
    [
        {"fraction_count": 33},
        {"source": "protocol"},
        {"goals": ()},
        {"targets": (PrescribedTarget(66.0, "PTV_7000", 1), *THREE_LEVELS.targets[1:])},
    ],
)
def test_another_prescription_is_another_input(change: dict[str, Any]) -> None:
    """A dose, a schedule, a goal or a source that differs changes the digest of the input."""
    case = replace(small_case(), prescription=THREE_LEVELS)
    other = replace(case, prescription=replace(THREE_LEVELS, **change))
    assert len({case_digest(case), case_digest(other), case_digest(small_case())}) == 3


@pytest.mark.parametrize("dose", [0.0, -1.0, 7000.0, float("nan"), float("inf"), True, "70"])
def test_a_dose_that_is_none_is_refused(dose: Any) -> None:
    """Doses in cGy, of nothing, or that are no number are not taken; the advice names Gy."""
    with pytest.raises(InputError, match="prescribed dose") as caught:
        PrescribedTarget(dose, "PTV_7000")
    assert "Gy, not in cGy" in caught.value.advice


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"targets": ()}, "at least one target"),
        ({"targets": (PrescribedTarget(70.0, "PTV"), PrescribedTarget(60.0, "PTV "))}, "twice"),
        ({"source": "rumour"}, "physician_intent"),
        ({"reference": ""}, "names its source"),
        ({"fraction_count": 0}, "fractions"),
        ({"structure_set_uid": ""}, "structure set"),
    ],
)
def test_what_is_no_prescription_is_refused(change: dict[str, Any], named: str) -> None:
    """Each fault is named by what was expected."""
    with pytest.raises(InputError, match=named):
        replace(THREE_LEVELS, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "D95"},
        {"metric": "V30Gy[Gy"},
        {"relation": "<="},
        {"limit": float("nan")},
        {"limit": -1.0},
        {"source": " "},
        {"structure": "left parotid"},
        {"priority": 0},
    ],
)
def test_what_is_no_goal_is_refused(change: dict[str, Any]) -> None:
    """A goal without source, unit or a known relation would be a guess."""
    with pytest.raises(InputError, match="expected a goal"):
        replace(PAROTID, **change)
    assert PAROTID.unit == "Gy"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        encode(THREE_LEVELS) + " ",
        encode(THREE_LEVELS).replace('"source":"plan"', '"source":"rumour"'),
        encode(THREE_LEVELS).replace('"dose_gy":70', '"dose_gy":"70"'),
        encode(THREE_LEVELS).replace('"protocol"', '"protocoll"'),
    ],
)
def test_other_text_is_no_prescription(text: str) -> None:
    """What a database or a person gives back damaged is refused, never half read."""
    with pytest.raises(InputError):
        decode(text)
