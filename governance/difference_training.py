"""Which patients and recipes the weights of two releases were trained on.

The training statement of a manifest is a list with one entry for each weight file (SEAMS:
Host protocol): role, fold, recipe_digest, trained_on, source, licence.

Read next: `difference.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.difference_values import StatedChange, listed, same


@dataclass(frozen=True, slots=True)
class TrainingDifference:
    """Hold what differs in training.

    Parameters
    ----------
    patients_added, patients_removed : pseudonyms, over all weight files together; sorted.
    old_patient_count, new_patient_count : over all weight files together.
    changes : TRAINING_PATIENTS_ADDED, TRAINING_PATIENTS_REMOVED (paths and counts),
        TRAINING_SPLIT_CHANGED (the same patients, otherwise divided among the files),
        TRAINING_RECIPE_CHANGED, TRAINING_SOURCE_CHANGED, TRAINING_LICENCE_CHANGED,
        TRAINING_STATEMENT_CHANGED (anything else), TRAINING_FILES_CHANGED (file names only).
    """

    patients_added: tuple[str, ...]
    patients_removed: tuple[str, ...]
    old_patient_count: int
    new_patient_count: int
    changes: tuple[StatedChange, ...]


def compared_training(old: Mapping[str, Any], new: Mapping[str, Any]) -> TrainingDifference:
    """Return what differs between the training statements of two manifests."""
    before, after = _rows(old), _rows(new)
    first, second = _patients(before), _patients(after)
    added, removed = tuple(sorted(second - first)), tuple(sorted(first - second))
    found: list[StatedChange] = []
    for word, names in (("ADDED", added), ("REMOVED", removed)):
        if names:
            path, counts = "training.trained_on", (len(first), len(second))
            found.append(StatedChange(f"TRAINING_PATIENTS_{word}", path, *counts))
    if not added and not removed and _split(before) != _split(after):
        found.append(StatedChange("TRAINING_SPLIT_CHANGED", "training.trained_on", None, None))
    for key, word in (("recipe_digest", "RECIPE"), ("source", "SOURCE"), ("licence", "LICENCE")):
        values = _values(before, key), _values(after, key)
        if values[0] != values[1]:
            found.append(StatedChange(f"TRAINING_{word}_CHANGED", f"training.{key}", *values))
    if not found and not same(old.get("training"), new.get("training")):
        word = "FILES" if same(_without_files(old), _without_files(new)) else "STATEMENT"
        found.append(StatedChange(f"TRAINING_{word}_CHANGED", "training", len(before), len(after)))
    return TrainingDifference(added, removed, len(first), len(second), tuple(found))


def _rows(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in listed(manifest.get("training")) if isinstance(row, Mapping)]


def _names(row: Mapping[str, Any]) -> list[str]:
    return sorted(map(str, listed(row.get("trained_on"))))


def _patients(rows: list[Mapping[str, Any]]) -> set[str]:
    return {name for row in rows for name in _names(row)}


def _split(rows: list[Mapping[str, Any]]) -> list[list[str]]:
    return [_names(row) for row in rows]


def _values(rows: list[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({str(row[key]) for row in rows if row.get(key) is not None})


def _without_files(manifest: Mapping[str, Any]) -> Any:
    rows = manifest.get("training")
    if not isinstance(rows, list):
        return rows
    return [
        {key: value for key, value in row.items() if key != "file"}
        if isinstance(row, Mapping)
        else row
        for row in rows
    ]
