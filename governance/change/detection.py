"""Which kinds of change a difference of two releases shows.

Each change of the difference gets a row of the table by its code, path and subject.  A
person may say what it was for (a bug fix, a security patch), but only among the kinds that
its rule permits, and only with the proofs that the kind requires; a code that no rule
knows is `undetermined`.  A few changes are names or layout only and have no effect: they
stand in `WITHOUT_EFFECT` with the reason.

Source: REGULATORY.md section 4, column Change.

Read next: `classification.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from governance.change.kinds import KINDS
from governance.difference import AREAS, Change, ReleaseDifference
from governance.difference_code import FileChange
from governance.difference_weights import TensorChange, WeightChange

WITHOUT_EFFECT: Mapping[str, str] = {
    "VERSION_CHANGED": "the number of the version is a name",
    "BUILDER_CHANGED": "which suite packed the release; the release carries its own code",
    "CODE_LAYOUT_CHANGED": "comments and layout only: the syntax trees are equal",
    "TRAINING_FILES_CHANGED": "names of weight files only; their bytes are compared by themselves",
}
"""Code -> why it cannot change what the release does."""


@dataclass(frozen=True, slots=True)
class Detected:
    """One change of a difference, and the row of the table that it belongs to.

    Parameters
    ----------
    code, area, path : of the change in the difference.
    kind : key of the row.
    may_be : rows that a person may claim instead.
    proofs : what the difference itself shows.
    claimed : the row is a person's claim, which its proofs permit.
    """

    code: str
    area: str
    path: str
    kind: str
    may_be: tuple[str, ...] = ()
    proofs: frozenset[str] = frozenset()
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    """``code`` and ``path`` are patterns; the first rule that matches holds."""

    code: str
    kind: str
    path: str = "*"
    subject: str = "*"
    may_be: tuple[str, ...] = ()
    proofs: frozenset[str] = frozenset()


_CODE = (
    *("bug_fix_identical", "bug_fix", "security_patch", "preprocessing", "postprocessing"),
    *("interface", "radiobiology", "platform"),
)
_FIX = ("bug_fix_identical", "bug_fix")
_TIGHTER = frozenset(("guard_tightened",))
_RADIOBIOLOGY = (
    "*alpha_beta*", "*alphabeta*", "*tcp*", "*ntcp*", "*radiobio*", "*eqd2*", "*half_life*",
)  # fmt: skip
_POPULATION = ("age_years", "body_parts", "quality_flags_refused")
_ACQUISITION = ("slice_spacing_mm", "in_plane_mm", "frames", "kernels_refused", "oblique_deg")
_GUARD = ("trained_field_mm", "required_structures", "prescription_required")

RULES: tuple[_Rule, ...] = (
    *(_Rule("*", "self_learning", path) for path in ("*self_learning*", "*online_learning*")),
    *(_Rule("*", "autonomy", path) for path in ("*autonomy*", "*auto_apply*")),
    *(
        _Rule(code, "radiobiology", path)
        for path in _RADIOBIOLOGY
        for code in ("THRESHOLD_*", "PARAMETER_*", "CODE_ADDED", "CODE_CHANGED", "CODE_REMOVED")
    ),
    _Rule("TITLE_CHANGED", "label"),
    _Rule("PURPOSE_CHANGED", "label"),
    _Rule("CARD_*", "label"),
    _Rule("INPUT_MODALITY_CHANGED", "new_modality"),
    _Rule("INPUT_ADDED", "new_modality"),
    _Rule("OUTPUT_ADDED", "new_output"),
    *(_Rule("ENVELOPE_NARROWED", "guard", f"envelope.{n}", proofs=_TIGHTER)
      for n in (*_POPULATION, *_ACQUISITION, *_GUARD)),
    *(_Rule("ENVELOPE_*", "new_population", f"envelope.{n}") for n in _POPULATION),
    *(_Rule("ENVELOPE_*", "input_expansion", f"envelope.{n}") for n in _ACQUISITION),
    *(_Rule("ENVELOPE_*", "guard", f"envelope.{n}") for n in _GUARD),
    _Rule("ROUTING_RULE_*", "routing"),
    *(_Rule("THRESHOLD_*", "guard", path) for path in ("*abstain*", "*.ood_*", "*.guard*")),
    _Rule("THRESHOLD_*", "threshold_outside_band"),
    _Rule("PARAMETER_*", "threshold_outside_band", may_be=_FIX),
    _Rule("INFERENCE_CHANGED", "postprocessing"),
    _Rule("PREPROCESSING_CHANGED", "preprocessing"),
    _Rule("ARCHITECTURE_CHANGED", "architecture"),
    _Rule("CODE_*", "architecture", subject="architecture", may_be=("bug_fix_identical",)),
    _Rule("CODE_*", "preprocessing", subject="preprocessing", may_be=("bug_fix_identical",)),
    _Rule("CODE_*", "postprocessing", subject="postprocessing", may_be=("bug_fix_identical",)),
    _Rule("CODE_*", "interface", subject="explanation"),
    _Rule("CODE_*", "undetermined", may_be=_CODE),
    _Rule("MODEL_PACKAGES_CHANGED", "undetermined", may_be=("bug_fix_identical",)),
    *(_Rule(code, "undetermined", may_be=_FIX)
      for code in ("ENTRY_POINT_CHANGED", "STATEMENT_CHANGED", "MEMBER_*")),
    *(_Rule(f"TENSOR_{word}", "architecture") for word in ("ADDED", "REMOVED", "RESHAPED")),
    *(_Rule(f"WEIGHTS_{word}", "architecture") for word in ("ADDED", "REMOVED")),
    _Rule("WEIGHTS_OPAQUE", "architecture", may_be=("retrain", "local_fine_tune")),
    *(_Rule(code, "retrain", may_be=("local_fine_tune",))
      for code in ("WEIGHTS_CHANGED", "TENSOR_CHANGED", "TENSOR_RETYPED")),
    *(_Rule(f"WEIGHTS_{word}", "undetermined", may_be=_FIX)
      for word in ("RENAMED", "HEADER_CHANGED", "ORDER_CHANGED")),
    *(_Rule(f"TRAINING_{word}_CHANGED", "undetermined", may_be=("label",))
      for word in ("SOURCE", "LICENCE", "STATEMENT")),
    _Rule("TRAINING_*", "retrain", may_be=("local_fine_tune",)),
    *(_Rule(code, "runtime", may_be=("security_patch", "platform"))
      for code in ("LIMIT_CHANGED", "HOST_API_CHANGED", "RUNTIME_PIN_*", "RUNTIME_PYTHON_*",
                   "COMPONENT_*", "SBOM_*")),
    _Rule("RUNTIME_CHANGED", "platform"),
)  # fmt: skip


def detect(
    difference: ReleaseDifference,
    claims: Collection[str],
    proofs: Collection[str],
    modalities: Collection[str],
) -> tuple[Detected, ...]:
    """Return every change with its row, in the order of the areas; names alone are left out.

    Parameters
    ----------
    claims : keys of the rows that a person claims.
    proofs : what is shown; a claim without the proofs that its row requires does not count.
    modalities : of the inputs of the old release.
    """
    held = {name for name in claims if set(KINDS[name].requires) <= set(proofs)}
    found = (
        _special(difference, area, change, modalities) or _of_change(difference, area, change)
        for area, change in _changes(difference)
    )
    return tuple(_claimed(item, held) for item in found if item is not None)


def names_only(difference: ReleaseDifference) -> tuple[str, ...]:
    """Return the codes of the difference that cannot have an effect."""
    return tuple(code for code in difference.codes() if code in WITHOUT_EFFECT)


def _changes(difference: ReleaseDifference) -> Iterator[tuple[str, Any]]:
    """Yield (area, change), file by file once, and each tensor behind its file."""
    for area in AREAS:
        for change in difference.changes(area):
            if isinstance(change, FileChange) and area in ("architecture", "preprocessing"):
                continue  # these are in `code` as well, with their subject
            yield area, change
            if isinstance(change, WeightChange):
                for tensor in change.tensors:
                    yield area, tensor


def _of_change(difference: ReleaseDifference, area: str, change: Any) -> Detected | None:
    code, path = change.code, _path(change)
    if isinstance(change, WeightChange) and code == "WEIGHTS_CHANGED" and not change.comparable:
        code = "WEIGHTS_OPAQUE"
    if code in WITHOUT_EFFECT or path.startswith("udi."):
        return None
    if _repeats_a_threshold(difference, change):
        return None
    subject = change.subject if isinstance(change, FileChange) else ""
    for rule in RULES:
        if (
            fnmatchcase(code, rule.code)
            and fnmatchcase(path.lower(), rule.path)
            and (rule.subject == "*" or rule.subject == subject)
        ):
            return Detected(code, area, path, rule.kind, rule.may_be, rule.proofs)
    return Detected(code, area, path, "undetermined")


def _path(change: Change | TensorChange) -> str:
    if isinstance(change, WeightChange):
        return change.new_name or change.old_name
    return change.name if isinstance(change, TensorChange) else change.path


def _special(
    difference: ReleaseDifference, area: str, change: Any, modalities: Collection[str]
) -> Detected | None:
    """Return what a pattern cannot tell: an input of a known modality, a rule that only adds."""
    new = getattr(change, "new", None)
    if not isinstance(new, Mapping):
        return None
    if change.code == "INPUT_ADDED" and new.get("modality") in modalities:
        return Detected(change.code, area, change.path, "input_expansion")
    only_added = change.code == "ROUTING_RULE_ADDED" and not _rules_removed(difference)
    if only_added and not new.get("applies_to"):
        # Every rule of the study must hold, so one more can only leave studies out.
        proofs = frozenset(("routing_replay",))
        return Detected(change.code, area, change.path, "routing", (), proofs)
    return None


def _rules_removed(difference: ReleaseDifference) -> bool:
    return any(change.code != "ROUTING_RULE_ADDED" for change in difference.routing)


def _repeats_a_threshold(difference: ReleaseDifference, change: Any) -> bool:
    """Tell whether a changed file of thresholds is named by its thresholds already."""
    return (
        isinstance(change, FileChange)
        and change.code == "CODE_CHANGED"
        and change.subject == "thresholds"
        and any(item.path.startswith(f"{change.path}.") for item in difference.parameters)
    )


def _claimed(item: Detected, held: Collection[str]) -> Detected:
    for kind in item.may_be:
        if kind in held:
            return Detected(
                item.code, item.area, item.path, kind, item.may_be, item.proofs, claimed=True
            )
    return item
