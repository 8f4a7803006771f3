"""Words of the pages of releases, recall and history, in English and German.

Read next: `releases.py`.
"""

from __future__ import annotations

RELEASE_TEXTS: dict[str, tuple[str, str]] = {
    "releases": ("Releases", "Releases"),
    "rel_none": (
        "No release lies at this site. Add one with `osteon release add`.",
        "An diesem Standort liegt kein Release. Fügen Sie eines mit `osteon release add` hinzu.",
    ),
    "rel_runs_on": ("Runs on", "Läuft auf"),
    "rel_share": ("Share", "Anteil"),
    "rel_decided_by": ("Decided by", "Entschieden von"),
    "rel_registered": ("registered", "registriert"),
    "rel_validated": ("validated", "validiert"),
    "rel_approved": ("approved", "freigegeben"),
    "rel_shadow": ("shadow", "Schatten"),
    "rel_canary": ("canary", "Kanarie"),
    "rel_active": ("active", "aktiv"),
    "rel_standby": ("standby", "Bereitschaft"),
    "rel_suspended": ("suspended", "ausgesetzt"),
    "rel_retired": ("retired", "außer Dienst"),
    "rel_on_certificate": ("certificate", "Zertifikat"),
    "rel_on_waiver": ("waiver", "Ausnahme"),
    "rel_on_nothing": ("nothing", "nichts"),
    "rel_stopped": ("stopped", "angehalten"),
    "rel_stop": ("Stop", "Anhalten"),
    "rel_stop_title": ("Stop at once", "Sofort anhalten"),
    "rel_stop_why": (
        "Every open run ends and nothing of the plugin starts or leaves. Studies take the manual "
        "path of the hospital.",
        "Jeder offene Lauf endet, und nichts von dem Plugin beginnt oder geht hinaus. Studien "
        "nehmen den manuellen Weg des Hauses.",
    ),
    "rel_everything": ("everything", "alles"),
    "rel_lift": ("Lift the stop", "Stopp aufheben"),
    "rel_what": ("What", "Was"),
    "rel_digest": ("Release digest", "Release-Digest"),
    "rel_evidence_class": ("Evidence class", "Evidenzklasse"),
    "rel_purpose": ("Intended purpose", "Zweckbestimmung"),
    "rel_card": ("Model card", "Modellkarte"),
    "rel_certificate": ("Certificate", "Zertifikat"),
    "rel_certificate_holds": (
        "The certificate holds for this release now.",
        "Das Zertifikat gilt für dieses Release jetzt.",
    ),
    "rel_certificate_not": (
        "No certificate lets this release run now.",
        "Kein Zertifikat lässt dieses Release jetzt laufen.",
    ),
    "rel_certificate_id": ("Id", "Kennung"),
    "rel_verdict": ("Verdict", "Urteil"),
    "rel_method": ("Method", "Verfahren"),
    "rel_issued": ("Issued", "Ausgestellt"),
    "rel_expires": ("Expires", "Läuft ab"),
    "rel_cohort": ("Cohort digest", "Kohorten-Digest"),
    "rel_code": ("Code", "Code"),
    "rel_found": ("What was found", "Was gefunden wurde"),
    "rel_advice": ("What to do", "Was zu tun ist"),
    "rel_approvals": ("Approvals", "Freigaben"),
    "rel_no_approvals": ("Nobody has signed yet.", "Noch hat niemand unterzeichnet."),
    "rel_meaning": ("Meaning", "Bedeutung"),
    "rel_meaning_approval": ("approval", "Freigabe"),
    "rel_meaning_review": ("review", "Prüfung"),
    "rel_meaning_responsibility": ("responsibility", "Verantwortung"),
    "rel_signed_evidence": ("Signed evidence", "Unterzeichneter Beleg"),
    "rel_comparison": (
        "Compared with the active release",
        "Verglichen mit dem aktiven Release",
    ),
    "rel_comparison_note": (
        "Agreement is not accuracy: both may be wrong together. Interval: 95 %.",
        "Übereinstimmung ist nicht Genauigkeit: Beide können sich zugleich irren. Intervall: 95 %.",
    ),
    "rel_group": ("Group", "Gruppe"),
    "rel_overall": ("all studies", "alle Studien"),
    "rel_mean": ("Mean agreement", "Mittlere Übereinstimmung"),
    "rel_interval": ("Interval", "Intervall"),
    "rel_do": ("What you can do", "Was Sie tun können"),
    "rel_do_nothing": (
        "In this state there is nothing that your role decides.",
        "In diesem Zustand gibt es nichts, was Ihre Rolle entscheidet.",
    ),
    "rel_needs_file": (
        "A certificate is attached with `osteon governance certify`.",
        "Ein Zertifikat wird mit `osteon governance certify` angefügt.",
    ),
    "do_approve": ("Sign the certificate", "Zertifikat unterzeichnen"),
    "do_shadow": ("Start in shadow", "Im Schatten starten"),
    "do_canary": ("Start as canary", "Als Kanarie starten"),
    "do_activate": ("Make active", "Aktivieren"),
    "do_waive": ("Make active on a waiver", "Mit Ausnahme aktivieren"),
    "do_suspend": ("Suspend", "Aussetzen"),
    "do_retire": ("Retire", "Außer Dienst stellen"),
    "do_rollback": ("Roll back to this release", "Auf dieses Release zurückgehen"),
    "why_approve": (
        "You sign the digest of the certificate. Two persons who did not build it are needed.",
        "Sie unterzeichnen den Digest des Zertifikats. Es braucht zwei Personen, die es nicht "
        "gebaut haben.",
    ),
    "why_shadow": (
        "It runs on live studies; nothing of it leaves.",
        "Es läuft auf echten Studien; nichts davon geht hinaus.",
    ),
    "why_canary": (
        "It answers a share of the patients; the active release runs beside in shadow.",
        "Es beantwortet einen Teil der Patienten; das aktive Release läuft im Schatten daneben.",
    ),
    "why_activate": (
        "It answers every study; the release before goes to standby.",
        "Es beantwortet jede Studie; das vorherige Release geht in Bereitschaft.",
    ),
    "why_waive": (
        "Research only: without a certificate, for a limited time.",
        "Nur Forschung: ohne Zertifikat, auf begrenzte Zeit.",
    ),
    "why_suspend": (
        "It stops at once; studies take the manual path.",
        "Es hält sofort an; Studien nehmen den manuellen Weg.",
    ),
    "why_retire": ("It never runs here again.", "Es läuft hier nie wieder."),
    "why_rollback": (
        "Verified byte by byte, then active again. What waits goes to it; what runs ends where it "
        "began; what the other release made is recalled.",
        "Byte für Byte geprüft, dann wieder aktiv. Was wartet, geht dorthin; was läuft, endet, wo "
        "es begann; was das andere Release gemacht hat, wird zurückgerufen.",
    ),
    "rel_days": ("Days", "Tage"),
    "rel_share_field": ("Share of studies, above 0 to 1", "Anteil der Studien, über 0 bis 1"),
    "rel_suspend_left": (
        "Suspend the release that is left, and end its work in progress",
        "Das verlassene Release aussetzen und seine laufende Arbeit beenden",
    ),
    "rel_again": (
        "Run the recalled studies again on this release",
        "Die zurückgerufenen Studien auf diesem Release neu rechnen",
    ),
    "rel_mark": (
        "Mark the recalled results as withdrawn where they lie",
        "Die zurückgerufenen Ergebnisse dort, wo sie liegen, als zurückgezogen kennzeichnen",
    ),
    "rel_history": ("States of this release", "Zustände dieses Releases"),
    "rel_now": ("now", "jetzt"),
    "rel_recall": ("Recall list", "Rückrufliste"),
    "rel_recall_link": (
        "Every patient, study and result of this release, and what to do",
        "Alle Patienten, Studien und Ergebnisse dieses Releases, und was zu tun ist",
    ),
    "rel_recalled_at": ("Recalled", "Zurückgerufen"),
    "rel_recall_none": (
        "This release was not recalled. The list shows what it made.",
        "Dieses Release wurde nicht zurückgerufen. Die Liste zeigt, was es gemacht hat.",
    ),
    "rel_told": ("Told", "Benachrichtigt"),
    "rel_unacknowledged": ("Not acknowledged yet", "Noch nicht bestätigt"),
    "rel_acknowledge": ("I have read this recall", "Ich habe diesen Rückruf gelesen"),
    "rel_results": ("Results", "Ergebnisse"),
    "rel_patients": ("Patients", "Patienten"),
    "rel_study": ("Study", "Studie"),
    "rel_objects": ("Objects", "Objekte"),
    "rel_todo": ("What to do", "Was zu tun ist"),
    "rel_handled": ("Dealt with", "Erledigt"),
    "rel_handle": ("Note", "Vermerken"),
    "rel_done": ("What was done (no name)", "Was getan wurde (ohne Namen)"),
    "rel_empty": ("This release made no result here.", "Dieses Release hat hier nichts gemacht."),
    "todo_REVIEW": (
        "Review the result before it is used further; contour or plan again where needed.",
        "Das Ergebnis vor weiterer Verwendung prüfen; wo nötig neu konturieren oder planen.",
    ),
    "todo_WITHDRAWN": (
        "Marked as withdrawn where it lies. Review what rests on it; contour or plan again where "
        "needed.",
        "Als zurückgezogen gekennzeichnet, wo es liegt. Prüfen, was darauf beruht; wo nötig neu "
        "konturieren oder planen.",
    ),
    "todo_REPLACED": (
        "A later run has replaced it; check that the replaced one is not in use.",
        "Ein späterer Lauf hat es ersetzt; prüfen, dass das ersetzte nicht verwendet wird.",
    ),
    "todo_NOTHING_ARRIVED": (
        "Nothing of it reached a target.",
        "Nichts davon hat ein Ziel erreicht.",
    ),
    "todo_IN_PROGRESS": (
        "The run is not over: read the list again.",
        "Der Lauf ist nicht zu Ende: Lesen Sie die Liste noch einmal.",
    ),
    "his_at": ("In use at (empty: every state)", "In Betrieb am (leer: alle Zustände)"),
    "his_all": ("all plugins", "alle Plugins"),
    "his_show": ("Show", "Zeigen"),
    "his_none": (
        "No release was in use then.",
        "Damals war kein Release in Betrieb.",
    ),
    "his_was": ("In use at", "In Betrieb am"),
    "his_on": ("Evidence", "Beleg"),
    "ev_reason": ("reason", "Grund"),
    "ev_certificate": ("certificate digest", "Zertifikats-Digest"),
    "ev_certificate_id": ("certificate", "Zertifikat"),
    "ev_comparison": ("comparison", "Vergleich"),
    "ev_left": ("left", "verlassen"),
    "ev_superseded_by": ("replaced by", "ersetzt durch"),
    "ev_approved_by": ("approved by", "freigegeben von"),
    "ev_approval": ("approvals", "Freigaben"),
    "ev_share": ("share", "Anteil"),
    "ev_devices": ("devices", "Geräte"),
    "ev_waiver_person": ("waiver of", "Ausnahme von"),
    "ev_waiver_reason": ("reason", "Grund"),
    "ev_expires_at": ("ends", "endet"),
    "ev_other": ("other", "weiteres"),
}
