"""Two indexes over one file: Annex IV of the AI Act, Annex II and III of the MDR.

One set of documents serves both laws (Art. 8(2), 11(2) of the AI Act): each index names, for
every point, the fields that answer it.  A field stands in both and its content in neither.

Source: Regulation (EU) 2024/1689 Annex IV; Regulation (EU) 2017/745 Annex II and III;
REGULATORY.md AIA-8.2.

Read next: `bundle.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.technical_file.fields import POINTS, head_of
from governance.technical_file.file import Field, TechnicalFile

MDR_SECTIONS: Mapping[str, tuple[str, str]] = {
    "II 1.1": ("Device description and specification", "Produktbeschreibung und Spezifikation"),
    "II 1.2": ("Previous and similar generations", "Frühere und ähnliche Generationen"),
    "II 2": ("Information supplied by the manufacturer", "Vom Hersteller gelieferte Informationen"),
    "II 3": ("Design and manufacturing information", "Angaben zu Auslegung und Herstellung"),
    "II 4": ("General safety and performance requirements",
             "Grundlegende Sicherheits- und Leistungsanforderungen"),
    "II 5": ("Benefit-risk analysis and risk management",
             "Nutzen-Risiko-Analyse und Risikomanagement"),
    "II 6.1": ("Verification and validation, pre-clinical and clinical data",
               "Verifizierung und Validierung, vorklinische und klinische Daten"),
    "III 1.1": ("Plan of post-market surveillance", "Plan zur Überwachung nach dem "
                "Inverkehrbringen"),
    "III 1.2": ("Periodic safety update report", "Regelmäßig aktualisierter Sicherheitsbericht"),
}  # fmt: skip
FILE = "annex_iv.json"


def index_aia(file: TechnicalFile) -> dict[str, Any]:
    """Return the index by points of Annex IV, with what the AI Act asks for beside it."""
    rows: dict[str, Any] = {}
    for item in file.fields:
        if item.rule.point != "MDR":
            entry = rows.setdefault(item.rule.point, {"title": _title(item), "fields": []})
            entry["fields"].append(_line(item))
    return _index("Regulation (EU) 2024/1689 Annex IV", file, rows)


def index_mdr(file: TechnicalFile) -> dict[str, Any]:
    """Return the index by sections of Annex II and III of the MDR."""
    rows: dict[str, Any] = {
        section: {"title": titles[0], "fields": []} for section, titles in MDR_SECTIONS.items()
    }
    for item in file.fields:
        if item.rule.mdr:
            rows[item.rule.mdr]["fields"].append(_line(item))
    return _index("Regulation (EU) 2017/745 Annex II and III", file, rows)


def point_counts(file: TechnicalFile) -> dict[str, dict[str, int]]:
    """Return for each point of `POINTS` how many fields are complete, n/a and missing."""
    counts = {point: {"complete": 0, "n/a": 0, "missing": 0} for point in POINTS}
    for item in file.fields:
        counts[head_of(item.rule.point)][item.status] += 1
    return counts


def _index(law: str, file: TechnicalFile, rows: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "law": law,
        "plugin": file.plugin,
        "version": file.version,
        "release_digest": file.release_digest,
        "points": dict(rows),
    }


def _title(item: Field) -> str:
    return POINTS[head_of(item.rule.point)][0]


def _line(item: Field) -> dict[str, str]:
    return {
        "field": item.rule.path,
        "status": item.status,
        "at": f"{FILE}#/fields/{item.rule.path}",
    }
