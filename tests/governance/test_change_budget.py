"""The change budget counts against the certified baseline, and what is unmeasured is spent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.change.budget import BudgetPosition, position
from governance.change.ledger import Baseline, ChangeRequest, Reference, decode, encode
from governance.change.plan_reading import read_plan
from governance.change_control import ChangeFlags
from tests.simulators.change_plans import plan_document

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "sha256:" + "0" * 64
BASELINE = Baseline("knee", BASE, "NB-1", START)
LIMITS = read_plan(plan_document()).budget
CLEAR = {"open_incident_hold": False, "drift_alarm_open": False}
STEP = 0.004


def request(number: int, day: int, **changes: Any) -> ChangeRequest:
    """Return an update of the plugin that is well inside the budget."""
    values: dict[str, Any] = {
        "plugin": "knee",
        "old_digest": f"sha256:{number - 1:064x}",
        "new_digest": f"sha256:{number:064x}",
        "baseline_digest": BASE,
        "plan_digest": "sha256:p",
        "change_class": "D1",
        "kinds": ("retrain",),
        "flags": ChangeFlags(outputs_change=True),
        "recorded_at": START + timedelta(days=day),
        "per_update": {"d_dsc_mean": STEP, "d_hd95_mm": 0.1},
        "vs_baseline": {"d_dsc_mean": STEP, "d_hd95_mm": 0.1},
        "alpha": 0.0125,
        "sealed_set_digest": "sha256:s",
        "new_data_fraction": 0.1,
    }
    return ChangeRequest(**{**values, **changes})


def stands(
    ledger: tuple[ChangeRequest, ...],
    candidate: ChangeRequest | None,
    stops: dict[str, bool] | None = None,
    days_later: int = 0,
) -> BudgetPosition:
    """Return the position at the moment of the candidate, or some days later."""
    now = (candidate.recorded_at if candidate else START) + timedelta(days=days_later)
    return position(LIMITS, BASELINE, ledger, candidate, CLEAR if stops is None else stops, now)


def broken(found: BudgetPosition) -> list[str]:
    """Return the names of the limits that are not kept."""
    return [line.name for line in found.exceeded]


def test_a_small_update_is_inside() -> None:
    """One update with everything measured keeps every limit."""
    found = stands((), request(1, 40))
    assert found.holds, broken(found)
    assert found.baseline_digest == BASE


@pytest.mark.reg("AIA-43.4")
def test_small_steps_add_up_against_the_baseline() -> None:
    """Each step is small, and the sum is refused: distance is counted from the baseline."""
    steps = tuple(
        request(n, 40 * n, vs_baseline={"d_dsc_mean": 0.009 * n, "d_hd95_mm": 0.1},
                per_update={"d_dsc_mean": 0.009, "d_hd95_mm": 0.1})
        for n in range(1, 4)
    )  # fmt: skip
    assert stands(steps[:1], steps[1]).holds
    assert broken(stands(steps[:2], steps[2])) == ["vs_baseline.d_dsc_mean"]


def test_steps_back_and_forth_use_up_the_path() -> None:
    """An oscillation that always returns to the baseline is refused by the length of its path."""
    there_and_back = tuple(
        request(n, 40 * n, per_update={"d_dsc_mean": 0.01 * (-1) ** n, "d_hd95_mm": 0.5},
                vs_baseline={"d_dsc_mean": 0.0, "d_hd95_mm": 0.0})
        for n in range(1, 6)
    )  # fmt: skip
    assert stands(there_and_back[:3], there_and_back[3]).holds
    fifth = replace(there_and_back[4], alpha=0.0)
    assert "path.d_dsc_mean" in broken(stands(there_and_back[:4], fifth))


CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("one step too large", {"per_update": {"d_dsc_mean": -0.011, "d_hd95_mm": 0}},
     "per_update.d_dsc_mean"),
    ("too far", {"vs_baseline": {"d_dsc_mean": 0, "d_hd95_mm": 1.01}}, "vs_baseline.d_hd95_mm"),
    ("a measure missing", {"vs_baseline": {"d_dsc_mean": 0}}, "vs_baseline.d_hd95_mm"),
    ("nothing measured", {"per_update": {}}, "path.d_dsc_mean"),
    ("no error stated", {"alpha": None}, "alpha_each"),
    ("too large an error", {"alpha": 0.02}, "alpha_each"),
    ("too much new data", {"new_data_fraction": 0.31}, "new_data_fraction"),
    ("new data unknown", {"new_data_fraction": None}, "new_data_fraction"),
    ("too late", {"recorded_at": START + timedelta(days=366)}, "age_days"),
    ("before the baseline", {"recorded_at": START - timedelta(days=1)}, "age_days"),
)  # fmt: skip


@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize(("name", "changes", "line"), CASES, ids=[row[0] for row in CASES])
def test_each_limit_refuses(name: str, changes: dict[str, Any], line: str) -> None:
    """Past a limit, or where it cannot be told, the budget does not hold."""
    assert line in broken(stands((), request(1, 40, **changes))), name


def test_limits_are_inclusive() -> None:
    """Exactly at its limits the update is inside; decimal fractions do not fail by rounding."""
    at_limit = request(
        1, 365, per_update={"d_dsc_mean": 0.01, "d_hd95_mm": -0.5},
        vs_baseline={"d_dsc_mean": -0.02, "d_hd95_mm": 1.0}, new_data_fraction=0.3,
    )  # fmt: skip
    assert stands((), at_limit).holds
    thirds = tuple(request(n, 40 * n, alpha=0.05 / 4) for n in range(1, 5))
    assert stands(thirds[:3], thirds[3]).holds


@pytest.mark.reg("AIA-43.4")
def test_updates_are_counted_and_spaced() -> None:
    """The fifth update, and one before the monitoring window of the last has ended, are refused."""
    four = tuple(request(n, 35 * n, sealed_set_digest="") for n in range(1, 5))
    assert broken(stands(four[:3], four[3])) == []
    fifth = request(5, 35 * 5, alpha=0.0)
    assert {"updates", "alpha_total"} & set(broken(stands(four, fifth))) == {"updates"}
    soon = request(2, 35 + 29)
    assert broken(stands(four[:1], soon)) == ["days_between"]
    assert stands(four[:1], soon, days_later=1).holds


def test_the_error_of_all_looks_is_bounded() -> None:
    """Withdrawn candidates spent their error too: looking often finds something by chance."""
    spent = tuple(request(n, 35 * n, withdrawn=True) for n in range(1, 5))
    found = stands(spent, request(5, 35 * 5))
    assert broken(found) == ["alpha_total"]


@pytest.mark.reg("AIA-43.4")
def test_the_sealed_set_wears_out() -> None:
    """Five looks, withdrawn ones among them; only a set that was refreshed begins anew."""
    seen = tuple(request(n, 35 * n, withdrawn=True, alpha=0.0) for n in range(1, 6))
    sixth = request(6, 35 * 6, alpha=0.0)
    assert broken(stands(seen, sixth)) == ["sealed_set_uses"]
    renamed = replace(sixth, sealed_set_digest="sha256:t", refreshed_fraction=0.4)
    assert broken(stands(seen, renamed)) == ["sealed_set_uses"]
    assert stands(seen, replace(renamed, refreshed_fraction=0.5)).holds
    swapped = (*seen[:4], replace(seen[4], sealed_set_digest="sha256:t", refreshed_fraction=0.1))
    back = replace(sixth, refreshed_fraction=1.0)  # the old set again is not fresh
    assert broken(stands(swapped, back)) == ["sealed_set_uses"]


def test_a_new_certificate_resets_the_budget() -> None:
    """Requests against another baseline do not count."""
    old = tuple(request(n, n, baseline_digest="sha256:older") for n in range(1, 9))
    assert stands(old, request(9, 40)).holds


def test_the_same_candidate_is_not_counted_twice() -> None:
    """Asked again (canary, then active), its own earlier entry does not stand in its way."""
    candidate = request(1, 40)
    assert stands((candidate,), candidate, days_later=60).holds


def test_withdrawn_updates_free_their_place() -> None:
    """A candidate that never became active is not an update, so the next may come soon."""
    gone = request(1, 39, withdrawn=True)
    assert stands((gone,), request(2, 40)).holds


@pytest.mark.parametrize(
    "stops", [{}, {"open_incident_hold": False}, {**CLEAR, "drift_alarm_open": True}]
)
def test_hard_stops_stop(stops: dict[str, bool]) -> None:
    """An open stop, and one of which nobody knows, refuse every update."""
    assert any(name.startswith("stop.") for name in broken(stands((), request(1, 40), stops)))


def test_without_candidate_the_position_is_a_statement() -> None:
    """Asked without a candidate it says what is used so far."""
    found = stands((request(1, 40), request(2, 80)), None)
    used = {line.name: line.used for line in found.lines}
    assert used["updates"] == 2
    assert used["path.d_dsc_mean"] == pytest.approx(2 * STEP)
    assert used["sealed_set_uses"] == 2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-0.02, 0.02), min_size=1, max_size=6),
    st.floats(0.0, 0.01, exclude_min=True),
)
def test_more_change_never_helps(steps: list[float], more: float) -> None:
    """If a history is over budget, the same history with larger steps is over it too."""

    def ledger(scale: float) -> tuple[ChangeRequest, ...]:
        at, found = 0.0, []
        for n, step in enumerate(steps, 1):
            size = step + (scale if step >= 0 else -scale)
            at += size
            found.append(
                request(n, 31 * n, per_update={"d_dsc_mean": size, "d_hd95_mm": 0.0},
                        vs_baseline={"d_dsc_mean": at, "d_hd95_mm": 0.0})
            )  # fmt: skip
        return tuple(found)

    small, large = ledger(0.0), ledger(more)
    before, after = (
        {n for n in broken(stands(rows[:-1], rows[-1])) if n.startswith(("path", "per_update"))}
        for rows in (small, large)
    )
    assert before <= after


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "b"]), st.floats(-1, 1)),
    st.none() | st.floats(0, 1),
    st.booleans(),
    st.booleans(),
)
def test_a_request_is_kept_as_it_was(
    measures: dict[str, float], alpha: float | None, withdrawn: bool, flag: bool
) -> None:
    """Decoding the kept document gives the same request."""
    reference = Reference("certificate", "NB-7", START, START + timedelta(days=9))
    one = request(
        3, 5, per_update=measures, alpha=alpha, withdrawn=withdrawn, references=(reference,),
        flags=ChangeFlags(architecture=flag), facts={"reasons": ["A"]},
    )  # fmt: skip
    assert decode(encode(one)) == one


def test_a_reference_holds_for_its_time_and_class() -> None:
    """An approval serves D2, a certificate D3 too; outside its time it serves nothing."""
    approval = Reference("change_approval", "NB-8", START, START + timedelta(days=10))
    one = request(1, 0, references=(approval,))
    inside, outside = START + timedelta(days=9), START + timedelta(days=10)
    assert one.standing(inside).change_approved
    assert not one.standing(inside).newly_certified
    assert not one.standing(outside).change_approved
    both = replace(one, references=(replace(approval, kind="certificate"),))
    assert both.standing(START).newly_certified
    assert not both.standing(START - timedelta(seconds=1)).newly_certified
