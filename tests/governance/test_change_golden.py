"""The golden table of changes: two real small releases each, and the class they must have.

Read a row as: what was done, what the person brought, and the class with and without the
plan.  Columns: name | changes of the release | declaration | class | rows | UDI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from governance.change.classification import (
    ChangeCase,
    Classification,
    Declaration,
    Rollback,
    Standing,
    classify,
)
from governance.change.kinds import KINDS
from governance.change.ledger import Baseline
from governance.change.plan_reading import read_plan
from governance.change.proofs import GoldenReplay, RoutingReplay
from governance.change.protocol import read_report
from governance.difference import difference
from governance.release import Release, digest_of
from tests.simulators.change_plans import BASELINE, plan_document, report_document
from tests.simulators.small_releases import (
    NETWORK,
    PLUGIN,
    Change,
    labelled,
    member,
    put,
    renumbered,
    retrained,
    small_release,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)
STANDING = Standing(
    site="site",
    baseline=Baseline("knee", BASELINE.digest, "NB-0000-1", NOW - timedelta(days=60)),
    plan=read_plan(plan_document()),
    stops={"open_incident_hold": False, "drift_alarm_open": False},
)
Bring = Callable[[Release], dict[str, Any]]


def replay(count: int = 3, differing: int = 0, voxels: float | None = None) -> Bring:
    """Bring a golden replay of so many cases, some of them with another output."""

    def bring(new: Release) -> dict[str, Any]:
        outputs = {
            f"case-{n}": ("sha256:0", "sha256:1" if n < differing else "sha256:0")
            for n in range(count)
        }
        sizes = {} if voxels is None else {"voxels": voxels}
        return {"golden_replay": GoldenReplay(BASELINE.digest, new.digest, outputs, sizes)}

    return bring


def routed(admitted: int = 0, days: int = 90) -> Bring:
    """Bring a replay of the routing that admits so many unvalidated studies."""
    return lambda new: {
        "routing_replay": RoutingReplay(BASELINE.digest, new.digest, days, 400, admitted)
    }


def says(*statements: str) -> Bring:
    """Bring statements of a person."""
    return lambda _: {"statements": dict.fromkeys(statements, "assessed by the risk team")}


def claims(*kinds: str) -> Bring:
    """Bring what the person says the change is."""
    return lambda _: {"claims": kinds}


def planned(*modifications: str, **changes: Any) -> Bring:
    """Bring modifications of the plan and a signed report that passes its protocol."""

    def bring(new: Release) -> dict[str, Any]:
        document = report_document(new.digest, **changes)
        report = read_report(document, digest_of(repr(document).encode()), "report-key")
        return {"modifications": modifications, "report": report}

    return bring


def rolled_back(valid: bool = True, accepted: bool = True) -> Bring:
    """Bring what a person states of a rollback."""
    return lambda _: {"rollback": Rollback(valid, accepted)}


@dataclass(frozen=True)
class Row:
    """One row of the golden table."""

    name: str
    changes: tuple[Change, ...]
    brings: tuple[Bring, ...]
    expected: str
    kinds: tuple[str, ...]
    udi: str
    certified: bool = False


EXTRA = member("code/plugins/knee/extra.py", b"Y = 2\n")
FASTER = member(PLUGIN, b"X = 1 + 0\n")
RETRAIN_SAYS = says("coverage_inside", "label_not_widened")
FAILED = {
    "results": [
        {"stratum": "all", "metric": "d_dsc", "statistic": "interval_low",
         "value": -0.03, "count": 40},
    ]
}  # fmt: skip

# fmt: off
GOLDEN = (
    # names and layout
    Row("version number only", (renumbered(),), (), "D0", (), "PI"),
    Row("packed by a newer suite", (put("built_by", "osteon 0.2.0"),), (), "D0", (), "PI"),
    Row("comment in code", (member(PLUGIN, b"# why\nX = 1\n"),), (), "D0", (), "PI"),
    Row("comment in the network", (member(NETWORK, b"# w\nWIDTH = 8\n"),), (), "D0", (), "PI"),
    # rows 1 and 2: training
    Row("retrained in plan", (retrained(10), labelled()), (planned("M1"), RETRAIN_SAYS),
        "D1", ("retrain", "label"), "PI"),
    Row("retrained without plan", (retrained(10),), (), "D3", ("retrain",), "DI"),
    Row("retrained, coverage not stated", (retrained(10), labelled()),
        (planned("M1"), says("label_not_widened")), "D3", ("retrain", "label"), "DI"),
    Row("retrained, too many new patients", (retrained(20), labelled()),
        (planned("M1"), RETRAIN_SAYS), "D3", ("retrain", "label"), "DI"),
    Row("retrained by another recipe", (retrained(10, "sha256:" + "2" * 64), labelled()),
        (planned("M1"), RETRAIN_SAYS), "D3", ("retrain", "label"), "DI"),
    Row("retrained, a gate failed", (retrained(10), labelled()),
        (planned("M1", **FAILED), RETRAIN_SAYS), "D3", ("retrain", "label"), "DI"),
    Row("retrained, too far from the baseline", (retrained(10), labelled()),
        (planned("M1", vs_baseline={"d_dsc_mean": 0.03, "d_hd95_mm": 0.1}), RETRAIN_SAYS),
        "D3", ("retrain", "label"), "DI"),
    Row("retrained, distance not measured", (retrained(10), labelled()),
        (planned("M1", vs_baseline={}), RETRAIN_SAYS), "D3", ("retrain", "label"), "DI"),
    Row("retrained against other criteria",
        (retrained(10), labelled(), member("criteria.json", b'{"dsc": 0.7}')),
        (planned("M1"), RETRAIN_SAYS), "D3", ("retrain", "label", "undetermined"), "DI"),
    Row("fine-tuned for this hospital, in plan", (retrained(10), labelled()),
        (planned("M2"), claims("local_fine_tune"),
         says("coverage_inside", "site_validation", "label_not_widened")),
        "D1", ("local_fine_tune", "label"), "PI"),
    Row("fine-tuned locally under the plan for retraining", (retrained(10), labelled()),
        (planned("M1"), claims("local_fine_tune"), RETRAIN_SAYS),
        "D3", ("local_fine_tune", "label"), "DI"),
    Row("one tensor rounded, same outputs", (retrained(8),), (replay(),), "D3", ("retrain",), "DI"),
    # rows 3 and 4: thresholds
    Row("threshold inside its band", (put("parameters.threshold", 0.55),), (planned("M3"),),
        "D1", ("threshold_in_band",), "PI"),
    Row("threshold inside its band, no report", (put("parameters.threshold", 0.55),),
        (lambda _: {"modifications": ("M3",)},), "D2", ("threshold_in_band",), "PI"),
    Row("threshold outside its band", (put("parameters.threshold", 0.7),),
        (planned("M3"), says("clinical_meaning_unchanged")),
        "D2", ("threshold_outside_band",), "DI"),
    Row("threshold with another meaning", (put("parameters.threshold", 0.7),), (),
        "D3", ("threshold_outside_band",), "DI"),
    Row("temperature of the calibration",
        (member("code/models/unet/calibration.json", b'{"temperature": 2}'),),
        (says("clinical_meaning_unchanged"),), "D2", ("threshold_outside_band",), "DI"),
    Row("mirroring switched off", (put("parameters.mirrored", False),), (),
        "D3", ("threshold_outside_band",), "DI"),
    # rows 5 and 6: inputs
    Row("thicker slices in plan", (put("envelope.slice_spacing_mm", [1, 4]),), (planned("M4"),),
        "D1", ("input_expansion",), "PI"),
    Row("thicker slices than planned", (put("envelope.slice_spacing_mm", [1, 5]),),
        (planned("M4"),), "D3", ("input_expansion",), "DI"),
    Row("a planned kernel admitted", (put("envelope.kernels_refused", ["B80"]),),
        (planned("M4"),), "D1", ("input_expansion",), "PI"),
    Row("an unplanned kernel admitted", (put("envelope.kernels_refused", ["B70"]),),
        (planned("M4"),), "D3", ("input_expansion",), "DI"),
    Row("a second CT series", (put("inputs", [
        {"role": "ct", "modality": "CT", "required": True},
        {"role": "late", "modality": "CT", "required": False}]),), (),
        "D3", ("input_expansion",), "DI"),
    Row("MR added", (put("inputs", [
        {"role": "ct", "modality": "CT", "required": True},
        {"role": "mr", "modality": "MR", "required": False}]),), (),
        "D3", ("new_modality",), "DI"),
    Row("MR added, named in the plan", (put("inputs", [
        {"role": "ct", "modality": "CT", "required": True},
        {"role": "mr", "modality": "MR", "required": False}]),), (planned("M5"),),
        "D2", ("new_modality",), "DI"),
    Row("CT replaced by MR", (put("inputs.0.modality", "MR"),), (), "D3", ("new_modality",), "DI"),
    Row("an input no longer asked for", (put("inputs.0.required", False),), (),
        "D3", ("undetermined",), "DI"),
    # row 7: population
    Row("children admitted", (put("envelope.age_years", [10, 90]),), (planned("M4"),),
        "D3", ("new_population",), "DI"),
    Row("metal admitted", (put("envelope.quality_flags_refused", []),), (),
        "D3", ("new_population",), "DI"),
    Row("another body part", (put("envelope.body_parts", ["KNEE", "HIP"]),), (),
        "D3", ("new_population",), "DI"),
    # row 8: outputs
    Row("a new output", (put("outputs", [
        {"kind": "Segmentation", "name": "Knee", "code_value": "1"},
        {"kind": "Segmentation", "name": "Patella", "code_value": "2"}]),), (),
        "D3", ("new_output",), "DI"),
    Row("one organ at risk more", (put("outputs", [
        {"kind": "Segmentation", "name": "Knee", "code_value": "1"},
        {"kind": "Segmentation", "name": "Patella", "code_value": "2"}]),),
        (says("extra_organ_at_risk"),), "D2", ("new_output",), "DI"),
    Row("an output coded otherwise", (put("outputs.0.code_value", "9"),), (),
        "D3", ("undetermined",), "DI"),
    # rows 9 to 11: processing and architecture
    Row("pre-processing", (member("code/models/unet/inputs.py", b"SPACING = 3\n"),), (),
        "D2", ("preprocessing",), "DI"),
    Row("pre-processing in plan", (member("code/models/unet/inputs.py", b"SPACING = 3\n"),),
        (planned("M6"),), "D1", ("preprocessing",), "PI"),
    Row("pre-processing refactored, outputs equal",
        (member("code/models/unet/inputs.py", b"SPACING = 1 + 1\n"),),
        (claims("bug_fix_identical"), replay()), "D0", ("bug_fix_identical",), "PI"),
    Row("post-processing", (member("code/models/unet/postprocess.py", b"LARGEST = 2\n"),), (),
        "D2", ("postprocessing",), "DI"),
    Row("a wider network", (member(NETWORK, b"WIDTH = 16\n"),), (planned("M1"),),
        "D3", ("architecture",), "DI"),
    Row("one tensor more", (retrained(8, extra=np.ones(2, np.float32)),), (planned("M1"),),
        "D3", ("retrain", "architecture"), "DI"),
    Row("a second member of the ensemble",
        (member("weights/b.safetensors", b"\0" * 8),), (), "D3", ("architecture",), "DI"),
    Row("weights that cannot be looked into", (member("weights/a.safetensors", b"ONNX"),), (),
        "D3", ("architecture",), "DI"),
    # rows 12, 13, 16: runtime, platform, patches
    Row("torch upgraded, bit-exact", (put("runtime.pins.torch", "2.14.0"),), (replay(),),
        "D0", ("runtime",), "PI"),
    Row("torch upgraded, not replayed", (put("runtime.pins.torch", "2.14.0"),), (),
        "D2", ("runtime",), "PI"),
    Row("torch upgraded, too few cases", (put("runtime.pins.torch", "2.14.0"),), (replay(2),),
        "D2", ("runtime",), "PI"),
    Row("torch upgraded, one output differs", (put("runtime.pins.torch", "2.14.0"),),
        (replay(3, differing=1),), "D2", ("runtime",), "PI"),
    Row("torch upgraded, within tolerance", (put("runtime.pins.torch", "2.14.0"),),
        (replay(3, differing=1, voxels=2),), "D0", ("runtime",), "PI"),
    Row("torch upgraded, outside tolerance", (put("runtime.pins.torch", "2.14.0"),),
        (replay(3, differing=1, voxels=3),), "D2", ("runtime",), "PI"),
    Row("torch upgraded in plan", (put("runtime.pins.torch", "2.14.0"),), (planned("M7"),),
        "D1", ("runtime",), "PI"),
    Row("another interpreter", (put("runtime.python", "3.12"),), (), "D2", ("runtime",), "PI"),
    Row("another processor class", (put("runtime.device", "gpu"),), (replay(),),
        "D2", ("platform",), "DI"),
    Row("another processor class in plan", (put("runtime.device", "gpu"),), (planned("M7"),),
        "D1", ("platform",), "PI"),
    Row("security patch, outputs equal", (put("runtime.pins.numpy", "2.4.7"),),
        (claims("security_patch"), replay()), "D0", ("security_patch",), "PI"),
    Row("security patch, not replayed", (put("runtime.pins.numpy", "2.4.7"),),
        (claims("security_patch"),), "D2", ("security_patch",), "PI"),
    # rows 14 and 15: bug fixes
    Row("bug fix, outputs equal", (FASTER,), (claims("bug_fix_identical"), replay()),
        "D0", ("bug_fix_identical",), "PI"),
    Row("bug fix said to be identical, not shown", (FASTER,), (claims("bug_fix_identical"),),
        "D3", ("undetermined",), "DI"),
    Row("bug fix within tolerance is not identical", (FASTER,),
        (claims("bug_fix_identical"), replay(3, differing=1, voxels=1)),
        "D3", ("undetermined",), "DI"),
    Row("bug fix that changes outputs", (FASTER,), (claims("bug_fix"),), "D2", ("bug_fix",), "DI"),
    Row("bug fix in plan", (FASTER,), (claims("bug_fix"), planned("M7")),
        "D1", ("bug_fix",), "PI"),
    Row("code nobody explained", (EXTRA,), (), "D3", ("undetermined",), "DI"),
    # row 17: rollback
    Row("rollback to a certified version", (retrained(10),), (rolled_back(),),
        "D0", ("rollback",), "earlier", certified=True),
    Row("rollback, certificate not valid", (retrained(10),), (rolled_back(valid=False),),
        "D2", ("rollback",), "DI", certified=True),
    Row("rollback, anomalies not accepted", (retrained(10),), (rolled_back(accepted=False),),
        "D2", ("rollback",), "DI", certified=True),
    Row("rollback to what was never certified", (retrained(10),), (rolled_back(),),
        "D3", ("retrain",), "DI"),
    # rows 18 and 19: pages and labels
    Row("explanation code", (member("code/plugins/knee/explain.py", b"STEPS = 16\n"),),
        (replay(), says("review_unchanged")), "D0", ("interface",), "PI"),
    Row("explanation code, review may differ",
        (member("code/plugins/knee/explain.py", b"STEPS = 16\n"),), (replay(),),
        "D2", ("interface",), "DI"),
    Row("stricter warning", (labelled(),), (says("label_tightened"),), "D0", ("label",), "none"),
    Row("another wording", (labelled(),), (says("label_not_widened"),), "D2", ("label",), "none"),
    Row("card says something else", (labelled(),), (), "D3", ("label",), "DI"),
    Row("another purpose", (put("intended_purpose", "Outline any bone."),), (),
        "D3", ("label",), "DI"),
    # rows 20 and 21: routing and guards
    Row("one routing rule more", (put("routing", [
        {"keyword": "BodyPartExamined", "operator": "present", "applies_to": ""},
        {"keyword": "Modality", "operator": "present", "applies_to": ""}]),), (),
        "D0", ("routing",), "PI"),
    Row("a routing rule dropped", (put("routing", []),), (), "D3", ("routing",), "DI"),
    Row("a routing rule dropped, replayed", (put("routing", []),), (routed(),),
        "D0", ("routing",), "PI"),
    Row("a routing rule dropped, studies admitted", (put("routing", []),), (routed(3),),
        "D3", ("routing",), "DI"),
    Row("a routing rule dropped, replayed too shortly", (put("routing", []),),
        (routed(days=60),), "D3", ("routing",), "DI"),
    Row("narrower ages", (put("envelope.age_years", [20, 80]),), (), "D0", ("guard",), "PI"),
    Row("larger field", (put("envelope.trained_field_mm", [100, 200, 100]),), (),
        "D2", ("guard",), "PI"),
    Row("abstains less", (put("parameters.abstain_below", 0.1),), (), "D2", ("guard",), "PI"),
    Row("abstains more", (put("parameters.abstain_below", 0.4),), (says("guard_tightened"),),
        "D0", ("guard",), "PI"),
    Row("a limit that no rule knows", (put("envelope.unheard_of", 5),), (),
        "D3", ("undetermined",), "DI"),
    # rows 22 to 25
    Row("another alpha/beta", (put("parameters.alpha_beta_gy", 10),), (planned("M8"),),
        "D3", ("radiobiology",), "DI"),
    Row("alpha/beta in the assessed range", (put("parameters.alpha_beta_gy", 3.5),),
        (planned("M8"),), "D1", ("radiobiology",), "DI"),
    Row("learns by itself", (put("parameters.online_learning", True),), (planned("M1"),),
        "D3", ("self_learning",), "DI"),
    Row("applies by itself", (put("parameters.auto_apply", True),), (), "D3", ("autonomy",), "DI"),
    Row("audit format, coverage kept", (), (claims("audit_format"), says("article_12_coverage")),
        "D0", ("audit_format",), "PI"),
    Row("audit format, coverage unknown", (), (claims("audit_format"),),
        "D2", ("audit_format",), "PI"),
    Row("retired", (), (claims("retirement"),), "D0", ("retirement",), "none"),
    # what no rule knows
    Row("a statement that no rule knows", (put("something_new", 1),), (),
        "D3", ("undetermined",), "DI"),
    Row("simulated evidence", (put("evidence", "simulated"),), (), "D3", ("undetermined",), "DI"),
    Row("another plugin", (put("plugin", "hip"),), (), "D3", ("undetermined",), "DI"),
    Row("licence of the data", (put("training.0.licence", "CC0"),),
        (claims("label"), says("label_tightened")), "D0", ("label",), "none"),
)
# fmt: on


def classified(row: Row, standing: Standing = STANDING) -> Classification:
    """Return the classification of a row's change."""
    new = small_release(*row.changes)
    brought: dict[str, Any] = {}
    for bring in row.brings:
        brought |= bring(new)
    found = difference(BASELINE, new)
    case = ChangeCase(found, found, BASELINE.manifest, new.manifest)
    standing = replace(standing, target_certified=row.certified)
    return classify(case, Declaration(**brought), standing, NOW)


