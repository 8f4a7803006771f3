"""The plan of a release that brought none: what the runs and reviews of any plugin can show.

A contouring release has a reference window for tissue and contours, and a dose release may bring
one for tissue, structures and doses; other plugins are held against their first cases here.  The
answer is watched whatever its kind (`plugins/host/observation.py`).

Read next: `watch.py`.
"""

from __future__ import annotations

from governance.monitoring.plan import (
    AGE_BAND,
    AGREEMENT,
    FIRST,
    INPUT,
    NOTIFY,
    OPERATIONS,
    OVERSIGHT,
    PLANNED,
    RATE,
    RELEASE,
    RESOURCES,
    SCANNER,
    SEX,
    SIDES,
    SITE,
    STATED,
    STRUCTURE,
    SUSPEND,
    TUMOUR_SITE,
    Item,
    Plan,
)

CONTOURING, DOSE = "contouring", "dose"
ANSWER = ("out_*", "uncertainty_*", "explained", "explanation_*", "faithfulness_*")
"""Numbers that an answer of any kind says of itself."""
_TISSUE = ("ct_hu_*", "ct_bone_p95", "pet_suv_*")
ACQUISITION = (
    *("ct_noise*", "ct_edge", "ct_bone_p95", "ct_kvp", "ct_slice_*", "ct_manufacturer*"),
    *("ct_convolution_kernel", "ct_reconstruction_*", "pet_noise*", "pet_edge", "pet_slice_*"),
    *("pet_manufacturer*", "pet_reconstruction_*", "pet_units", "pet_radiopharmaceutical"),
    *("pet_given", "slice_spacing_mm", "row_spacing_mm", "quality"),
)
"""What a scanner and its protocol decide, and the patient hardly: few numbers share the bound."""
_PEOPLE = (SCANNER, AGE_BAND, SEX, TUMOUR_SITE)


def default_plan(plugin: str, *, suspend: bool = False, has_window: bool | None = None) -> Plan:
    """Return the plan of a plugin; with ``suspend`` what harms patients suspends the release.

    ``has_window`` : whether the release brings a reference window; contouring does if not stated.
    """
    harm = SUSPEND if suspend else NOTIFY
    has_window = plugin == CONTOURING if has_window is None else has_window
    answer = ("dose_*", "volume_*", "target_volume_ml") if plugin == DOSE else ("contour_*",)
    tissue = ("ct_hu_*",) if plugin == DOSE else _TISSUE
    return Plan(
        plugin,
        (
            Item("input", INPUT, tissue, RELEASE if has_window else FIRST, 2000.0, NOTIFY,
                 "physicist"),
            Item("scanner", INPUT, ACQUISITION, FIRST, 2000.0, harm, "physicist"),
            *((Item("tissue", INPUT, ("ct_hu_*", "pet_suv_*", "extent_*"), FIRST, 2000.0, NOTIFY,
                    "physicist"),) if has_window else ()),
            Item("encoder", INPUT, ("embedding",), FIRST, 2000.0, NOTIFY, "engineer"),
            *((Item("output", INPUT, answer, RELEASE, 2000.0, NOTIFY, "physicist"),)
              if has_window else ()),
            Item("answers", INPUT, ANSWER, FIRST, 2000.0, NOTIFY, "physicist"),
            Item("refusals", RATE, ("refused",), STATED, 2000.0, NOTIFY, "physicist", rate=0.2),
            Item("abstentions", RATE, ("abstained",), STATED, 2000.0, NOTIFY, "engineer", rate=0.2),
            Item("failures", RATE, ("failed",), STATED, 2000.0, NOTIFY, "engineer", rate=0.05),
            Item(
                "agreement", AGREEMENT, ("dsc", "surface_dice", "added_path_length_mm"), FIRST,
                25_000.0, harm, "clinician",
            ),
            Item("shift", AGREEMENT, ("shift_*",), FIRST, 50_000.0, harm, "clinician"),
            *_planned(plugin, harm),
            *_parts(("ct_hu_*", "contour_*" if plugin == CONTOURING else "out_*")),
            *_work(),
        ),
    )  # fmt: skip


def _planned(plugin: str, harm: str) -> tuple[Item, ...]:
    """Return the items that hold predicted doses against the plans that were approved later."""
    if plugin != DOSE:
        return ()
    errors = ("dose_mae_gy", "dvh_mae_gy", "outside_share")
    signed = ("target_d95_gy", "organ_mean_gy")
    return (
        Item("later-plans", PLANNED, errors, FIRST, 25_000.0, harm, "physicist"),
        Item("plan-shift", PLANNED, signed, FIRST, 50_000.0, harm, "physicist"),
    )


def _parts(data: tuple[str, ...]) -> tuple[Item, ...]:
    """Return the items that look at scanners, sites, structures and subgroups by themselves."""
    ends = ("refused", "abstained", "failed")
    return (
        Item("case-mix", INPUT, _PEOPLE, FIRST, 2000.0, NOTIFY, "physicist"),
        Item("by-part", INPUT, data, FIRST, 2000.0, NOTIFY, "physicist", 20, by=_PEOPLE),
        Item(
            "ends-by-part", RATE, ends, STATED, 2000.0, NOTIFY, "physicist", rate=0.2,
            by=(SITE, *_PEOPLE),
        ),
        Item(
            "agreement-by-part", AGREEMENT, ("dsc", "surface_dice"), FIRST, 25_000.0, NOTIFY,
            "clinician", 20, by=(STRUCTURE, *_PEOPLE),
        ),
    )  # fmt: skip


def _work() -> tuple[Item, ...]:
    """Return the items of operations and of oversight."""
    looks = tuple(SIDES[OVERSIGHT])
    return (
        Item("latency", OPERATIONS, ("seconds",), FIRST, 2000.0, NOTIFY, "engineer"),
        Item("resources", RESOURCES, tuple(SIDES[RESOURCES]), FIRST, 500.0, NOTIFY, "engineer", 20),
        Item("waning-edits", OVERSIGHT, looks, FIRST, 2000.0, NOTIFY, "clinician"),
    )
