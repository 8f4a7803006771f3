"""The plan runs: items watch their reference, alarm once, wait, and go on after a decision."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from audit.errors import ConfigurationError, RefusalError, SuiteError
from governance.monitoring import plan as plans
from governance.monitoring import reference as references
from governance.monitoring import watch as watches
from governance.monitoring.default_plan import default_plan
from governance.monitoring.fatigue import episodes, fatigue
from governance.monitoring.plan import Item, Plan
from governance.monitoring.reevaluation import is_overdue, opened, require_decision
from governance.monitoring.reference import Observation, make_reference
from governance.ports import GovernedDocument

DIGEST = "sha256:" + "a" * 64
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def _cases(count: int, generator: np.random.Generator, **moved: float) -> list[Observation]:
    found = []
    for _ in range(count):
        numbers = {
            "ct_noise": float(generator.normal(10 + moved.get("noise", 0), 1)),
            "slice_spacing_mm": 3.0 + moved.get("spacing", 0),
        }
        kernel = "B70" if moved.get("kernel") else str(generator.choice(["B30", "B31"]))
        embedding = tuple(generator.normal(moved.get("embedding", 0), 1, 4))
        found.append(
            Observation(
                f"case-{generator.integers(1 << 40)}", numbers, {"ct_kernel": kernel}, embedding
            )
        )
    return found


ITEM = Item(
    "input", plans.INPUT, ("ct_*", "slice_*"), plans.RELEASE, 2000.0, "suspend", "physicist"
)
ENCODER = Item("encoder", plans.INPUT, ("embedding",), plans.RELEASE, 2000.0, "notify", "engineer")


def test_a_reference_travels_and_holds_no_row() -> None:
    """It comes back from JSON unchanged, sorted by column; of another release it is refused."""
    window = make_reference(DIGEST, "cohort x", _cases(50, np.random.default_rng(1)))
    document = json.loads(json.dumps(references.encode(window)))
    assert references.decode(document, DIGEST) == window
    assert list(window.numbers["ct_noise"]) == sorted(window.numbers["ct_noise"])
    assert window.categories["ct_kernel"].keys() == {"B30", "B31"}
    with pytest.raises(SuiteError, match="this release"):
        references.decode(document, "sha256:" + "b" * 64)
    with pytest.raises(SuiteError, match="malformed"):
        references.decode({"schema": references.SCHEMA, "release_digest": DIGEST}, DIGEST)
    with pytest.raises(SuiteError, match="20 cases"):
        make_reference(DIGEST, "few", _cases(5, np.random.default_rng(1)))


@pytest.mark.reg("AIA-26.4")
@pytest.mark.parametrize("moved", [{"spacing": 2.0}, {"kernel": 1.0}, {"noise": 5.0}])
def test_a_changed_protocol_alarms_within_ten_studies(moved: dict[str, float]) -> None:
    """Slice spacing, kernel or noise; quiet before, and the alarm names what moved."""
    generator = np.random.default_rng(2)
    window = make_reference(DIGEST, "cohort x", _cases(60, generator))
    state = watches.run(ITEM, DIGEST, window, watches.State(), _cases(40, generator))
    assert state.beyond is None
    found = watches.run(ITEM, DIGEST, window, state, _cases(10, generator, **moved))
    assert found.beyond is not None
    name = {"spacing": "slice_spacing_mm", "kernel": "ct_kernel", "noise": "ct_noise"}
    assert found.beyond.name == name[next(iter(moved))]


def test_an_embedding_that_moves_alarms() -> None:
    """The encoder's item watches the distance alone."""
    generator = np.random.default_rng(3)
    window = make_reference(DIGEST, "cohort x", _cases(80, generator))
    quiet = watches.run(ENCODER, DIGEST, window, watches.State(), _cases(30, generator))
    assert quiet.beyond is None
    moved = watches.run(ENCODER, DIGEST, window, quiet, _cases(15, generator, embedding=5.0))
    assert moved.beyond is not None
    assert moved.beyond.name == "embedding"