@pytest.mark.reg("AIA-43.4")
@pytest.mark.reg("MDR-UDI")
@pytest.mark.reg("MDR-IX")
@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row.name)
def test_each_change_has_its_class(row: Row) -> None:
    """Class, rows of the table and UDI effect of a change are those of the golden table."""
    found = classified(row)
    reasons = [reason.code for reason in (*found.decision.reasons, *found.plan_reasons)]
    assert found.decision.change_class == row.expected, reasons
    assert set(found.kinds) == set(row.kinds)
    assert found.udi == row.udi
    assert reasons


def test_the_table_is_large_and_covers_every_row() -> None:
    """At least 40 changes; each of the 25 kinds and each class occurs, under names of its own."""
    assert len(GOLDEN) >= 40
    assert len({row.name for row in GOLDEN}) == len(GOLDEN)
    assert {row.expected for row in GOLDEN} == {"D0", "D1", "D2", "D3"}
    assert {kind for row in GOLDEN for kind in row.kinds} == set(KINDS)


@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row.name)
def test_without_plan_and_evidence_nothing_is_d1(row: Row) -> None:
    """At a site without plan, baseline and knowledge of holds no change is D1 or may run."""
    found = classified(row, Standing(site="site"))
    assert found.decision.change_class != "D1"
    order = ("D0", "D1", "D2", "D3")
    if row.expected != "D0":
        assert order.index(found.decision.change_class) >= order.index(row.expected)
    assert not found.decision.may_activate


