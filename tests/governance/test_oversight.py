"""Oversight: what an assessment must say, pairing, rates with intervals, bias checks."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audit.errors import ConfigurationError, RefusalError
from governance.oversight import assessment as values
from governance.oversight import bias
from governance.oversight.assessment import Assessment, Figures, Viewing
from governance.oversight.comparison import Limits, Region, judge, same_name
from governance.oversight.rates import Cell, narrowed, rate, rates_by
from governance.oversight.reviewers import by_reviewer, notice, require_permitted

START = datetime(2026, 11, 1, tzinfo=UTC)


def _figures(**changes: Any) -> Figures:
    same = Figures(1.0, 1.0, 2.0, 0.0, 0.0, 0.0, 80.0)
    return replace(same, **changes)


def _one(number: int = 0, **changes: Any) -> Assessment:
    stated: dict[str, Any] = {
        "assessment_id": f"a{number}",
        "run_id": f"run-{number}",
        "structure": "GTVp",
        "action": "accept",
        "source": "page",
        "reviewer": "r1",
        "reviewer_role": "clinician",
        "decided_at": START + timedelta(hours=number),
    }
    return Assessment(**(stated | changes))


@pytest.mark.reg("AIA-14.4d")
def test_an_assessment_says_why() -> None:
    """An edit or rejection without a reason, or a word outside the lists, is refused."""
    for changes in (
        {"action": "edit"},
        {"action": "reject"},
        {"action": "accept", "reason": "anatomy"},
        {"action": "like"},
        {"action": "edit", "reason": "because"},
        {"severity": "grave"},
        {"source": "rumour"},
        {"fraction": 61},
        {"structure": ""},
        {"adjudicated": "maybe"},
    ):
        with pytest.raises(ConfigurationError):
            _one(**changes)
    assert _one(action="edit", reason="over-extension", severity="major").is_override
    assert not _one(action="edit", reason="over-extension", severity="minor").is_override
    assert set(values.AIRAI) == set(values.ACTIONS)


def test_an_assessment_comes_back_as_it_went() -> None:
    """encode and decode are a pair."""
    full = _one(
        action="reject", reason="wrong-side", figures=_figures(), viewing=Viewing(True, 4.5, 3, 20),
        seeded=True, adjudicated="right", fraction=7, version=2,
    )  # fmt: skip
    assert values.decode(values.encode(full)) == full
    assert values.decode(values.encode(_one())) == _one()


def test_unseen_approval_needs_knowledge_of_the_viewing() -> None:
    """Only where it is known that nothing was on the screen is an approval unseen."""
    assert _one(viewing=Viewing(True, 3.0, 0, 20)).is_unseen_approval
    assert not _one(viewing=Viewing(True, 3.0, 1, 20)).is_unseen_approval
    assert not _one(viewing=Viewing()).is_unseen_approval


@dataclass
class Numbers:
    """Intervals on a line in place of contours."""

    def overlap(self, ours: Region, theirs: Region) -> float:
        (a, b), (c, d) = ours.shape, theirs.shape
        return float(2 * max(0, min(b, d) - max(a, c)) / ((b - a) + (d - c)))

    def figures(self, ours: Region, theirs: Region) -> Figures:
        (a, b), (c, d) = ours.shape, theirs.shape
        distance = float(max(abs(a - c), abs(b - d)))
        share = self.overlap(ours, theirs)
        return _figures(dsc=share, surface_dice=1.0 if distance <= 2 else 0.85, hd95_mm=distance)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ([("GTVp", "GTV", (0, 100))], [("GTVp", "accept", "none")]),
        ([("gtv_p", "", (0, 104))], [("gtv_p", "edit", "minor")]),
        ([("GTVp", "GTV", (0, 120))], [("GTVp", "edit", "major")]),
        ([("GTVp", "GTV", (500, 600))], [("GTVp", "reject", "major")]),
        ([("Tumour", "GTV", (0, 100))], [("Tumour", "accept", "none")]),
        ([("Tumour", "GTV", (90, 300))], []),
        ([("Femur_L", "ORGAN", (0, 100))], []),
        ([("GTVn", "GTV", (0, 100)), ("GTVp", "GTV", (3, 100))], [("GTVp", "edit", "minor")]),
        ([], []),
    ],
)
def test_an_approved_set_says_what_was_done(
    theirs: list[tuple[str, str, Any]], expected: list[tuple[str, str, str]]
) -> None:
    """Name first, then kind and overlap; what speaks of another structure says nothing."""
    found = judge([Region("GTVp", "GTV", (0, 100))], [Region(*r) for r in theirs], Numbers())
    assert [(item.theirs, item.action, item.severity) for item in found] == expected


def test_a_region_answers_for_one_structure() -> None:
    """Two of ours never share one of theirs."""
    ours = [Region("GTVp", "GTV", (0, 100)), Region("GTVx", "GTV", (0, 100))]
    found = judge(ours, [Region("Tumour", "GTV", (0, 100))], Numbers(), Limits())
    assert [item.structure for item in found] == ["GTVp"]
    assert not same_name("", "_")


@pytest.mark.parametrize(
    ("k", "n", "lower", "upper"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 10, 0.1871, 0.8129), (1, 20, 0.0013, 0.2487)],
)
def test_known_exact_intervals(k: int, n: int, lower: float, upper: float) -> None:
    """Clopper-Pearson as the tables print it."""
    found = rate(k, n)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)


@given(st.integers(0, 400), st.integers(0, 400))
def test_an_interval_holds_its_rate(k: int, more: int) -> None:
    """lower <= k/n <= upper, and the tails carry at most 2.5 % each."""
    found = rate(k, k + more)
    if found.value is None or found.lower is None or found.upper is None:
        assert k + more == 0
        return
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    if k:
        assert stats.binom.sf(k - 1, k + more, found.lower) == pytest.approx(0.025, abs=1e-6)


def test_rates_of_groups() -> None:
    """Each rate has its own n: deferred is not decided, unseen counts what is known."""
    group = {"plugin": "contouring", "structure": "GTVp", "fraction": "0"}
    other = group | {"structure": "Femur_L", "fraction": "10"}
    cells = [
        Cell(group, "accept", "none", "yes", 6, 60.0),
        Cell(group, "accept", "none", "no", 1, 2.0),
        Cell(group, "accept", "none", "", 3),
        Cell(group, "edit", "minor", "yes", 4, 400.0),
        Cell(group, "edit", "major", "", 2),
        Cell(group, "reject", "major", "", 1),
        Cell(group, "defer", "none", "", 5),
        Cell(other, "accept", "none", "", 2),
    ]
    row = next(row for row in rates_by(cells, "structure") if row.name == "GTVp")
    assert (row.decided, row.deferred) == (17, 5)
    assert (row.accept.k, row.edit.k, row.reject.k, row.override.k) == (10, 6, 1, 3)
    assert (row.unseen.k, row.unseen.n) == (1, 7)
    assert row.mean_seconds == pytest.approx(462 / 11)
    assert [row.name for row in rates_by(cells, "fraction")] == ["0", "10"]
    assert rates_by(cells, "")[0].decided == 19
    assert len(narrowed(cells, {"structure": "Femur_L", "plugin": ""})) == 1
    with pytest.raises(ValueError, match="0 <= k <= n"):
        rate(2, 1)


@pytest.mark.reg("AIA-26.9")
def test_nobody_is_looked_at_without_notice() -> None:
    """A notice and five reviewers are needed; who decided fewer than five times is left out."""
    told = notice("The staff was told what is measured and why.", "2026-11-01", "works council 7")
    require_permitted(told, 5)
    for content, count, reason in (
        (None, 9, "STAFF_NOTICE_MISSING"), (told, 4, "TOO_FEW_REVIEWERS"),
    ):  # fmt: skip
        with pytest.raises(RefusalError) as caught:
            require_permitted(content, count)
        assert caught.value.reasons == (reason,)
    for text, day in (("short", "2026-11-01"), ("long enough to be a notice", "soon")):
        with pytest.raises(ConfigurationError):
            notice(text, day, "")
    many = [_one(n, reviewer="often" if n % 2 else "") for n in range(10)]
    assert set(by_reviewer(many)) == {"often"}
    assert by_reviewer(many[:8]) == {}


def _edited(number: int, path_mm: float, **changes: Any) -> Assessment:
    stated = {"action": "edit", "reason": "over-extension", "severity": "minor"} | changes
    return _one(number, figures=_figures(added_path_length_mm=path_mm), **stated)


def test_a_wild_edit_is_out_of_control() -> None:
    """A point beyond three sigma is named; the same chart without it is quiet."""
    calm = [_edited(n, 100.0 + 5 * (n % 3)) for n in range(30)]
    (check,) = bias.edits_out_of_control(calm)
    assert (check.verdict, check.n) == (bias.QUIET, 30)
    (check,) = bias.edits_out_of_control([*calm, _edited(30, 400.0)])
    assert (check.verdict, check.run_ids) == (bias.SIGNAL, ("run-30",))
    (check,) = bias.edits_out_of_control(calm[:9])
    assert check.verdict == bias.INSUFFICIENT


def test_waning_edits_are_seen() -> None:
    """A reviewer whose edits shrink is named by pseudonym, a steady one is not."""
    noise = np.random.default_rng(1).normal(0, 8, 40)
    falling = [_edited(n, 200 - 4 * n + noise[n]) for n in range(40)]
    steady = [_edited(n, 100 + noise[n], reviewer="r2") for n in range(40)]
    found = {item.about: item.verdict for item in bias.waning_edits([*falling, *steady])}
    assert found == {"r1": bias.SIGNAL, "r2": bias.QUIET}


@pytest.mark.reg("AIA-14.4b")
def test_a_rubber_stamp_trips_the_alarm() -> None:
    """Three targets accepted in no time and unseen among twenty are a signal; slow ones not."""
    seen = [_one(n, reviewer="r2", viewing=Viewing(True, 120.0 + n, 19, 20)) for n in range(60)]
    quick = [_one(60 + n, viewing=Viewing(True, 2.0, 1, 20)) for n in range(3)]
    slow = [_one(70 + n, viewing=Viewing(True, 90.0, 15, 20)) for n in range(10)]
    found = {item.about: item for item in bias.rubber_stamp([*seen, *slow, *quick])}
    assert found["r1"].verdict == bias.SIGNAL
    assert found["r1"].run_ids == ("run-60", "run-61", "run-62")
    assert found["r2"].verdict == bias.QUIET
    organ = [replace(item, structure="Femur_L") for item in quick]
    found = {item.about: item for item in bias.rubber_stamp([*seen, *slow, *organ])}
    assert found["r1"].verdict == bias.QUIET


def test_uncertain_results_should_be_accepted_less_often() -> None:
    """The same acceptance at all uncertainty is a signal; a lower one is not."""
    scores = {f"run-{n}": n / 200 for n in range(200)}
    alike = [_one(n) for n in range(200)]
    assert bias.uncertainty_mismatch(alike, scores).verdict == bias.SIGNAL
    careful = [_one(n) if n < 180 else _edited(n, 50.0) for n in range(200)]
    check = bias.uncertainty_mismatch(careful, scores)
    assert (check.verdict, check.n) == (bias.QUIET, 200)
    assert bias.uncertainty_mismatch(alike[:50], scores).verdict == bias.INSUFFICIENT


def test_seeded_errors_and_reliance() -> None:
    """Misses are listed; accepting what was wrong more often than rejecting what was right."""
    caught = [_edited(n, 10.0, seeded=True) for n in range(18)]
    missed = [_one(20 + n, seeded=True) for n in range(2)]
    check = bias.seeded_errors([*caught, *missed])
    assert (check.verdict, check.run_ids) == (bias.QUIET, ("run-20", "run-21"))
    assert bias.seeded_errors([*caught[:10], *missed, *[_one(30, seeded=True)] * 4]).verdict == (
        bias.SIGNAL
    )
    assert bias.seeded_errors([_one(n) for n in range(30)]).verdict == bias.INSUFFICIENT
    over = [_one(n, adjudicated="wrong") for n in range(15)]
    fair = [_one(n, adjudicated="right") for n in range(15)]
    assert bias.reliance([*over, *fair]).verdict == bias.SIGNAL
    seen = [_edited(n, 5.0, adjudicated="wrong") for n in range(15)]
    assert bias.reliance([*seen, *fair]).verdict == bias.QUIET


def test_anchoring_and_fatigue() -> None:
    """Assisted contours nearer to ours than blinded ones; edits that fade with the fractions."""
    random = np.random.default_rng(3)
    near, far = ([_near(n, d, random) for n in range(20)] for d in (0.95, 0.85))
    blinded = [replace(item, blinded=True) for item in far]
    assert bias.anchoring([*near, *blinded]).verdict == bias.SIGNAL
    same = [replace(item, blinded=True) for item in near]
    assert bias.anchoring([*near, *same]).verdict == bias.QUIET
    course = [
        _edited(n, 5.0, fraction=1 + n % 10) if n % 10 < 5 else _one(n, fraction=1 + n % 10)
        for n in range(60)
    ]
    assert bias.fraction_fatigue(course).verdict == bias.SIGNAL
    mixed = [_edited(n, 5.0, fraction=1 + n % 10) for n in range(30)]
    mixed += [_one(n, fraction=1 + n % 10) for n in range(30)]
    assert bias.fraction_fatigue(mixed).verdict == bias.QUIET


def _near(number: int, dsc: float, random: np.random.Generator) -> Assessment:
    return _one(number, figures=_figures(dsc=dsc + float(random.normal(0, 0.01))))


def test_checks_by_person_only_where_permitted() -> None:
    """Without permission no check names a reviewer."""
    many = [_edited(n, 10.0, viewing=Viewing(True, 9.0, 9, 10)) for n in range(30)]
    names = {item.name for item in bias.all_checks(many, {}, by_person=False)}
    assert not {"waning-edits", "rubber-stamp"} & names
    assert {"waning-edits", "rubber-stamp"} <= {
        item.name for item in bias.all_checks(many, {}, by_person=True)
    }
