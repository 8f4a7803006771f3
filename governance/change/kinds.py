"""The 25 kinds of change, one row each: default class, what flips it, evidence, UDI effect.

A row has *effects*: flags of the decision that are set for such a change unless one of
their proofs (`proofs.py`) clears them.  So the class of a row is what remains when
nothing is shown, and proofs and the plan take away.  The two rows of number 0 are not in
the source's table: what no rule recognises, which has every effect, and the flag
``closes_loop`` of its decision function.

Source: REGULATORY.md section 4, table of 25 rows; UDI after Regulation (EU) 2017/745
Annex VI Part C 6.5.  Where the table names no class outside the plan (rows 5 and 22), the
stricter one is taken.

Read next: `detection.py`, which finds the rows in a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NONE, PI, DI, DI_BY_POLICY, EARLIER = "none", "PI", "DI", "DI*", "earlier"
"""UDI effects: nothing, a new production identifier, a new device identifier, a new device
identifier unless the plan says otherwise in agreement with the notified body, the earlier
UDI again."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One flag of `ChangeFlags` that a kind of change sets, unless a proof clears it."""

    flag: str
    cleared_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table.

    Parameters
    ----------
    default : class as the table prints it.
    flips : when it is another class.
    evidence : what must be in the change request.
    plannable : a change plan may make it D1.
    plan_needs : proofs without which no plan covers it.
    requires : proofs without which nobody can claim this kind.
    udi : effect on the UDI; ``udi_with_effect`` holds instead where the class is D2 or D3.
    """

    number: int
    key: str
    title: str
    default: str
    flips: str
    evidence: tuple[str, ...]
    effects: tuple[Effect, ...] = ()
    plannable: bool = False
    plan_needs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    udi: str = PI
    udi_with_effect: str | None = None


_OUTPUTS, _SAFETY, _SECTION_2 = (
    Effect("outputs_change"),
    Effect("safety_affected"),
    Effect("section2_affected"),
)
_OUTPUTS_UNLESS_REPLAYED = Effect("outputs_change", ("golden_replay", "numeric_tolerance"))
_FULL = ("full validation", "new risk analysis", "clinical evaluation")
_RETRAIN = (
    *("data delta and leakage scan", "sealed-set non-inferiority against the baseline"),
    *("subgroup floors", "calibration", "robustness", "out-of-distribution limits fitted again"),
    *("impact assessment", "numbers of the instructions for use"),
)
_PAIRED = (
    "paired equivalence (DSC, HD95, DVH differences)",
    *("robustness", "edge cases, metal among them"),
)
_REPLAY = ("golden replay on every supported platform", "difference of bills of materials")

_ROWS = (
    Kind(
        0, "undetermined", "A change that no rule recognises", "D3",
        "a person names its kind and brings the evidence of that kind",
        _FULL, (_OUTPUTS, _SECTION_2, _SAFETY), udi=DI,
    ),
    Kind(
        0, "autonomy", "The release acts with less of a person between", "D3", "never", _FULL,
        (Effect("closes_loop"), _OUTPUTS, _SAFETY), udi=DI,
    ),
    Kind(
        1, "retrain", "Retrained, same data distribution, same architecture", "D1",
        "outside the plan D3", _RETRAIN, (_OUTPUTS, _SECTION_2), plannable=True,
        plan_needs=("coverage_inside",), udi=DI_BY_POLICY,
    ),
    Kind(
        2, "local_fine_tune", "Fine-tuned for one hospital", "D1",
        "only where the plan has local adaptation; else D3, and the hospital may become provider",
        (*_RETRAIN, "site acceptance", "local lineage, no spill-over to other sites"),
        (_OUTPUTS, _SECTION_2), plannable=True,
        plan_needs=("coverage_inside", "site_validation"), udi=DI_BY_POLICY,
    ),
    Kind(
        3, "threshold_in_band", "Threshold or operating point inside the planned band", "D1",
        "outside the plan as row 4",
        ("curve on the sealed set", "harm-weighted utility", "instructions for use"),
        (_OUTPUTS,), plannable=True,
    ),
    Kind(
        4, "threshold_outside_band", "Threshold or operating point outside any band", "D2/D3",
        "D3 if its clinical meaning changes",
        ("curve on the sealed set", "risk evaluated again", "approval of the notified body"),
        (_OUTPUTS, Effect("section2_affected", ("clinical_meaning_unchanged",))), udi=DI,
    ),
    Kind(
        5, "input_expansion", "New scanner, vendor, kernel or geometry, same modality", "D1",
        "outside the plan D3", ("generalisation report", "guard update", "phantom"),
        (_OUTPUTS, _SECTION_2), plannable=True, udi=PI, udi_with_effect=DI_BY_POLICY,
    ),
    Kind(
        6, "new_modality", "New input modality", "D3",
        "D2 only where the plan named and bounded it beforehand", _FULL,
        (Effect("new_modality", ("expansion_in_plan",)), _OUTPUTS, _SAFETY), udi=DI,
    ),
    Kind(
        7, "new_population", "New population or tumour entity", "D3", "never",
        ("full subgroup validation", "clinical evaluation", "instructions for use"),
        (Effect("new_population"), _OUTPUTS), udi=DI,
    ),
    Kind(
        8, "new_output", "New region of interest, class of output or endpoint", "D3",
        "D2 for one organ at risk more inside purpose and validated band",
        ("full subgroup validation", "clinical evaluation", "instructions for use"),
        (Effect("new_output", ("extra_organ_at_risk",)), _OUTPUTS), udi=DI,
    ),
    Kind(
        9, "preprocessing", "Pre-processing changed", "D2",
        "D1 where an equivalence band is planned", _PAIRED, (_OUTPUTS, _SAFETY),
        plannable=True, udi=PI, udi_with_effect=DI,
    ),
    Kind(
        10, "postprocessing", "Post-processing changed", "D2",
        "D1 where an equivalence band is planned; skip metastases make component rules safety "
        "relevant", _PAIRED, (_OUTPUTS, _SAFETY), plannable=True, udi=PI, udi_with_effect=DI,
    ),
    Kind(11, "architecture", "Architecture changed", "D3", "never", _FULL,
         (Effect("architecture"), _OUTPUTS), udi=DI),
    Kind(
        12, "runtime", "Runtime or library upgraded", "D0",
        "D0 if outputs are equal or within tolerance on the golden set, D1 inside a planned "
        "band, else D2", (*_REPLAY, "review of known anomalies of the libraries"),
        (_OUTPUTS_UNLESS_REPLAYED,), plannable=True,
    ),
    Kind(
        13, "platform", "Operating system or hardware platform changed", "D2",
        "D1 only where the class of platform was planned",
        (*_REPLAY, "platform qualification", "security"),
        (_OUTPUTS_UNLESS_REPLAYED, _SAFETY), plannable=True, udi=PI, udi_with_effect=DI,
    ),
    Kind(
        14, "bug_fix_identical", "Bug fix, outputs identical", "D0",
        "not shown by golden replay: as row 15 or row 0",
        ("golden replay", "regression", "root cause", "problem report"),
        (Effect("outputs_change", ("golden_replay",)),), requires=("golden_replay",),
    ),
    Kind(
        15, "bug_fix", "Bug fix that changes outputs", "D2",
        "D1 if the class of fix is planned; a removed risk also needs the assessment of "
        "corrective action (AI Act Art. 20, MDR Art. 87)",
        ("impact look-back list", "paired validation", "vigilance decision"),
        (_OUTPUTS, _SAFETY), plannable=True, udi=PI, udi_with_effect=DI,
    ),
    Kind(
        16, "security_patch", "Security patch", "D0/D1", "outputs not shown equal: D2",
        ("vulnerability", "golden replay", "statement of exploitability (VEX)"),
        (_OUTPUTS_UNLESS_REPLAYED,), plannable=True,
    ),
    Kind(
        17, "rollback", "Rollback to an earlier certified version", "D0",
        "certificate, declaration, instructions, platform or anomalies not valid: D2",
        ("certificate check", "acceptance run on the node", "difference of open anomalies",
         "notice to deployers", "list of affected patients", "policy for plans in progress"),
        (_SAFETY,), udi=EARLIER,
    ),
    Kind(
        18, "interface", "Page or explanation changed", "D0",
        "D2 if it alters how target contours are reviewed",
        ("difference in use", "usability test"),
        (Effect("outputs_change", ("golden_replay",)),
         Effect("safety_affected", ("review_unchanged",))), udi=PI, udi_with_effect=DI,
    ),
    Kind(
        19, "label", "Instructions or warnings only", "D0/D2",
        "tightening D0, widening D3", ("difference of the label",),
        (Effect("intended_purpose", ("label_not_widened", "label_tightened")),
         Effect("safety_affected", ("label_tightened",))), plannable=True, udi=NONE,
    ),
    Kind(
        20, "routing", "Trigger or routing rule changed", "D0",
        "D3 if it admits a new population", ("routing replayed on the last 90 days",),
        (Effect("new_population", ("routing_replay",)),),
    ),
    Kind(
        21, "guard", "Guard or out-of-distribution limit changed", "D2", "tightening D0",
        ("analysis of false accepts",), (Effect("safety_affected", ("guard_tightened",)),),
    ),
    Kind(
        22, "radiobiology", "Radiobiological constants or twin model changed", "D3",
        "D1 where a bounded range of sensitivity was assessed",
        ("provenance of parameters", "sensitivity", "clinical sign-off"),
        (_OUTPUTS, _SECTION_2, _SAFETY), plannable=True, udi=DI,
    ),
    Kind(
        23, "self_learning", "Unattended learning in the field", "not permitted",
        "only outside the clinical path (shadow)", (),
        (Effect("unattended"), _OUTPUTS, _SECTION_2, _SAFETY), udi=DI,
    ),
    Kind(
        24, "audit_format", "Schema or format of the audit log changed", "D0",
        "D2 if the coverage of Art. 12 drops", ("coverage report", "older readers tried"),
        (Effect("safety_affected", ("article_12_coverage",)),),
    ),
    Kind(
        25, "retirement", "Retired", "D0", "never",
        ("notices", "archive drill", "retention clock from the last unit"), udi=NONE,
    ),
)  # fmt: skip

KINDS: Mapping[str, Kind] = MappingProxyType({row.key: row for row in _ROWS})
"""Every row by its key."""


def kind_named(name: str | int) -> Kind | None:
    """Return a row by its key or its number, None where there is none."""
    text = str(name)
    return next((row for row in _ROWS if text in (row.key, str(row.number))), None)