@pytest.mark.reg("AIA-43.4")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nb_reference": ""}, "PLAN_NOT_ACCEPTED"),
        ({"plugin": "hip"}, "PLAN_OF_OTHER_PLUGIN"),
        ({"baseline": "sha256:" + "9" * 64}, "PLAN_OF_OTHER_BASELINE"),
    ],
)
def test_a_plan_that_does_not_hold_here_gives_no_d1(change: dict[str, Any], code: str) -> None:
    """A plan that is not accepted, or of another plugin or baseline, covers nothing."""
    row = next(row for row in GOLDEN if row.name == "retrained in plan")
    found = classified(row, replace(STANDING, plan=read_plan(plan_document(**change))))
    assert found.decision.change_class == "D3"
    assert code in [reason.code for reason in found.plan_reasons]


def test_a_local_modification_holds_for_its_site_alone() -> None:
    """What the plan permits for one hospital is not inside the plan of another."""
    row = next(row for row in GOLDEN if row.name == "fine-tuned for this hospital, in plan")
    found = classified(row, replace(STANDING, site="elsewhere"))
    assert found.decision.change_class == "D3"
    assert "SITE_NOT_IN_PLAN" in [reason.code for reason in found.plan_reasons]


@pytest.mark.parametrize("stops", [{}, {"open_incident_hold": True}])
def test_a_hold_stops_every_change(stops: dict[str, bool]) -> None:
    """While an incident is investigated, or nobody can say, not even a D0 may become active."""
    row = next(row for row in GOLDEN if row.name == "version number only")
    found = classified(row, replace(STANDING, stops=stops))
    assert (found.decision.change_class, found.decision.may_activate) == ("D0", False)
    assert "INCIDENT_HOLD" in [reason.code for reason in found.decision.reasons]


