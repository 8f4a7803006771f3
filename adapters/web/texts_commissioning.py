"""Words of what the pages show of commissioning, in English and German.

Read next: `commissionings.py`.
"""

from __future__ import annotations

COMMISSIONING_TEXTS: dict[str, tuple[str, str]] = {
    "com_title": ("Commissioning at this site", "Inbetriebnahme an diesem Standort"),
    "com_why": (
        "A certificate speaks for the patients of its cohort. A commissioning is the site's own: "
        "its patients, its protocol, its scanners, signed by a medical physicist who did not run "
        "it. In clinical mode no release comes into use without one.",
        "Ein Zertifikat spricht für die Patienten seiner Kohorte. Eine Inbetriebnahme ist die des "
        "Standorts: seine Patienten, sein Protokoll, seine Geräte, unterzeichnet von einer "
        "Medizinphysikerin oder einem Medizinphysiker, die oder der sie nicht durchgeführt hat. Im "
        "klinischen Modus kommt ohne sie kein Release in Gebrauch.",
    ),
    "com_none": (
        "This site has commissioned nothing. `osteon validate commission plan` begins one.",
        "Dieser Standort hat nichts in Betrieb genommen. `osteon validate commission plan` beginnt "
        "es.",
    ),
    "com_missing": (
        "This site has not commissioned this release.",
        "Dieser Standort hat dieses Release nicht in Betrieb genommen.",
    ),
    "com_missing_clinical": (
        "It cannot come into clinical use here.",
        "Es kann hier nicht in klinische Nutzung kommen.",
    ),
    "com_missing_research": (
        "In research mode that bars nothing: nobody has shown what it is worth on this site's "
        "patients and scanners.",
        "Im Forschungsmodus hindert das nichts: Niemand hat gezeigt, was es an Patienten und "
        "Geräten dieses Standorts taugt.",
    ),
    "com_plan": ("Plan", "Plan"),
    "com_scanners": ("Scanners", "Geräte"),
    "com_checks": ("Checks", "Prüfungen"),
    "com_ran_by": ("Run by", "Durchgeführt von"),
    "com_signed_by": ("Signed by", "Unterzeichnet von"),
    "com_until": ("Until", "Bis"),
    "com_routine": ("Routine QA due", "Regelmäßige Prüfung fällig"),
    "com_planned": ("planned", "geplant"),
    "com_ran": ("not signed", "nicht unterzeichnet"),
    "com_signed": ("commissioned", "in Betrieb genommen"),
    "com_ended": ("counts no more", "gilt nicht mehr"),
    "com_local-cases": ("own patients", "eigene Patienten"),
    "com_known-answer": ("geometry", "Geometrie"),
    "com_end-to-end": ("end to end", "Ende zu Ende"),
    "com_failure-behaviour": ("outside the purpose", "außerhalb des Zwecks"),
    "com_training": ("training", "Schulung"),
    "com_baseline": ("baseline", "Bezug"),
    "com_runs": ("Runs of the harness on this release", "Läufe des Prüfstands zu diesem Release"),
    "com_no_runs": ("None is on record here.", "Keiner ist hier verzeichnet."),
}
