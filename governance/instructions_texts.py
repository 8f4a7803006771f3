"""Every fixed word of the instructions for use, in English and German.

Read next: `instructions_parts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TITLES: Mapping[str, tuple[str, str]] = {
    "provider": ("Provider", "Anbieter"),
    "purpose": ("Intended purpose", "Zweckbestimmung"),
    "accuracy": ("Accuracy", "Genauigkeit"),
    "robustness": ("Robustness and cybersecurity", "Robustheit und Cybersicherheit"),
    "risks": ("Limits and risks", "Grenzen und Risiken"),
    "explanation": ("Explanation of a result", "Erklärung eines Ergebnisses"),
    "groups": ("Accuracy by group", "Genauigkeit nach Gruppen"),
    "input": ("Input", "Eingabe"),
    "interpretation": ("How to interpret the output", "Wie die Ausgabe zu deuten ist"),
    "changes": ("Pre-determined changes", "Vorab festgelegte Änderungen"),
    "oversight": ("Human oversight", "Menschliche Aufsicht"),
    "resources": ("Resources, lifetime, maintenance", "Ressourcen, Lebensdauer, Wartung"),
    "logs": ("Logs", "Protokolle"),
}

WORDS: Mapping[str, tuple[str, str]] = {
    "name": ("Name", "Name"),
    "address": ("Address", "Anschrift"),
    "contact": ("Contact", "Kontakt"),
    "representative": ("Authorised representative", "Bevollmächtigter"),
    "not_meant_for": ("Not meant for", "Nicht bestimmt für"),
    "criteria": ("Criteria fixed beforehand", "Vorab festgelegte Kriterien"),
    "criterion": ("criterion", "Kriterium"),
    "given": ("given", "gegeben"),
    "bound": ("bound", "Grenze"),
    "reason": ("reason", "Grund"),
    "measured": ("measured", "gemessen"),
    "verdict": ("verdict", "Urteil"),
    "met": ("met", "erfüllt"),
    "missed": ("MISSED", "VERFEHLT"),
    "elsewhere": ("validation report", "Validierungsbericht"),
    "limits": ("Known limits", "Bekannte Grenzen"),
    "hazard": ("Hazard", "Gefährdung"),
    "harm": ("Harm", "Schaden"),
    "severity": ("Severity", "Schwere"),
    "what_to_do": ("What to do", "Was zu tun ist"),
    "input": ("Input", "Eingabe"),
    "modality": ("Modality", "Modalität"),
    "required": ("Required", "Erforderlich"),
    "yes": ("yes", "ja"),
    "no": ("no", "nein"),
    "negligible": ("negligible", "unwesentlich"),
    "minor": ("minor", "gering"),
    "serious": ("serious", "ernst"),
    "critical": ("critical", "kritisch"),
    "catastrophic": ("catastrophic", "katastrophal"),
    "age_years": ("Age", "Alter"),
    "slice_spacing_mm": ("Slice spacing", "Schichtabstand"),
    "in_plane_mm": ("Pixel spacing", "Pixelabstand"),
    "frames": ("Slices", "Schichten"),
    "oblique_deg": ("Tilt", "Verkippung"),
    "trained_field_mm": ("Field of view", "Bildfeld"),
    "body_parts": ("Body parts", "Körperregionen"),
    "quality_flags_refused": ("Refused", "Abgelehnt bei"),
    "kernels_refused": ("Refused kernels", "Abgelehnte Kernel"),
    "required_structures": ("Structures needed", "Benötigte Strukturen"),
    "prescription_required": ("Prescription needed", "Verordnung nötig"),
    "refused": (
        "A study outside these limits is refused with its reasons; it takes the manual path.",
        "Eine Studie außerhalb dieser Grenzen wird mit Gründen abgelehnt; sie geht den "
        "manuellen Weg.",
    ),
    "unapproved": (
        "Every result is UNAPPROVED. A clinician looks at every slice and accepts, edits or "
        "rejects it; nothing is applied to a treatment by itself.",
        "Jedes Ergebnis ist NICHT FREIGEGEBEN. Ein Arzt sieht jede Schicht an und nimmt es an, "
        "ändert es oder lehnt es ab; nichts wird von selbst auf eine Behandlung angewandt.",
    ),
    "abstains": (
        "Where the release does not trust its own result it abstains, and says so.",
        "Wo das Release dem eigenen Ergebnis nicht traut, enthält es sich und sagt es.",
    ),
    "stop": (
        "A clinician, physicist or administrator can stop the plugin at once: "
        "`osteon governance suspend`. The manual path is unaffected.",
        "Arzt, Physiker oder Administrator können das Plugin sofort anhalten: "
        "`osteon governance suspend`. Der manuelle Weg bleibt unberührt.",
    ),
    "overseers": ("Persons in charge", "Zuständige Personen"),
    "measures": ("Measures", "Maßnahmen"),
    "measure": ("Measure", "Maßnahme"),
    "no_changes": (
        "No change of this release is pre-determined: any change is a new release.",
        "Keine Änderung dieses Releases ist vorab festgelegt: Jede Änderung ist ein neues Release.",
    ),
    "plan": ("Plan of changes", "Änderungsplan"),
    "processor": ("Processor", "Prozessor"),
    "memory": ("Memory", "Speicher"),
    "time": ("Time", "Zeit"),
    "python": ("Python", "Python"),
    "maintenance": (
        "A release does not change. `osteon doctor` checks the installation; a new version is a "
        "new release with instructions of its own, which users acknowledge before they use it.",
        "Ein Release ändert sich nicht. `osteon doctor` prüft die Installation; eine neue Version "
        "ist ein neues Release mit eigener Gebrauchsanweisung, die Nutzer vor der Nutzung "
        "bestätigen.",
    ),
    "log_guide": (
        "Every event is recorded without patient data. The log guide that belongs to these "
        "instructions explains every field, how to keep the log and how to verify it.",
        "Jedes Ereignis wird ohne Patientendaten eingetragen. Der Protokoll-Leitfaden zu dieser "
        "Anweisung erklärt jedes Feld, die Aufbewahrung und die Prüfung.",
    ),
}

_PHRASES = (
    (" to ", " bis "),
    ("at most ", "höchstens "),
    (" degrees", " Grad"),
    (" years", " Jahre"),
    ("without a seed point", "ohne Saatpunkt"),
    (" threads", " Threads"),
)


def localised(text: str, language: str) -> str:
    """Return a generated range or size in a language: "0.4 to 2.5 mm" is "0,4 bis 2,5 mm"."""
    if language == "en":
        return text
    for english, german in _PHRASES:
        text = text.replace(english, german)
    return re.sub(r"(?<=\d)\.(?=\d)", ",", text)


def words(language: str) -> dict[str, str]:
    """Return every word in one language."""
    index = 0 if language == "en" else 1
    return {key: pair[index] for key, pair in WORDS.items()}