def test_a_state_survives_as_json_between_any_two_cases() -> None:
    """Case by case through JSON gives the same as all at once."""
    generator = np.random.default_rng(4)
    window = make_reference(DIGEST, "cohort x", _cases(60, generator))
    cases = _cases(25, generator, noise=1.0)
    whole = watches.run(ITEM, DIGEST, window, watches.State(), cases)
    state = watches.State()
    for case in cases:
        kept = json.loads(json.dumps(watches.encode(state)))
        state = watches.run(ITEM, DIGEST, window, watches.decode(kept), [case])
    assert watches.encode(state) == watches.encode(whole)


def test_an_alarmed_item_waits_and_goes_on_after_a_decision() -> None:
    """No second alarm while one is open; restarted sums begin at 0 with the same reference."""
    generator = np.random.default_rng(5)
    item = Item(
        "agreement", plans.AGREEMENT, ("ct_noise",), plans.FIRST, 2000.0, "notify", "clinician"
    )
    state = watches.run(item, DIGEST, None, watches.State(), _cases(59, generator))
    assert watches.condition(watches.watch_of(item, DIGEST, None, state), state) == "collecting"
    state = watches.run(item, DIGEST, None, state, _cases(31, generator))
    watch = watches.watch_of(item, DIGEST, None, state)
    assert watches.condition(watch, state) == "watching"
    state = watches.run(item, DIGEST, None, state, _cases(20, generator, noise=6.0))
    assert watches.condition(watch, state) == "alarmed"
    assert watches.run(item, DIGEST, None, state, _cases(5, generator)) == state
    again = watches.run(item, DIGEST, None, watches.restarted(state), _cases(10, generator))
    assert (again.n, again.beyond) == (10, None)
    assert len(again.first) == 60


def test_a_constant_that_stays_is_quiet_at_any_digit() -> None:
    """A slice spacing of 3.27 mm is 3.3 in the window, and the same value stays inside it."""
    cases = [Observation(str(i), {"slice_spacing_mm": 3.27}) for i in range(400)]
    window = make_reference(DIGEST, "one protocol", cases[:30])
    item = Item("input", plans.INPUT, ("slice_*",), plans.RELEASE, 2000.0, "notify", "physicist")
    assert watches.run(item, DIGEST, window, watches.State(), cases[30:]).beyond is None


def test_what_has_no_reference_is_blind_and_says_so() -> None:
    """An input item without a window watches nothing, and is not called watching."""
    watch = watches.watch_of(ITEM, DIGEST, None, watches.State())
    assert watches.condition(watch, watches.State()) == "blind"


@pytest.mark.reg("MDR-PMS")
def test_a_doubled_rate_is_found_and_the_stated_rate_is_not() -> None:
    """Refusals at twice the stated rate alarm within 300 runs in most streams; at it, hardly."""
    item = Item("refusals", plans.RATE, ("refused",), plans.STATED, 2000.0, "notify", "physicist")
    found = {}
    for rate in (0.1, 0.25):
        generator = np.random.default_rng(6)
        alarms = 0
        for _ in range(20):
            cases = [
                Observation(str(i), {"refused": float(generator.random() < rate)})
                for i in range(300)
            ]
            state = watches.run(item, DIGEST, None, watches.State(), cases)
            alarms += state.beyond is not None
        found[rate] = alarms
    assert found[0.25] >= 18
    assert found[0.1] <= 3


@pytest.mark.reg("AIA-72.3")
def test_a_plan_is_read_back_and_a_wrong_one_is_named() -> None:
    """The shipped plan survives JSON; unknown keys, words and double names are refused."""
    plan = default_plan("contouring")
    document = json.loads(json.dumps(plans.encode(plan)))
    assert plans.decode(document) == plan
    broken = json.loads(json.dumps(document))
    broken["items"][0]["limits"] = 3
    with pytest.raises(ConfigurationError, match="items\\[0\\]"):
        plans.decode(broken)
    broken = json.loads(json.dumps(document))
    broken["items"][0]["action"] = "pray"
    with pytest.raises(ConfigurationError, match="pray"):
        plans.decode(broken)
    with pytest.raises(ConfigurationError, match="different names"):
        Plan("x", (ITEM, ITEM))
    assert all(plans.cannot_see(metric) for metric in plans.METRICS)


