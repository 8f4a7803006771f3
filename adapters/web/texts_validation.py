"""Words of the pages of validation, in English and German.

Read next: `validation.py`.
"""

from __future__ import annotations

VALIDATION_TEXTS: dict[str, tuple[str, str]] = {
    "validation": ("Validation", "Validierung"),
    "val_why": (
        "Every run of the harness on a cohort, as the log has it: what was asked was fixed before "
        "the first answer. A verdict of fail, or of insufficient evidence, stays here too.",
        "Jeder Lauf des Prüfstands auf einer Kohorte, wie das Protokoll ihn kennt: Gefragt war, "
        "was vor der ersten Antwort feststand. Auch „nicht bestanden“ und „Evidenz reicht nicht“ "
        "bleiben hier stehen.",
    ),
    "val_cannot": (
        "A certificate speaks for the patients of its cohort alone. It says nothing of scanners, "
        "sites, ages and tumours without cases, and nothing of how people use the results.",
        "Ein Zertifikat spricht nur für die Patienten seiner Kohorte. Es sagt nichts über Geräte, "
        "Standorte, Altersgruppen und Tumoren ohne Fälle, und nichts darüber, wie Menschen die "
        "Ergebnisse verwenden.",
    ),
    "val_none": (
        "No run of the harness is on record. Ask for one with `osteon validate run`.",
        "Kein Lauf des Prüfstands ist verzeichnet. Starten Sie einen mit `osteon validate run`.",
    ),
    "val_open": ("Open runs and their work queue", "Offene Läufe und ihre Warteschlange"),
    "val_ended": ("Runs that ended", "Beendete Läufe"),
    "val_nothing_ended": ("No run has ended yet.", "Noch kein Lauf ist beendet."),
    "val_cohort": ("Cohort", "Kohorte"),
    "val_elsewhere": ("its manifest lies elsewhere", "ihr Manifest liegt anderswo"),
    "val_verdict": ("Verdict", "Urteil"),
    "val_method": ("Method", "Verfahren"),
    "val_held-out": ("held out", "zurückgehalten"),
    "val_cross-fitted": ("cross-fitted", "überkreuz"),
    "val_pass": ("pass", "bestanden"),
    "val_fail": ("fail", "nicht bestanden"),
    "val_insufficient": ("insufficient evidence", "Evidenz reicht nicht"),
    "val_state_open": ("open", "offen"),
    "val_state_judged": ("answers complete", "Antworten vollständig"),
    "val_state_reported": ("report made", "Bericht liegt vor"),
    "val_state_certified": ("certificate issued", "Zertifikat ausgestellt"),
    "val_began": ("Asked", "Begonnen"),
    "val_ended_at": ("Ended", "Beendet"),
    "val_asked_by": ("By", "Von"),
    "val_answers": ("Answers", "Antworten"),
    "val_queue": ("Work queue", "Warteschlange"),
    "val_waiting": ("waiting", "wartet"),
    "val_working": ("at work", "in Arbeit"),
    "val_done": ("done", "fertig"),
    "val_failed": ("failed", "gescheitert"),
    "val_changed": ("Last change", "Letzte Änderung"),
    "val_case": ("Case", "Fall"),
    "val_machine": ("Machine", "Maschine"),
    "val_resume": (
        "A run that stopped goes on where it stopped when it is asked for again with the same "
        "command. What a page cannot see is whether its machine still works: look at the time of "
        "the last change.",
        "Ein stehen gebliebener Lauf setzt dort fort, wo er stand, wenn er mit demselben Befehl "
        "noch einmal verlangt wird. Ob seine Maschine noch arbeitet, sieht die Seite nicht: "
        "Achten Sie auf die Zeit der letzten Änderung.",
    ),
    "val_no_report": (
        "The answers are complete and not judged yet: `osteon validate report` makes the report.",
        "Die Antworten sind vollständig und noch nicht beurteilt: `osteon validate report` macht "
        "den Bericht.",
    ),
    "val_tampered": (
        "What lies in the folder of this run is not what is on record, so no figure is shown",
        "Was im Ordner dieses Laufs liegt, ist nicht das Verzeichnete; deshalb steht hier keine "
        "Zahl",
    ),
    "val_about": ("About this run", "Zu diesem Lauf"),
    "val_certificate": ("Certificate", "Zertifikat"),
    "val_no_certificate": (
        "None was issued. `osteon validate certify` signs what the report says, whatever it is.",
        "Keines wurde ausgestellt. `osteon validate certify` unterzeichnet, was der Bericht sagt, "
        "was immer es ist.",
    ),
    "val_attached": (
        "attached to the release, which may rest on it",
        "dem Release angeheftet; es darf sich darauf stützen",
    ),
    "val_not_attached": ("not attached to the release", "dem Release nicht angeheftet"),
    "val_use": ("Use", "Nutzung"),
    "val_against": (
        "Why it lets nothing into clinical use",
        "Warum es nichts in die klinische Nutzung lässt",
    ),
    "val_counts": ("It counts now.", "Es gilt jetzt."),
    "val_cannot_say": (
        "In full: what cannot be concluded",
        "Im Einzelnen: was sich nicht schließen lässt",
    ),
    "val_leakage": ("Patients of the training", "Patienten aus dem Training"),
    "val_leak_none": (
        "none: no case is judged by weights that learned from its patient",
        "keine: keinen Fall beurteilen Gewichte, die von seinem Patienten gelernt haben",
    ),
    "val_leak_some": ("cases of patients who were learned from", "Fälle gelernter Patienten"),
    "val_leak_unknown": (
        "cannot be looked for here",
        "lassen sich hier nicht suchen",
    ),
    "val_leak_seen": (
        "{seen} of {patients} patients are in the training of some of {members} sets of weights",
        "{seen} von {patients} Patienten sind im Training eines der {members} Gewichtssätze",
    ),
    "val_leak_images": (
        "By pseudonym against the release's training manifest. Images are compared by "
        "`osteon cohort check NAME --images`.",
        "Nach Pseudonym gegen das Trainingsmanifest des Releases. Bilder vergleicht "
        "`osteon cohort check NAME --images`.",
    ),
    "val_seal": ("Seal", "Siegel"),
    "val_sealed": (
        "sealed; {used} of {budget} openings used",
        "versiegelt; {used} von {budget} Öffnungen verbraucht",
    ),
    "val_unsealed": (
        "none: who built the model could have seen the cases",
        "keines: wer das Modell baute, konnte die Fälle sehen",
    ),
    "val_looks": ("Looks at the cohort", "Blicke in die Kohorte"),
    "val_look": ("Look", "Blick"),
    "val_this": ("this run", "dieser Lauf"),
    "val_other": ("another", "ein anderer"),
    "val_refused": ("refused", "abgelehnt"),
    "val_no_looks": ("No look is on record.", "Kein Blick ist verzeichnet."),
    "val_record": ("On record", "Verzeichnet"),
    "val_document": ("Document", "Dokument"),
    "val_digest": ("Digest", "Digest"),
    "val_trace_criteria": ("criteria fixed", "Kriterien festgelegt"),
    "val_trace_begun": ("run begun", "Lauf begonnen"),
    "val_trace_ended": ("results", "Ergebnisse"),
    "val_trace_report": ("report", "Bericht"),
    "val_trace_certificate": ("certificate", "Zertifikat"),
    "val_files": ("Files", "Dateien"),
    "val_offline": (
        "`osteon validate verify FOLDER` checks the three JSON files with nothing but the keys.",
        "`osteon validate verify ORDNER` prüft die drei JSON-Dateien nur mit den Schlüsseln.",
    ),
    "val_run": ("Run", "Lauf"),
}
