"""The measured accuracy as the technical file wants it: overall, by tumour size, by person.

Figures over all patients and by tumour size are those of the cross-validation report.  Groups
of persons are summed up here from the report's own cases, with the same bootstrap; age bands
and sex come from the published clinical table of the collection (``persons.json``).  A group
that is smaller than the smallest stratum of the criteria is named with its n and no verdict.

Source: REGULATORY.md AIA-9.9, AIA-10.2fg; TCIA Soft-tissue-Sarcoma, CC BY 3.0.

Read next: `summary.py`, `governance/accuracy.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.training.contouring.summary import METRICS, summarise

FOLDER = Path(__file__).parent
REPORT = FOLDER / "results/cross_validation.json"
PERSONS = FOLDER / "persons.json"
INTERVAL = "Mean over patients with a 95 % percentile bootstrap interval over patients"
_TITLES: Mapping[str, tuple[str, str, int, bool]] = {
    "dsc": ("DSC", "", 3, False),
    "nsd_3mm": ("Surface Dice at 3 mm", "", 3, False),
    "hd95_mm": ("HD95", "mm", 1, False),
    "absolute_volume_error_percent": ("Volume error, absolute", "%", 1, False),
    "volume_error_percent": ("Volume error, signed", "%", 1, True),
}
Row = dict[str, Any]


def measured_accuracy(release_digest: str, smallest_group: int) -> Row:
    """Return the content of the governed document ``accuracy`` of a release.

    Whoever reads it holds its weights against those of the release: figures of other weights
    do not count.
    """
    raw = REPORT.read_bytes()
    report = json.loads(raw)
    persons = json.loads(PERSONS.read_text("utf-8"))["persons"]
    return accuracy(report, persons, smallest_group) | {
        "release_digest": release_digest,
        "report_sha256": f"sha256:{hashlib.sha256(raw).hexdigest()}",
    }


def accuracy(
    report: Mapping[str, Any], persons: Mapping[str, Mapping[str, str]], smallest_group: int
) -> Row:
    """Return metrics and groups of a cross-validation report."""
    conditions = sorted(report["summary"], key=lambda name: (not name.startswith("ct+"), name))
    groups: list[Row] = []
    for given in conditions:
        for name, row in report["summary"][given].items():
            groups.append(_group(given, name, "all" if name == "all" else "finding", row))
        groups += _persons(given, report["cases"], persons)
    return {
        "schema": "osteon.accuracy/1",
        "weights": sorted(report["weights"].values()),
        "method": report["method"],
        "interval": INTERVAL,
        "smallest_group": smallest_group,
        "metrics": [
            {"key": key, "title": title, "unit": unit, "digits": digits, "signed": signed}
            for key, (title, unit, digits, signed) in _TITLES.items()
        ],
        "groups": groups,
    }


def _persons(
    given: str, cases: list[Row], persons: Mapping[str, Mapping[str, str]]
) -> Iterator[Row]:
    """Yield one group for each age band and sex under a condition."""
    seeded = given.endswith(" with seed point")
    modalities = given.removesuffix(" with seed point")
    rows = [c for c in cases if c["modalities"] == modalities and c["seed_given"] == seeded]
    for kind in ("age", "sex"):
        for name in _names(kind, persons):
            members = [row for row in rows if persons[row["patient_id"]][kind] == name]
            yield _group(given, name, "person", summarise(members))


def _names(kind: str, persons: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the groups, the young first."""
    return sorted({person[kind] for person in persons.values()}, key=lambda n: (n[0] != "u", n))


def _group(given: str, name: str, about: str, row: Mapping[str, Any]) -> Row:
    figures = {
        key: {
            "value": row[key]["mean"],
            "low": row[key]["interval_95"][0],
            "high": row[key]["interval_95"][1],
            "n": row[key]["n"],
        }
        for key in METRICS
        if key in row
    }
    return {"given": given, "name": name, "about": about, "n": row["n"], "figures": figures}