def test_an_unsigned_report_opens_no_gate() -> None:
    """Figures that nobody signed do not make a change D1."""
    row = next(row for row in GOLDEN if row.name == "threshold inside its band")

    def unsigned(new: Release) -> dict[str, Any]:
        found = planned("M3")(new)
        return {**found, "report": replace(found["report"], signed_by="")}

    assert classified(replace(row, brings=(unsigned,))).decision.change_class == "D2"


def test_evidence_about_other_releases_does_not_count() -> None:
    """A replay or a report of another release shows nothing of this one."""
    row = next(row for row in GOLDEN if row.name == "torch upgraded, bit-exact")
    other = small_release(put("limits.memory_mb", 1))
    foreign = replay()(other)
    assert classified(replace(row, brings=(lambda _: foreign,))).decision.change_class == "D2"
    report = planned("M7")(other)
    assert classified(replace(row, brings=(lambda _: report,))).decision.change_class == "D2"


def test_a_statement_cannot_stand_for_evidence() -> None:
    """Who writes a measured proof among the statements, or gives no reason, shows nothing."""
    row = next(row for row in GOLDEN if row.name == "torch upgraded, not replayed")
    assert classified(replace(row, brings=(says("golden_replay"),))).decision.change_class == "D2"
    label = next(row for row in GOLDEN if row.name == "stricter warning")
    mute: Bring = lambda _: {"statements": {"label_tightened": " "}}  # noqa: E731
    assert classified(replace(label, brings=(mute,))).decision.change_class == "D3"


def test_weights_stay_means_since_the_release_before() -> None:
    """A threshold moves in its band after a planned retraining: the update keeps the weights."""
    retrain, move = retrained(10), put("parameters.threshold", 0.55)
    before, new = small_release(retrain), small_release(retrain, move)
    case = ChangeCase(
        difference(before, new), difference(BASELINE, new), before.manifest, new.manifest
    )
    compared = {"previous": before.digest, "baseline": BASELINE.digest}
    brought = planned("M3", compared_with=compared)(new)
    found = classify(case, Declaration(**brought), STANDING, NOW)
    assert found.decision.change_class == "D1", found.plan_reasons
    both = ChangeCase(
        difference(BASELINE, new), difference(BASELINE, new), BASELINE.manifest, new.manifest
    )
    at_once = classify(both, Declaration(**planned("M3")(new)), STANDING, NOW)
    assert at_once.decision.change_class == "D3"
    assert {"OUT_OF_BOUND", "KIND_NOT_IN_PLAN"} <= {r.code for r in at_once.plan_reasons}
