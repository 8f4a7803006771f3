"""Words of the pages of technical files, in English and German.

Read next: `technical_files.py`.
"""

from __future__ import annotations

TECHNICAL_FILE_TEXTS: dict[str, tuple[str, str]] = {
    "technical_files": ("Technical files", "Technische Dokumentation"),
    "technical_file": ("Technical file", "Technische Dokumentation"),
    "tf_no_release": (
        "No release lies at this site. Add one with `osteon release add`.",
        "An diesem Standort liegt kein Release. Fügen Sie eines mit `osteon release add` hinzu.",
    ),
    "tf_complete": ("Complete", "Vollständig"),
    "tf_na": ("Not applicable", "Entfällt"),
    "tf_missing": ("Missing", "Fehlt"),
    "tf_point": ("Annex IV", "Anhang IV"),
    "tf_subject": ("Subject", "Gegenstand"),
    "tf_progress": ("Progress", "Fortschritt"),
    "tf_field": ("Field", "Feld"),
    "tf_path": ("Name", "Name"),
    "tf_author": ("From", "Von"),
    "tf_signed": ("Signed (UTC)", "Unterzeichnet (UTC)"),
    "tf_why": ("What is needed", "Was nötig ist"),
    "tf_by_points": ("By point of the law", "Nach Punkten des Gesetzes"),
    "tf_gaps": ("What is missing", "Was fehlt"),
    "tf_every_field": ("Every field", "Alle Felder"),
    "tf_built": ("Built (UTC)", "Gebaut (UTC)"),
    "tf_bundle": ("Bundle", "Bündel"),
    "tf_never_built": (
        "never; `osteon technical-file build` writes and records it",
        "nie; `osteon technical-file build` schreibt sie und trägt sie ein",
    ),
    "tf_state": ("State", "Stand"),
    "tf_current": ("current", "aktuell"),
    "tf_stale": ("older than its sources", "älter als ihre Quellen"),
    "tf_changed": ("Changed since it was built", "Seit dem Bau geändert"),
    "tf_ce": ("CE marking", "CE-Kennzeichnung"),
    "tf_no_ce": (
        "none: research mode, or no valid declaration of conformity",
        "keine: Forschungsmodus, oder keine gültige Konformitätserklärung",
    ),
    "tf_gates": (
        "What stands in the way of clinical use",
        "Was der klinischen Nutzung entgegensteht",
    ),
    "tf_no_objection": (
        "Nothing in the documentation stands in the way.",
        "In der Dokumentation steht nichts entgegen.",
    ),
    "tf_code": ("Code", "Code"),
    "tf_text": ("What was found", "Was gefunden wurde"),
    "tf_advice": ("What to do", "Was zu tun ist"),
    "tf_blocked": (
        "fields are missing. In clinical mode they keep this release from use.",
        "Felder fehlen. Im klinischen Modus halten sie dieses Release von der Nutzung ab.",
    ),
    "tf_whole": (
        "Every field is complete or does not apply.",
        "Jedes Feld ist vollständig oder entfällt.",
    ),
    "tf_generated": ("generated", "erzeugt"),
    "tf_person": ("a person", "eine Person"),
    "tf_source": ("a source", "eine Quelle"),
    "tf_needs": ("Needs", "Braucht"),
}  # fmt: skip