def _document(content: dict[str, str], day: float, revision: int = 1) -> GovernedDocument:
    at = T0 + timedelta(days=day)
    return GovernedDocument("reevaluation", "a", revision, "sha256:x", content, at, "p")


@pytest.mark.reg("AIA-9.1")
def test_an_item_closes_by_a_decision_only() -> None:
    """Role, decision and reason are asked for; every missing one is named."""
    require_decision("physicist", "keep", "new scanner, contours checked")
    with pytest.raises(RefusalError) as caught:
        require_decision("service", "later", " ")
    assert set(caught.value.reasons) == {
        "ROLE_NOT_PERMITTED", "DECISION_MISSING", "EVIDENCE_MISSING",
    }  # fmt: skip


def test_alarm_fatigue_counts_false_alarms_and_what_is_late() -> None:
    """Two decided, one of them false; one open past its deadline."""
    item = opened("contouring", DIGEST, "input", "physicist", "ct_noise", T0 + timedelta(days=7))
    histories = [
        [_document(item, 0), _document({**item, "state": "decided", "decision": "false-alarm"}, 2)],
        [_document(item, 0), _document({**item, "state": "decided", "decision": "keep"}, 4)],
        [_document(item, 0)],
    ]
    found = fatigue(histories, T0 + timedelta(days=8))
    assert (found.opened, found.decided, found.false, found.overdue) == (3, 2, 1, 1)
    assert found.false_share == 0.5
    assert found.median_days == 4.0
    assert not is_overdue(histories[2][0], T0 + timedelta(days=6))
    assert (found.no_action_rate.k, found.no_action_rate.n) == (2, 2)
    assert fatigue(histories, T0 + timedelta(days=14), T0).per_week == 1.5


def test_late_acknowledgements_are_counted_when_their_time_is_over() -> None:
    """In time, late, never, by a decision in time, and one whose time still runs."""

    def item(raised: float, **more: object) -> dict[str, str]:
        at = T0 + timedelta(days=raised)
        plain = opened("contouring", DIGEST, "input", "physicist", "x", at + timedelta(days=7))
        by = (at + timedelta(days=1)).isoformat()
        return {**plain, "opened_at": at.isoformat(), "acknowledge_by": by, **more}  # type: ignore[dict-item]

    def taken(days: float) -> str:
        return (T0 + timedelta(days=days)).isoformat()

    alarms = [
        [_document(item(0, acknowledged_at=taken(0.5)), 0.5)],
        [_document(item(0, acknowledged_at=taken(1.5)), 1.5)],
        [_document(item(0), 0)],
        [_document(item(0, state="decided", decision="suspend"), 0.9)],
        [_document(item(2.5), 2.5)],
    ]
    found = fatigue(alarms, T0 + timedelta(days=3))
    assert (found.late, found.due) == (2, 4)
    assert found.late_rate.lower is not None
    assert found.no_action_rate.k == 0


def test_two_alarms_of_one_item_are_two() -> None:
    """The document of an item goes on over its alarms; each is counted by itself."""
    item = opened("contouring", DIGEST, "input", "physicist", "x", T0 + timedelta(days=70))
    first, second = {**item, "opened_at": "a"}, {**item, "opened_at": "b"}
    kept = {"state": "decided", "decision": "keep"}
    history = [
        _document(first, 0), _document({**first, **kept}, 1, 2),
        _document(second, 30, 3), _document({**second, **kept}, 33, 4),
    ]  # fmt: skip
    assert [len(alarm) for alarm in episodes(history)] == [2, 2]
    found = fatigue(episodes(history), T0 + timedelta(days=40))
    assert (found.opened, found.decided, found.median_days) == (2, 2, 3.0)
